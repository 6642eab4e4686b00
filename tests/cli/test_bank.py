"""The commands on the examples that a run keeps: ls, verify, export, import."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from superdef_bench import evaluate, load_dataset
from superdef_bench.core.fingerprint import tensors as digest
from superdef_bench.io.seal import seal
from superdef_bench.run.bank.index import read_index
from superdef_bench.run.bank.origin import write_origin
from superdef_bench.run.bank.store import Bank
from tests.support.commands import Answer
from tests.support.pickles import Evil

Run = Callable[..., Answer]

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 66
masking = 0
rungs = ["gray_box", "surrogate"]
[transfer]
surrogates = ["defense:bit_depth"]
[threat]
eps = ["2/255", "8/255"]
[attacks]
fgsm = {}
[defenses]
bit_depth = {}
"""
FILES = 2 * 2 * 2  # shards, radii, sources


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of two shards."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(CONFIG)
    evaluate(folder / "tiny.toml", out=folder / "q")
    return folder / "q"


@pytest.fixture
def q(finished: Path, run_cli: Run) -> Path:
    """Return a copy of the run that a test may change, in the current folder."""
    return Path(shutil.copytree(finished, "q"))


@pytest.fixture
def exported(q: Path, run_cli: Run) -> Path:
    """Return an export of its gray-box examples at 8/255."""
    assert run_cli("bank", "export", q, "fgsm", "-o", "it.pt").code == 0
    return Path("it.pt")


def files(run: Path) -> list[Path]:
    return sorted((run / "bank").glob("*/*.safetensors"))


def contents(file: Path) -> tuple[str, dict[str, str]]:
    """Return the hash of the tensors of a file, and what its header says."""
    with safetensors.safe_open(file, framework="pt") as opened:
        return digest(safetensors.torch.load_file(file)), opened.metadata()


def refused(answer: Answer, *words: str) -> None:
    """Assert that a command ended with 2, one line and at most one hint."""
    assert answer.code == 2, answer.out
    assert answer.err.startswith("error: ")
    assert len(answer.err.splitlines()) <= 2
    for word in words:
        assert word in answer.err


# --- ls


def test_ls_says_what_the_bank_holds(q: Path, run_cli: Run) -> None:
    answer = run_cli("bank", "ls", q)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert f"q: {FILES} files of examples" in lines[0]
    rows = [[word.strip() for word in line[1:-1].split("│")] for line in lines if line[0] == "│"]
    assert [row[:5] for row in rows] == [
        ["fgsm", "bare classifier", "gray box", "linf 2/255", "66"],
        ["fgsm", "bare classifier", "gray box", "linf 8/255", "66"],
        ["fgsm", "defense bit_depth", "surrogate", "linf 2/255", "66"],
        ["fgsm", "defense bit_depth", "surrogate", "linf 8/255", "66"],
    ]
    found = json.loads(run_cli("bank", "ls", q, "--json").out)
    assert found["unknown"] == []
    assert [(each["eps"], each["images"], each["files"]) for each in found["examples"]] == [
        *(("2/255", 66, 2), ("8/255", 66, 2)) * 2
    ]
    assert sum(each["bytes"] for each in found["examples"]) == sum(
        file.stat().st_size for file in files(q)
    )


def test_ls_reads_no_example_and_needs_no_torch(q: Path, quiet_environment: dict[str, str]) -> None:
    for file in files(q):
        file.write_bytes(b"")
    code = """
import sys
sys.argv = ["superdef-bench", "bank", "ls", "q", "--json"]
from superdef_bench.cli import main
try:
    main()
finally:
    print(*(m for m in ("torch", "pandas") if m in sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**quiet_environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert len(json.loads(done.stdout)["examples"]) == 4


def test_files_of_unknown_origin_are_said_and_the_run_again_says_what_they_are(
    q: Path, run_cli: Run, config: Callable[..., Path]
) -> None:
    for file in files(q):
        file.with_suffix(".json").unlink()  # as an earlier version left them
    files(q)[0].with_suffix(".json").write_text("{")
    answer = run_cli("bank", "ls", q)
    assert answer.code == 0
    assert f"{FILES} files, " in answer.out
    assert "nothing says what made them" in answer.out
    assert "1 of them are damaged: superdef-bench bank verify q" in answer.out
    assert len(json.loads(run_cli("bank", "ls", q, "--json").out)["unknown"]) == FILES
    stamps = [file.stat().st_mtime_ns for file in files(q)]
    verified = run_cli("bank", "verify", q)
    assert verified.code == 1
    assert f"q: {FILES - 1} of {FILES} files are good; the ball was checked of 0\n" in verified.out
    refused(run_cli("bank", "export", q, "fgsm", "-o", "it.pt"), "known to be of attack 'fgsm'")
    evaluate(config(CONFIG), out=q)
    assert json.loads(run_cli("bank", "ls", q, "--json").out)["unknown"] == []
    assert [file.stat().st_mtime_ns for file in files(q)] == stamps


def test_folders_that_hold_no_bank_are_refused(run_cli: Run) -> None:
    Path("empty").mkdir()
    for words in (("ls",), ("verify",)):
        refused(run_cli("bank", *words, "none"), "none is no run folder")
        refused(run_cli("bank", *words, "empty"), "run folder empty has no bank")
    refused(run_cli("bank", "export", "empty", "fgsm", "-o", "it.pt"), "has no bank")


def test_a_bank_of_another_schema_is_refused(q: Path, run_cli: Run) -> None:
    beside = files(q)[0].with_suffix(".json")
    document = json.loads(beside.read_text())
    del document["sha256"]
    beside.write_text(json.dumps(seal({**document, "schema": 9})))
    for words in (("ls", q), ("verify", q), ("export", q, "fgsm", "-o", "it.pt")):
        refused(run_cli("bank", *words), "is of schema 9, this version reads 1")


# --- verify


def test_a_whole_bank_is_good_and_its_balls_are_checked(q: Path, run_cli: Run) -> None:
    answer = run_cli("bank", "verify", q)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"q: {FILES} of {FILES} files are good; the ball was checked of {FILES}\n"
    (q / "results.json").unlink()
    answer = run_cli("bank", "verify", q, "--json")
    found = json.loads(answer.out)["files"]
    assert (answer.code, len(found)) == (0, FILES)
    assert {(each["damage"], each["in_ball"]) for each in found} == {("", False)}


def damage_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)


def damage_cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def damage_name(file: Path) -> None:
    shutil.copy(files(file.parents[2])[-1], file)


def damage_ball(file: Path) -> None:
    stored = safetensors.torch.load_file(file)
    moved = torch.where(stored["images"] > 0.5, stored["images"] - 0.2, stored["images"] + 0.2)
    Bank(file.parents[1]).put(file.stem, {**stored, "images": moved})


def damage_box(file: Path) -> None:
    stored = safetensors.torch.load_file(file)
    Bank(file.parents[1]).put(file.stem, {**stored, "images": stored["images"] + 0.5})


def damage_shape(file: Path) -> None:
    stored = safetensors.torch.load_file(file)
    Bank(file.parents[1]).put(file.stem, {**stored, "images": stored["images"][:, :, :-1]})


def damage_origin(file: Path) -> None:
    beside = file.with_suffix(".json")
    beside.write_text(beside.read_text().replace('"seed": 0', '"seed": 1'))


def damage_other_images(file: Path) -> None:
    kept = next(each for each in read_index(file.parents[2]).files if each.path == file)
    assert kept.origin is not None
    write_origin(file, kept.origin.model_copy(update={"ids": kept.origin.ids[::-1]}))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (damage_bit, "its content is not what was written"),
        (damage_cut, "incomplete metadata"),
        (damage_name, "its content is not what was written"),
        (damage_ball, "left the linf ball"),
        (damage_box, "the limit is [0, 1]"),
        (damage_shape, "its images are"),
        (damage_origin, "they are not what their hash was made of"),
        (damage_other_images, "the key is not that of these images"),
    ],
)
def test_a_damaged_file_is_named_with_the_reason(
    q: Path, run_cli: Run, damage: Callable[[Path], None], why: str
) -> None:
    file = files(q)[0]
    if damage is not damage_ball:
        (q / "results.json").unlink()  # without it no classifier is built
    damage(file)
    answer = run_cli("bank", "verify", q)
    assert (answer.code, answer.err) == (1, "")
    first, second, _ = answer.out.splitlines()
    assert first.startswith(f"damaged: {file}: ")
    assert why in first
    assert second.startswith(f"q: {FILES - 1} of {FILES} files are good")


# --- export


def test_an_export_is_what_others_read_and_says_what_it_is(q: Path, run_cli: Run) -> None:
    answer = run_cli("bank", "export", q, "fgsm", "-o", "it.pt", "--eps", "2/255")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("66 examples of fgsm linf 2/255 on bare classifier, ")
    found = torch.load("it.pt", weights_only=True)
    clean = load_dataset("signs")
    x, y = clean.load(range(66))
    made = found["adv_complete"]
    assert (made.dtype, made.shape) == (torch.float32, x.shape)
    assert 1.9 / 255 < float((made - x).abs().max()) <= 2 / 255 + 1e-6
    assert found["ids"] == list(clean.ids[:66])
    assert torch.equal(found["labels"], y)
    told = {name: found[name] for name in ("schema", "attack", "norm", "eps", "dataset", "seed")}
    assert told == {
        "schema": 1,
        "attack": "fgsm",
        "norm": "linf",
        "eps": "2/255",
        "dataset": "signs",
        "seed": 0,
    }
    assert found["dataset_sha256"] == clean.sha256
    results = json.loads((q / "results.json").read_text())
    assert found["weights"] == results["model"]["weights"]
    assert found["class_names"] == list(clean.class_names)
    assert run_cli("bank", "export", q, "fgsm", "-o", "d.pt", "-d", "bit_depth").code == 0
    through = torch.load("d.pt", weights_only=True)
    assert (through["source"], through["rung"], through["eps"]) == (
        *("bit_depth", "surrogate"),
        "8/255",
    )


def test_what_the_bank_does_not_hold_is_refused(q: Path, run_cli: Run) -> None:
    export = ("bank", "export", q)
    refused(run_cli(*export, "fgms", "-o", "it.pt"), "'fgms'", "did you mean 'fgsm'?")
    refused(run_cli(*export, "fgsm", "-o", "it.pt", "--eps", "4/255"), "take 2/255 or 8/255")
    refused(run_cli(*export, "fgsm", "-o", "it.pt", "-d", "jpeg"), "defense bit_depth")
    damage_bit(next(f.path for f in read_index(q).holdings[1].files))
    refused(run_cli(*export, "fgsm", "-o", "it.pt"), "are damaged", "into a new folder")
    read_index(q).holdings[0].files[0].path.unlink()
    refused(run_cli(*export, "fgsm", "-o", "it.pt", "--eps", "2/255"), "lacks images 1 to 64")
    assert not Path("it.pt").exists()


def test_a_place_that_cannot_be_written_leaves_nothing(
    q: Path, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("in the way")
    refused(run_cli("bank", "export", q, "fgsm", "-o", "file/it.pt"), "cannot be written")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    answer = run_cli("bank", "export", q, "fgsm", "-o", "new/it.pt")
    refused(answer, "No space left on device")
    assert list(Path("new").iterdir()) == []


# --- import


def test_an_import_puts_back_what_was_exported(exported: Path, q: Path, run_cli: Run) -> None:
    answer = run_cli("bank", "import", exported, "other")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "66 examples of fgsm, 2 files: other\n"
    held = read_index(q).holdings[1]
    for file in held.files:
        same = Path("other").joinpath(*file.path.parts[1:])
        assert contents(same) == contents(file.path)
        beside = ".json"
        assert same.with_suffix(beside).read_bytes() == file.path.with_suffix(beside).read_bytes()
    assert run_cli("bank", "import", exported, q).out == (
        "66 examples of fgsm, 2 files, 2 of them there already: q\n"
    )
    damage_bit(held.files[0].path)
    assert "1 of them there already" in run_cli("bank", "import", exported, q).out
    assert run_cli("bank", "verify", q).code == 0


def test_names_that_share_memory_in_a_file_are_taken_apart(exported: Path, run_cli: Run) -> None:
    content = torch.load(exported, weights_only=True)
    content["forwards"] = content["backwards"]
    resealed(content)
    torch.save(content, exported)
    assert run_cli("bank", "import", exported, "other").code == 0


Change = Callable[[dict[str, Any]], None]


def resealed(content: dict[str, Any]) -> None:
    """Give the parts the hashes of what stands there now, as who forges a file would."""
    begin = 0
    for part in content["parts"]:
        here = slice(begin, begin := begin + part["count"])
        names = ("first_step", "forwards", "backwards", "seconds")
        stored = {"images": content["adv_complete"][here], **{n: content[n][here] for n in names}}
        stored["batch_dependent"] = torch.tensor(part["batch_dependent"])
        part["sha256"] = digest(stored)


def change(**facts: Any) -> Change:
    return lambda content: content.update(facts)


def drop(name: str) -> Change:
    return lambda content: content.__delitem__(name)


def images(make: Callable[[torch.Tensor], torch.Tensor], *, sealed: bool = True) -> Change:
    def edit(content: dict[str, Any]) -> None:
        content["adv_complete"] = make(content["adv_complete"])
        if sealed:
            resealed(content)

    return edit


def small(content: dict[str, Any]) -> None:
    content["adv_complete"], content["shape"] = content["adv_complete"][..., :16, :16], [3, 16, 16]
    resealed(content)


def backwards(content: dict[str, Any]) -> None:
    content["class_names"] = content["class_names"][::-1]


def swap_ids(content: dict[str, Any]) -> None:
    content["ids"][:2] = content["ids"][1::-1]


def swap_labels(content: dict[str, Any]) -> None:
    content["labels"][0] = (content["labels"][0] + 1) % 20


def endless(content: dict[str, Any]) -> None:
    content["forwards"][0] = float("nan")
    resealed(content)


def countless(content: dict[str, Any]) -> None:
    content["first_step"][0] = 2**40
    resealed(content)


def other_key(content: dict[str, Any]) -> None:
    content["parts"][0]["key"] = "0" * 64


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (change(schema=2), "is of schema 2, this version reads 1"),
        (drop("schema"), "is of schema None, this version reads 1"),
        (drop("format"), "superdef-bench verify submission it.pt"),
        (drop("labels"), "it lacks 'labels'"),
        (drop("made_by"), "made_by: Field required"),
        (change(parts=[]), "its parts are not of its 66 images"),
        (change(parts=3), "is damaged"),
        (change(harness="0" * 64), "made by other code or libraries"),
        (change(seed="zero"), "seed: Input should be a valid integer"),
        (change(labels=torch.zeros(3, dtype=torch.int64)), "labels has shape (3,), not (66,)"),
        (images(lambda x: x[:-1]), "labels has shape (66,), not (65,)"),
        (images(lambda x: x.double()), "images: not what examples have"),
        (images(lambda x: x + 0.5), "the limit is [0, 1]"),
        (images(lambda x: x * float("nan")), "NaN or infinite"),
        (images(lambda x: x.flip(0), sealed=False), "its tensors are not what was written"),
        (endless, "forwards has numbers that no attack counts"),
        (countless, "first_step has numbers that no attack counts"),
        (swap_ids, "the key is not that of these images"),
        (other_key, "the key is not that of these images"),
    ],
)
def test_an_export_that_contradicts_itself_is_refused(
    exported: Path, run_cli: Run, edit: Change, why: str
) -> None:
    content = torch.load(exported, weights_only=True)
    edit(content)
    torch.save(content, exported)
    refused(run_cli("bank", "import", exported, "other"), why)
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (small, "for a shape that the run does not have: [3, 16, 16], not [3, 32, 32]"),
        (backwards, "for class names, or another order of them"),
        (change(dataset_sha256="0" * 64), "for a dataset that the run does not have"),
        (change(seed=5), "for a seed that the run does not have: 5, not 0"),
        (change(eps="1/255", radius=1 / 255), "at an eps that the run does not have: linf 1/255"),
        (swap_labels, "its images from 1 on have other labels"),
        (images(lambda x: (x + 0.1).clamp(0, 1)), "left the linf ball"),
    ],
)
def test_an_export_that_does_not_fit_the_run_is_refused(
    exported: Path, q: Path, run_cli: Run, edit: Change, why: str
) -> None:
    content = torch.load(exported, weights_only=True)
    edit(content)
    torch.save(content, exported)
    before = {file: file.read_bytes() for file in files(q)}
    refused(run_cli("bank", "import", exported, q), why)
    assert {file: file.read_bytes() for file in files(q)} == before


def test_an_export_of_fewer_images_than_the_run_is_refused(
    q: Path, run_cli: Run, config: Callable[..., Path]
) -> None:
    evaluate(config(CONFIG), limit=5, rungs=["gray_box"], out="few")
    assert run_cli("bank", "export", "few", "fgsm", "-o", "few.pt").code == 0
    answer = run_cli("bank", "import", "few.pt", q)
    refused(answer, "does not fit the run: it attacks more of the images")
    assert run_cli("bank", "export", q, "fgsm", "-o", "it.pt").code == 0
    refused(run_cli("bank", "import", "it.pt", "few"), "its images from 1 on have other ids")


def _foreign(marker: Path) -> Iterator[tuple[str, Any, str]]:
    x = torch.rand(4, 3, 32, 32)
    hint = "superdef-bench verify submission it.pt"
    yield "bare tensor", x, hint
    yield "RobustBench", {"adv_complete": x}, hint
    yield "other", {"x": x}, "holds no tensor under 'adv_complete'"
    yield "code", {"adv_complete": x, "more": Evil(marker)}, "can run code: refused"


def test_foreign_cut_and_missing_files_are_refused(exported: Path, run_cli: Run) -> None:
    whole, marker = exported.read_bytes(), Path("ran").absolute()
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:100], b""):
        exported.write_bytes(content)
        refused(run_cli("bank", "import", exported, "other"), "file of examples it.pt")
    for _, content, why in _foreign(marker):
        torch.save(content, exported)
        refused(run_cli("bank", "import", exported, "other"), why)
    refused(run_cli("bank", "import", "none.pt", "other"), "does not exist")
    assert not marker.exists()
    assert not Path("other").exists()


def test_a_run_folder_that_cannot_be_written_is_one_line(exported: Path, run_cli: Run) -> None:
    Path("file").write_text("in the way")
    refused(run_cli("bank", "import", exported, "file"), "a file stands where a folder should")
