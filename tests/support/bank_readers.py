"""Readers of what stands beside kept examples, and of the file that they are exported to."""

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from superdef_bench.io.seal import SEAL, seal
from superdef_bench.run.attack import Examples
from superdef_bench.run.bank.check import verify
from superdef_bench.run.bank.index import example_file, read_index
from superdef_bench.run.bank.origin import Origin, key_of, write_origin
from superdef_bench.run.bank.sign import harness_fingerprint
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.bank.transfer import choose, export, put, read_export
from tests.support.mutations import damaged_bytes, damaged_document, to_json
from tests.support.reader import Reader, mixed

_COUNT, _SHAPE = 3, (3, 4, 4)


def _kept(run: Path) -> Path:
    """Put three examples into the bank of a run folder; return their file."""
    ids, digests = ["a", "b", "c"], ["1" * 64] * _COUNT
    origin = Origin(
        key=key_of("2" * 64, ids, digests, None),
        made_by="2" * 64,
        harness=harness_fingerprint(),
        attack="pgd",
        arguments={"plugin": "pgd", "steps": 3},
        norm="linf",
        eps="8/255",
        radius=8 / 255,
        rung="gray_box",
        source="it",
        dataset="signs",
        split="test",
        dataset_sha256="3" * 64,
        model="it",
        weights="4" * 64,
        class_names=["x", "y"],
        shape=list(_SHAPE),
        seed=0,
        topk=1,
        target="none",
        eot=1,
        batch=None,
        start=0,
        ids=ids,
        labels=[0, 1, 0],
        digests=digests,
    )
    steps, ones = torch.zeros(_COUNT, dtype=torch.int64), torch.ones(3, _COUNT, dtype=torch.float64)
    first, second, third = (each.clone() for each in ones)
    made = Examples(torch.rand(_COUNT, *_SHAPE), steps, first, second, third, batch_dependent=False)
    Bank(run / "bank").put(origin.key, made.pack())
    file = example_file(run / "bank", origin.key)
    write_origin(file, origin)
    return file


def _origins(folder: Path) -> Reader:
    beside = _kept(folder).with_suffix(".json")
    content = beside.read_bytes()

    def write(document: Any) -> bytes:
        # The hash is right, so that what reads the words is what is tried.
        with suppress(ValueError, RecursionError, TypeError):
            document = seal(document) if isinstance(document, dict) else document
        return to_json(document)

    def read(content: bytes) -> None:
        beside.write_bytes(content)
        index = read_index(folder)
        for held in index.holdings:
            json.dumps(held.facts(), allow_nan=False)
        found = list(verify(index, None))
        if any(each.damage for each in found):
            choose(index, "pgd")

    meant = {k: v for k, v in json.loads(content).items() if k != SEAL}
    return Reader("origins", mixed(damaged_document(meant, write), damaged_bytes(content)), read)


def _exports(folder: Path) -> Reader:
    file = folder / "it.pt"
    _kept(folder / "from")
    export(choose(read_index(folder / "from"), "pgd"), file)
    content = torch.load(file, weights_only=True)
    facts = {name: value for name, value in content.items() if not torch.is_tensor(value)}
    tensors = {name: value for name, value in content.items() if torch.is_tensor(value)}

    def write(document: Any) -> bytes:
        stream = io.BytesIO()
        torch.save({**tensors, **document} if isinstance(document, dict) else document, stream)
        return stream.getvalue()

    whole = file.read_bytes()

    def read(content: bytes) -> None:
        file.write_bytes(content)
        put(read_export(file), folder / "into")

    return Reader("exports", mixed(damaged_document(facts, write), damaged_bytes(whole)), read)


BANK_READERS: Mapping[str, Callable[[Path], Reader]] = {"origins": _origins, "exports": _exports}
