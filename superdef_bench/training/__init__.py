"""What training recipes share."""

from superdef_bench.training.adversarial import Adversary, read_radius
from superdef_bench.training.artefact import Restoration
from superdef_bench.training.augment import Augment
from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint
from superdef_bench.training.classifier import Settings, measure, train_classifier
from superdef_bench.training.distillation import Distillation, DistilledRestoration
from superdef_bench.training.loop import Fit, fit_network
from superdef_bench.training.queries import Queries
from superdef_bench.training.schedule import Schedule, cosine, one_cycle, rate_of
from superdef_bench.training.splits import read_all, splits_of
from superdef_bench.training.super_resolution import (
    Precision,
    RestorationSettings,
    train_super_resolution,
)

__all__ = [
    "Adversary",
    "Augment",
    "Distillation",
    "DistilledRestoration",
    "Fit",
    "Precision",
    "Queries",
    "Restoration",
    "RestorationSettings",
    "Schedule",
    "Settings",
    "cosine",
    "fit_network",
    "load_checkpoint",
    "measure",
    "one_cycle",
    "rate_of",
    "read_all",
    "read_radius",
    "save_checkpoint",
    "splits_of",
    "train_classifier",
    "train_super_resolution",
]
