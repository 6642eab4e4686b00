"""What training recipes share."""

from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint
from superdef_bench.training.classifier import Settings, measure, read_all, train_classifier
from superdef_bench.training.schedule import one_cycle

__all__ = [
    "Settings",
    "load_checkpoint",
    "measure",
    "one_cycle",
    "read_all",
    "save_checkpoint",
    "train_classifier",
]
