"""What training recipes share."""

from superdef_bench.training.artefact import save_network
from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint
from superdef_bench.training.classifier import Settings, measure, read_all, train_classifier
from superdef_bench.training.loop import Fit, fit_network
from superdef_bench.training.schedule import Schedule, cosine, one_cycle, rate_of
from superdef_bench.training.sources import photographs_of
from superdef_bench.training.super_resolution import (
    Precision,
    RestorationSettings,
    train_super_resolution,
)

__all__ = [
    "Fit",
    "Precision",
    "RestorationSettings",
    "Schedule",
    "Settings",
    "cosine",
    "fit_network",
    "load_checkpoint",
    "measure",
    "one_cycle",
    "photographs_of",
    "rate_of",
    "read_all",
    "save_checkpoint",
    "save_network",
    "train_classifier",
    "train_super_resolution",
]
