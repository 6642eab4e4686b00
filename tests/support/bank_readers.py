"""Readers of what stands beside kept examples, and of the file that they are exported to."""

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from superdef_bench.io.seal import SEAL, seal
from superdef_bench.run.bank.check import verify
from superdef_bench.run.bank.index import read_index
from superdef_bench.run.bank.transfer import choose, export, put, read_export
from tests.support.kept import keep
from tests.support.mutations import damaged_bytes, damaged_document, to_json
from tests.support.reader import Reader, mixed


def _origins(folder: Path) -> Reader:
    beside = keep(folder).with_suffix(".json")
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
    keep(folder / "from")
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
