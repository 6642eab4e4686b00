"""The parts of one record."""

from typing import Any

from superdef_bench.attacking import Examples
from superdef_bench.cells import Cell
from superdef_bench.scoring import Scores

Row = dict[str, Any]


def identity(cell: Cell, key: str) -> Row:
    """Return what a record says of its cell, with the cost of an example that is only kept."""
    return {
        "key": key,
        "cell": cell.key,
        "rung": cell.rung,
        "source": cell.source,
        "attack": cell.attack,
        "goal": cell.goal,
        "norm": cell.threat.norm,
        "eps": cell.threat.eps,
        "settings": cell.settings,
        "draws": cell.draws,
        # What a kept example cost was counted where it was made.
        "forwards": 0.0,
        "backwards": 0.0,
        "seconds": 0.0,
    }


def verdict(scores: Scores, number: int, bits: str) -> Row:
    """Return what a record says of the answer to image `number`.

    Args:
        scores: What the classifier said.
        number: Place of the image in them.
        bits: Whether each draw counts as wrong, one character per draw.
    """
    return {
        "bits": bits,
        "prediction": int(scores.prediction[number]),
        "label_rank": int(scores.rank[number]),
        "success": 2 * bits.count("1") > len(bits),
        "psnr": float(scores.psnr[number]),
        "ssim": float(scores.ssim[number]),
        "error": scores.errors[number],
    }


def effort(examples: Examples | None, number: int) -> Row:
    """Return what a record says of what the example of image `number` took."""
    if examples is None:
        return {"first_step": -1, "batch_dependent": False}
    return {
        "forwards": float(examples.forwards[number]),
        "backwards": float(examples.backwards[number]),
        "seconds": float(examples.seconds[number]),
        "first_step": int(examples.first_step[number]),
        "batch_dependent": examples.batch_dependent,
    }
