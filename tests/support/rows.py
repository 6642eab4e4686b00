"""Accuracy rows and attacks of a results file, and records of a run, made by hand."""

from typing import Any

from superdef_bench.results.aggregate import accuracy_row
from superdef_bench.results.facts import Attack
from superdef_bench.results.schema import AccuracyRow
from superdef_bench.results.statistics import Bits, pack_floats
from superdef_bench.run.record_file import SCHEMA


def row_of(right: Bits, **columns: Any) -> AccuracyRow:
    """Return a row with these verdicts; columns that are not given say nothing."""
    names = [str(number) for number in range(len(right))]
    shared = {
        **dict.fromkeys(("dataset", "model", "source", "settings"), ""),
        "defense": "it",
        "rung": "",
        "attack": "none",
        "goal": "",
        "topk": 1,
        "target": "none",
        "norm": "linf",
        "eps": None,
        "draws": 1,
    }
    shared |= {"conditional_n": None, "conditional_accuracy": None}
    if columns.get("rung") == "adaptive":
        shared["smallest_eps"] = pack_floats(right.astype(float))
    return AccuracyRow.model_validate({**accuracy_row(right, names), **shared, **columns})


def attack_of(**changes: Any) -> Attack:
    """Return a counted attack that climbs the loss in an linf ball."""
    usual = {"kind": "budget", "access": "gradient", "counted": True, "norm": "linf"}
    rest: dict[str, Any] = {
        "arguments": {"plugin": "pgd"},
        "eps": [8 / 255],
        "rungs": [],
        "limit": None,
    }
    return Attack.model_validate({**usual, **rest, **changes})


def record(**columns: Any) -> dict[str, Any]:
    """Return a record of a run; columns that are not given are as good as any."""
    usual: dict[str, Any] = {
        **dict.fromkeys(SCHEMA.names, ""),
        **dict.fromkeys(("target", "eps", "error"), None),
        **dict.fromkeys(("label", "clean_prediction", "prediction"), 3),
        **dict.fromkeys(("linf", "l2", "forwards", "backwards", "seconds"), 0.5),
        **dict.fromkeys(("position", "seed", "label_rank", "first_step"), 0),
        **dict.fromkeys(("topk", "draws", "psnr", "ssim"), 1),
        "bits": "0",
        "success": False,
        "batch_dependent": False,
    }
    return {**usual, **columns}
