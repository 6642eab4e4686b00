"""What recipes share, and the call that trains."""

from superdef_bench.training.adversarial import Adversary, read_radius
from superdef_bench.training.artefact import Restoration
from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint
from superdef_bench.training.classifier import Augment, Settings, measure, train_classifier
from superdef_bench.training.data import read_all, splits_of
from superdef_bench.training.detector import (
    DetectorSettings,
    measure_detector,
    train_detector,
)
from superdef_bench.training.distillation import Distillation, DistilledRestoration
from superdef_bench.training.loop import Fit, Schedule, cosine, fit_network, one_cycle, rate_of
from superdef_bench.training.queries import Queries
from superdef_bench.training.super_resolution import (
    Precision,
    RestorationSettings,
    train_super_resolution,
)

__all__ = [
    "Adversary",
    "Augment",
    "DetectorSettings",
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
    "measure_detector",
    "one_cycle",
    "rate_of",
    "read_all",
    "read_radius",
    "save_checkpoint",
    "splits_of",
    "train_classifier",
    "train_detector",
    "train_super_resolution",
]
