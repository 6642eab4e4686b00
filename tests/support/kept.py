"""Examples in a bank that no attack made."""

from pathlib import Path
from typing import Any

import torch

from superdef_bench.run.attack import Examples
from superdef_bench.run.bank.index import example_file
from superdef_bench.run.bank.origin import Origin, key_of, write_origin
from superdef_bench.run.bank.sign import harness_fingerprint
from superdef_bench.run.bank.store import Bank

_SHAPE = (3, 4, 4)


def keep(run: Path, count: int = 3, *, made_by: str = "2" * 64, **facts: Any) -> Path:
    """Put examples into the bank of a run folder; return their file.

    Args:
        run: Run folder.
        count: Images.
        made_by: What made them.
        facts: What their origin says otherwise than those of PGD at 8/255.
    """
    start, batch = facts.get("start", 0), facts.get("batch")
    ids = [f"image {number}" for number in range(start, start + count)]
    digests = ["1" * 64] * count
    told: dict[str, Any] = {
        "harness": harness_fingerprint(),
        "attack": "pgd",
        "arguments": {"plugin": "pgd", "steps": 3},
        "norm": "linf",
        "eps": "8/255",
        "radius": 8 / 255,
        "rung": "gray_box",
        "source": "it",
        "dataset": "signs",
        "split": "test",
        "dataset_sha256": "3" * 64,
        "model": "it",
        "weights": "4" * 64,
        "class_names": ["x", "y"],
        "shape": list(_SHAPE),
        "seed": 0,
        "topk": 1,
        "target": "none",
        "eot": 1,
        "batch": batch,
        "start": start,
        "labels": [number % 2 for number in range(count)],
        **facts,
    }
    key = key_of(made_by, ids, digests, batch)
    origin = Origin(key=key, made_by=made_by, ids=ids, digests=digests, **told)
    images = torch.rand(count, *_SHAPE, generator=torch.Generator().manual_seed(start))
    forwards, backwards, seconds = (torch.ones(count, dtype=torch.float64) for _ in range(3))
    steps = torch.zeros(count, dtype=torch.int64)
    made = Examples(images, steps, forwards, backwards, seconds, batch_dependent=batch is not None)
    Bank(run / "bank").put(key, made.pack())
    file = example_file(run / "bank", key)
    write_origin(file, origin)
    return file
