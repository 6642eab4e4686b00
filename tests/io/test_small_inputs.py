"""Small inputs that would take the machine are refused at once, each in a line of its own."""

import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from superdef_bench import load_dataset
from superdef_bench.benchmark.config import load_config, parse
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError
from superdef_bench.core.threats import parse_eps
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file
from superdef_bench.nn.pretrained import read_tensors
from superdef_bench.nn.weights import read_provenance
from superdef_bench.results.load import load_results
from superdef_bench.run.bank.example_file import read_examples
from superdef_bench.run.records import RecordStore
from superdef_bench.training.photographs import read_photographs
from tests.support.commands import CONFIG, Answer

pytestmark = pytest.mark.faults

_DEEP = "[" * 5_000 + "]" * 5_000
_MANY = str([f"{n}/100000" for n in range(1, 60_001)]).replace("'", '"')
_CONFIGS: tuple[tuple[str, str], ...] = (
    ("seed = 9223372036854775808", "a whole number has more than 64 bits"),
    ("seed = 0x" + "f" * 20_000, "a whole number has more than 64 bits"),
    ("seed = -1", "seed is -1"),
    ("limit = " + "9" * 5_000, "a whole number has more than 64 bits"),
    ("limit = 2000001", "limit is 2000001"),
    ("batch_size = 1000000", "batch_size is 1000000"),
    ("eot = 1000000000000", "eot is 1000000000000"),
    ("draws = 256", "draws is 256"),
    ("masking = 1000000000000", "masking is 1000000000000"),
    ("cell_seconds = 1000000000000", "cell_seconds is 1000000000000"),
    ("limits = { gray_box = 1000000000000 }", "gray_box is 1000000000000"),
    ("limits = " + _DEEP, "more than 50 tables or lists stand inside each other"),
    (".".join("a" * 30_000) + " = 1", "more than 50 tables or lists stand inside each other"),
    ('[threat]\neps = "1e99999999"', "eps '1e99999999' is no number"),
    (f'[threat]\neps = "{"1" * 100_000}/3"', "is no number"),
    (f"[threat]\neps = {_MANY[:200_000]}]", "no TOML"),
    ("[threat]\neps = [" + "1e-9," * 40_000 + "]", "eps has 40,000 radii"),
    ("[threat]\ntopk = 1000000000000", "topk is 1000000000000"),
    ("#" * 300_000, "it is larger than 262,144 bytes"),
)


@pytest.mark.parametrize(("line", "message"), _CONFIGS, ids=lambda text: text[:24])
def test_a_config_that_asks_for_too_much_is_refused_at_once(
    tmp_path: Path, line: str, message: str
) -> None:
    path, start = tmp_path / "it.toml", time.monotonic()
    lines = CONFIG.replace("limit = 8\nbatch_size = 8\nmasking = 0\n", f"{line}\n")
    if line.startswith("["):
        lines = f"{CONFIG}\n{line}\n"
    path.write_text(lines)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in caught.value.message
    assert len(str(caught.value).splitlines()) == 2
    assert len(caught.value.message) < 400
    assert time.monotonic() - start < 2


def test_sixty_thousand_radii_are_refused() -> None:
    run = {"dataset": "signs", "model": "signs_resnet8"}
    radii = [f"{n}/100000" for n in range(1, 60_001)]
    with pytest.raises(ConfigError, match="eps has 60,000 radii"):
        parse({"run": run, "threat": {"eps": radii}}, "it")


def test_what_honest_users_ask_for_is_taken() -> None:
    run = {"dataset": "signs", "model": "signs_resnet8", "limit": 50_000, "eot": 1_000}
    radii = [f"{n}/1000" for n in range(1, 101)]
    threat = {"eps": radii, "topk": 1_000}
    found = parse({"run": {**run, "seed": 2**63 - 1}, "threat": threat}, "it")
    assert (len(found.eps), found.limit) == (100, 50_000)
    for text in ("8/255", "0.031372549019607843137", "1e-3", "0.5", 0.25, 1):
        assert parse_eps(text) > 0


def test_the_command_line_takes_no_number_of_five_thousand_digits(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    for flag in ("--limit", "--seed"):
        answer = run_cli("run", config(), flag, "9" * 5_000)
        assert answer.code == 2
        assert "Traceback" not in answer.err
    answer = run_cli("run", config(), "--seed", str(2**63))
    assert answer.code == 2
    assert "seed is 9223372036854775808" in answer.err


def test_json_that_is_too_deep_or_has_too_long_numbers_is_no_json(tmp_path: Path) -> None:
    assert parse_json(rb'"\ud83d\ude00"') == "😀"
    for text in (
        "[" * 100_000,
        _DEEP,
        "9" * 5_000,
        str(2**63),
        "NaN",
        '{"a": -Infinity}',
        r'"\ud800"',
    ):
        with pytest.raises(ValueError, match=r"inside|64 bits|is no number|Expecting|half a char"):
            parse_json(text.encode())
    weights = tmp_path / "it.safetensors"
    weights.with_suffix(".json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="is no JSON"):
        read_provenance(weights)


@pytest.fixture
def special(tmp_path: Path) -> list[tuple[Path, str]]:
    """Return what is no file, each with what is said of it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/zero")
    return [
        (tmp_path / "pipe", "it is a pipe, not a file"),
        (Path("/dev/zero"), "it is a device, not a file"),
        (tmp_path / "link", "it is a device, not a file"),
        (tmp_path / "folder", "Is a directory"),
    ]


def test_what_is_no_file_is_not_read(special: list[tuple[Path, str]]) -> None:
    for path, why in special:
        with pytest.raises(OSError, match=why):
            read_file(path, most=100)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "it"
    path.write_bytes(b"x" * 100)
    assert read_file(path, most=100) == b"x" * 100
    with pytest.raises(OSError, match="it is larger than 99 bytes"):
        read_file(path, most=99)


def test_no_reader_waits_for_what_is_no_file(
    special: list[tuple[Path, str]], tmp_path: Path
) -> None:
    pipe = special[0][0]
    (tmp_path / "records").mkdir()
    os.mkfifo(tmp_path / "records" / "it.parquet")
    os.mkfifo(tmp_path / "it.json")
    readers: list[Callable[[], object]] = [
        lambda: load_config(pipe),
        lambda: load_results(pipe),
        lambda: load_results(Path("/dev/zero")),
        lambda: read_tensors(pipe),
        lambda: read_tensors(Path("/dev/zero")),
        lambda: read_provenance(tmp_path / "it.safetensors"),
        lambda: read_examples(str(pipe), ""),
        lambda: RecordStore(tmp_path / "records"),
        lambda: read_photographs(pipe, 2),
        lambda: load_dataset("imagefolder", path=str(tmp_path), labels=str(pipe)),
        lambda: load_dataset(
            "imagefolder", path=str(tmp_path), classes="/dev/zero", labels=str(pipe)
        ),
    ]
    for read in readers:
        with pytest.raises(SuperdefError) as caught:
            read()
        assert len(str(caught.value).splitlines()) <= 2


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("ImageId,TrueLabel\na,1\nb,99999999999\n", "has labels for 99,999,999,999 classes"),
        (f"ImageId,TrueLabel\na,1\nb,{'9' * 5_000}\n", "TrueLabel is '9999"),
        (f"ImageId,TrueLabel\na,1\n{'b' * 200_000},2\n", "field larger than field limit"),
        (f"ImageId,TrueLabel\na,1\n{'b' * 5_000},2\n", "is missing: 1 of 2 are"),
        (f"ImageId,TrueLabel\na,1{',' * 1_000_000}\nc,2\n", "is missing: 1 of 2 are"),
    ],
    ids=lambda text: text[:40],
)
def test_a_table_of_labels_that_asks_for_too_much_is_refused(
    images: Path, table: str, message: str
) -> None:
    (images / "it.csv").write_text(table)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("imagefolder", path=str(images), labels=str(images / "it.csv"))
    assert len(caught.value.message) < 600


def test_twenty_one_thousand_classes_are_taken(images: Path) -> None:
    (images / "it.csv").write_text("ImageId,TrueLabel\na,1\nb,21841\n")
    found = load_dataset("imagefolder", path=str(images), labels=str(images / "it.csv"))
    assert found.num_classes == 21_841


def test_a_strip_that_would_be_enlarged_to_gigabytes_is_refused(images: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (1, 60_000)).save(images / f"{name}.png")
    (images / "it.csv").write_text("ImageId,TrueLabel\na,1\nb,2\n")
    found = load_dataset("imagefolder", path=str(images), labels=str(images / "it.csv"), size=224)
    with pytest.raises(DataError, match="would have 224x13440000 pixels"):
        found.load([0])


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_small_zip_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    packed = _zip(tmp_path / "one.zip", {"a.png": bytes(2**28 + 1), "b.png": b""})
    assert packed.stat().st_size < 2**20
    with pytest.raises(DataError, match="unpacks to 256 MiB"):
        read_photographs(packed, 2)


def test_small_photographs_of_one_colour_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superdef_bench.training.photographs._FREE", 2**20)
    stream = io.BytesIO()
    Image.new("RGB", (1000, 1000)).save(stream, "PNG")
    (tmp_path / "all").mkdir()
    for number in range(3):
        (tmp_path / "all" / f"{number}.png").write_bytes(stream.getvalue())
    with pytest.raises(DataError, match="MiB of pixels"):
        read_photographs(tmp_path / "all", 2)


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(1_000_000)}, stream)
    with zipfile.ZipFile(stream) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bomb = _zip(tmp_path / "it.pt", members)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(DataError, match="is compressed, which torch never does"):
        read_tensors(bomb)


def test_a_state_dict_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["net"] = content
    torch.save(content, tmp_path / "it.pt")
    with pytest.raises(DataError, match="holds no state dict"):
        read_tensors(tmp_path / "it.pt")


def test_examples_of_the_wrong_kind_are_no_examples(tmp_path: Path) -> None:
    import hashlib

    import safetensors.torch

    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    for ids in (torch.tensor(3), torch.zeros(2), torch.zeros(3, dtype=torch.int64)):
        tensors = {"ids": ids, "labels": torch.zeros(2, dtype=torch.int64), "images": images}
        content = safetensors.torch.save(tensors)
        (tmp_path / "it.safetensors").write_bytes(content)
        with pytest.raises(DataError, match="is no file of examples"):
            read_examples(str(tmp_path / "it.safetensors"), hashlib.sha256(content).hexdigest())
