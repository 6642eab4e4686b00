"""Readers of configs, records, weights, labels, images and archives."""

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.io.pictures import read_picture
from superdef_bench.io.seal import seal
from superdef_bench.nn import load_network
from superdef_bench.nn.pretrained import read_tensors
from superdef_bench.run.bank.example_file import ExampleFile, read_examples
from superdef_bench.run.record_file import SCHEMA
from superdef_bench.run.records import RecordStore
from superdef_bench.subset.files import Arrays, write_prepared
from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint
from superdef_bench.training.photographs import read_photographs
from superdef_bench.training.train import read_settings
from tests.support.mutations import damaged_bytes, damaged_document, to_json, to_toml
from tests.support.reader import Reader, mixed, of_document
from tests.support.rows import record

_CONFIG = {
    "run": {
        "dataset": "signs",
        "model": "signs_resnet8",
        "limit": 8,
        "batch_size": 8,
        "seed": 1,
        "eot": 4,
        "draws": 20,
        "masking": 0,
        "cell_seconds": 60,
        "rungs": ["gray_box", "white_box", "transfer"],
        "limits": {"white_box": 4},
        "presets": ["mustafa_attacks"],
    },
    "threat": {"norm": "linf", "eps": ["2/255", 0.03], "topk": 1, "target": "none"},
    "transfer": {"surrogates": ["model:other", "defense:jpeg"]},
    "models": {"other": {"plugin": "signs_resnet8", "width": 8}},
    "attacks": {
        "pgd": {"steps": 3, "relative_step": 0.1},
        "l2": {"plugin": "pgd", "norm": "l2", "eps": 0.5},
    },
    "defenses": {
        "jpeg": {"quality": 50, "limit": 4},
        "both": {"chain": ["jpeg", {"plugin": "bicubic_x2"}]},
    },
}


def _config(folder: Path) -> Reader:
    file = folder / "it.toml"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        json.dumps(load_config(file).model_dump(), allow_nan=False)

    return Reader("config", of_document(_CONFIG, to_toml), read)


def _settings(folder: Path) -> Reader:
    file, recipe = folder / "it.toml", load_plugins().get("recipe", "superdef").build()
    given = {"data": "signs", "steps": 3, "lr": 0.1, "size": "2x8", "seed": 0, "device": "cpu"}

    def read(content: bytes) -> None:
        file.write_bytes(content)
        read_settings(file, recipe)

    return Reader("settings", of_document(given, to_toml), read)


def _records(folder: Path) -> Reader:
    place = folder / "records"
    place.mkdir()
    rows = [record(key=f"{n:064x}", position=n, image_id=str(n)) for n in range(8)]

    def parquet(document: Any) -> bytes:
        stream = io.BytesIO()
        # Not all that is JSON is Parquet: what is left of it is damaged, too.
        with suppress(pa.ArrowException, OverflowError, AttributeError, TypeError, ValueError):
            pq.write_table(pa.Table.from_pylist(document), stream)
        return stream.getvalue()

    whole = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), whole, compression="zstd")

    def read(content: bytes) -> None:
        (place / "it.parquet").write_bytes(content)
        store = RecordStore(place)
        store.rows()
        store.of_image("1")
        store.find([row["key"] for row in rows])

    meant = damaged_document(rows, parquet)
    return Reader("records", mixed(meant, damaged_bytes(whole.getvalue())), read)


def _examples(folder: Path) -> Reader:
    file = folder / "it.safetensors"
    ExampleFile(
        torch.arange(4),
        torch.arange(4),
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
        {"dataset": "signs", "attack": "pgd", "norm": "linf", "eps": "8/255", "weights": "0" * 64},
    ).save(file)
    content = file.read_bytes()

    def read(content: bytes) -> None:
        file.write_bytes(content)
        found = read_examples(str(file), hashlib.sha256(content).hexdigest())
        found.of(found.ids[:2], found.labels[:2])

    return Reader("examples", _of_tensors(content), read)


def _of_tensors(content: bytes) -> Callable[[random.Random], bytes]:
    """Damage a file of safetensors: its bytes, or the JSON in front of them."""
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]

    def write(document: Any) -> bytes:
        text = to_json(document)
        return len(text).to_bytes(8, "little") + text + body

    return mixed(damaged_document(header, write), damaged_bytes(content))


def _weights(folder: Path) -> Reader:
    file = folder / "it.safetensors"
    shipped = Path(load_network.__code__.co_filename).parent / "checkpoints"
    source = next(f for f in sorted(shipped.glob("superdef_*x2.safetensors")))
    content, record = source.read_bytes(), json.loads(source.with_suffix(".json").read_text())

    def whole(document: Any) -> bytes:
        return to_json({"record": document})

    tensors, record_of = _of_tensors(content), damaged_document(record, whole)

    def damage(draw: random.Random) -> bytes:
        return record_of(draw) if draw.random() < 0.5 else tensors(draw)

    def read(found: bytes) -> None:
        told, weights = record, found
        if found.startswith(b'{"record"'):
            told, weights = json.loads(found)["record"], content
        else:  # the hash is right, so that what reads the tensors is what is tried
            told = {**record, "sha256": hashlib.sha256(found).hexdigest()}
        file.write_bytes(weights)
        file.with_suffix(".json").write_bytes(to_json(told))
        with torch.no_grad():
            load_network("superdef", scale=2, weights=str(file))(torch.zeros(1, 3, 8, 8))

    return Reader("weights", damage, read)


def _checkpoints(folder: Path) -> Reader:
    file, stream = folder / "it.pt", io.BytesIO()
    state = {"a.weight": torch.ones(4, 3), "a.bias": torch.zeros(4), "n": torch.tensor(3)}
    torch.save({"state_dict": state, "epoch": 3}, stream)
    old = io.BytesIO()
    torch.save(state, old, _use_new_zipfile_serialization=False)

    def read(content: bytes) -> None:
        file.write_bytes(content)
        read_tensors(file)

    changes = damaged_bytes(stream.getvalue()), damaged_bytes(old.getvalue())
    return Reader("checkpoints", mixed(*changes), read)


def _training(folder: Path) -> Reader:
    file, network = folder / "it.safetensors", torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    settings = {"epochs": 2, "seed": 0}
    save_checkpoint(file, {"model": network}, optimizer, {"settings": settings, "epoch": 1})
    content = file.read_bytes()

    def read(content: bytes) -> None:
        file.write_bytes(content)
        load_checkpoint(file, {"model": network}, optimizer, settings)

    return Reader("training", _of_tensors(content), read)


def _labels(folder: Path) -> Reader:
    names = ["a", "b", "c", "d"]
    for name in names:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"{name}.png")
    lines: list[list[Any]] = [
        ["ImageId", "TrueLabel"],
        *([name, number % 2 + 1] for number, name in enumerate(names)),
    ]
    build = load_plugins().get("dataset", "imagefolder").build

    def csv(document: Any) -> bytes:
        rows = document if isinstance(document, list) else [document]
        cells = [row if isinstance(row, list) else [row] for row in rows]
        text = "\n".join(",".join(_cell(cell) for cell in row) for row in cells)
        return text.encode("utf-8", "replace")

    def read(content: bytes) -> None:
        (folder / "it.csv").write_bytes(content)
        dataset = build(path=str(folder), labels=str(folder / "it.csv"))
        dataset.load(range(len(dataset.ids)))

    def classes(content: bytes) -> None:
        (folder / "it.txt").write_bytes(content)
        build(path=str(folder), labels=str(folder / "it.csv"), classes=str(folder / "it.txt"))

    meant = damaged_document(lines, csv)
    return Reader("labels", mixed(meant, damaged_bytes(csv(lines))), read)


def _cell(value: Any) -> str:
    return str(value) if not isinstance(value, int) or abs(value) < 10**4000 else "9" * 5000


def _prepared(folder: Path) -> Reader:
    whole = Arrays(
        images=np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8),
        labels=np.array([0, 1] * 3),
        splits=np.array(["train", "train", "validation", "validation", "test", "test"]),
        ids=np.array(["a", "b", "c", "d", "a", "b"]),
        groups=np.array(["x", "y", "z", "z", "x", "y"]),
    )
    archive, told = write_prepared(folder, whole, {"name": "few", "class_names": ["a", "b"]})
    content, card = archive.read_bytes(), json.loads(told.read_text())
    build = load_plugins().get("dataset", "prepared").build

    def read(found: bytes) -> None:
        if found.startswith(b"{"):
            archive.write_bytes(content)
            told.write_bytes(found)
        else:  # the hashes are right, so that what reads the arrays is what is tried
            archive.write_bytes(found)
            named = {**card["images"], "sha256": hashlib.sha256(found).hexdigest()}
            told.write_bytes(to_json(seal({**card, "images": named})))
        for split in ("train", "validation", "test"):
            dataset = build(path=str(folder), split=split)
            dataset.load(range(len(dataset.ids)))

    def sealed(document: Any) -> bytes:
        with suppress(ValueError, RecursionError, TypeError, AttributeError):
            document = seal(document)
        return to_json(document)

    meant = damaged_document(card, sealed)
    return Reader(
        "prepared", mixed(meant, of_document(card, to_json), damaged_bytes(content)), read
    )


def _images(folder: Path) -> Reader:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    changes = []
    for suffix in ("bmp", "gif", "jpeg", "png", "ppm", "tiff", "webp"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, suffix)
        changes.append(damaged_bytes(stream.getvalue()))
    file = folder / "it.png"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        read_picture(file)

    return Reader("images", mixed(*changes), read)


def _photographs(folder: Path) -> Reader:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG")
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.png", "b/c.png", "d.png"):
            archive.writestr(name, picture.getvalue())
    file = folder / "it.zip"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        read_photographs(file, 2)

    return Reader("photographs", damaged_bytes(stream.getvalue()), read)


FILE_READERS: Mapping[str, Callable[[Path], Reader]] = {
    "config": _config,
    "settings": _settings,
    "records": _records,
    "examples": _examples,
    "weights": _weights,
    "checkpoints": _checkpoints,
    "training": _training,
    "labels": _labels,
    "images": _images,
    "photographs": _photographs,
    "prepared": _prepared,
}
