"""Dataset plugins to prepare subsets of: films, whose frames are groups, and one split alone."""

FILMS = """
import hashlib
import torch
from superdef_bench import balanced_order, hookimpl

CLASSES = ("cat", "dog", "eel", "fox")

def pixels(name, shape):
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    drawn = torch.randint(256, shape, generator=torch.Generator().manual_seed(seed))
    return drawn.float() / 255

class Films:
    '''Eight films of five frames in each class to train on; test images stand alone.'''
    num_classes, class_names = 4, CLASSES
    def __init__(self, *, split="test", side=12, shared=False):
        if split not in ("train", "test"):
            raise ValueError(f"split is {split!r}")
        films, frames = (8, 5) if split == "train" else (10, 2 if shared else 1)
        self.name, self.split, self.side = "my-films", split, side
        members = [
            [f"{split}/{label}/{film}/{frame}" for film in range(films) for frame in range(frames)]
            for label in range(4)
        ]
        self.ids = balanced_order(members)
        # The films of both splits have the same names where they are shared.
        start = len(split) + 1 if shared else 0
        self.groups = [each[start:].rpartition("/")[0] for each in self.ids]
        self.sha256 = hashlib.sha256(f"{split}/{side}".encode()).hexdigest()
    def load(self, indices):
        names = [self.ids[index] for index in indices]
        images = [pixels(name, (3, self.side, self.side)) for name in names]
        labels = [int(name.split("/")[1]) for name in names]
        return torch.stack(images), torch.tensor(labels)

class Alone:
    '''Thirty grey images of each of three classes, in one split.'''
    name, split, num_classes, class_names = "alone", "", 3, ("one", "two", "three")
    sha256 = hashlib.sha256(b"alone").hexdigest()
    def __init__(self, *, wide=9):
        self.wide = wide
        self.ids = balanced_order([[f"{c}/{n}" for n in range(30)] for c in range(3)])
    def load(self, indices):
        names = [self.ids[index] for index in indices]
        images = [pixels(name, (1, 9, self.wide)) for name in names]
        return torch.stack(images), torch.tensor([int(name[0]) for name in names])

@hookimpl
def register_datasets():
    return {"films": Films, "alone": Alone}
"""
