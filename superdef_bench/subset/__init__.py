"""So many images of each class of a dataset: drawn, written to a folder, and read again."""
