"""What happened to one image, as text and as a picture."""

import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superdef_bench import evaluate, load_dataset
from tests.support.commands import CONFIG, Answer, records

Run = Callable[..., Answer]
Write = Callable[..., Path]

SIDE, GAP, LINE = 192, 8, 16


def panel(picture: Image.Image, row: int, column: int) -> np.ndarray:
    """Return a panel of a strip at the size of the image, in [0, 1]."""
    left, top = GAP + column * (SIDE + GAP), LINE + 2 * GAP + row * (SIDE + LINE + GAP)
    square = picture.crop((left, top, left + SIDE, top + SIDE))
    return np.asarray(square.resize((32, 32), Image.Resampling.NEAREST)) / 255


@pytest.fixture
def folder(run_cli: Run, config: Write) -> Path:
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\npgd = { steps = 2 }")
    answer = run_cli("run", config(text), "-o", "out")
    assert answer.code == 0, answer.err
    return Path("out")


def test_it_prints_every_record_and_draws_the_stored_example(run_cli: Run, folder: Path) -> None:
    image_id = str(load_dataset("signs").ids[3])
    answer = run_cli("show", folder, image_id)
    assert answer.code == 0, answer.err
    ours = [row for row in records(folder) if row["image_id"] == image_id]
    lines = [line for line in answer.out.splitlines() if "┃" not in line and "│" in line]
    assert sum("box" in line or "bpda" in line or "clean" in line for line in lines) >= len(ours)
    path = Path(answer.out.splitlines()[-1])
    picture = Image.open(path).convert("RGB")
    x, _ = load_dataset("signs").load([3])
    clean, adversarial, difference, defended, after = (panel(picture, 0, c) for c in range(5))
    assert np.abs(clean - x[0].permute(1, 2, 0).numpy()).max() < 0.01
    assert 0.02 < np.abs(adversarial - clean).max() < 8 / 255 + 0.01
    shown = np.clip(0.5 + 10 * (adversarial - clean), 0, 1)
    assert np.abs(difference - shown).max() < 0.06
    assert np.array_equal(defended, adversarial)  # the row of none
    assert np.array_equal(after, difference)


def test_an_attack_that_knows_the_defense_is_made_again(run_cli: Run, folder: Path) -> None:
    image_id = str(load_dataset("signs").ids[0])
    words = ("-d", "bicubic_x2", "-a", "pgd", "--rung", "white_box", "-o", "one.png")
    answer = run_cli("show", folder, image_id, *words)
    assert answer.code == 0, answer.err
    assert "jpeg" not in answer.out
    picture = Image.open(io.BytesIO(Path("one.png").read_bytes()))
    assert picture.size == (5 * (SIDE + GAP) + GAP, LINE + 2 * GAP + SIDE + LINE + GAP)
    far = np.abs(panel(picture, 0, 1) - panel(picture, 0, 0)).max()
    (row,) = [
        row
        for row in records(folder)
        if (row["image_id"], row["rung"], row["attack"]) == (image_id, "white_box", "pgd")
        and row["eps"] > 0.03
        and row["defense"] != "none"
    ]
    assert abs(far - row["linf"]) < 0.01


def test_what_is_wrong_from_the_start_is_drawn_as_it_is(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("limit = 8", "limit = 64").replace("bicubic_x2", "jpeg")
    path = config(text.replace("jpeg = {}", "jpeg = { quality = 3 }"))
    assert run_cli("run", path, "-o", "out", "--rung", "bpda").code == 0
    wrong = [row for row in records(Path("out")) if not row["rung"] and row["success"]]
    name = next(row["image_id"] for row in wrong if row["defense"] == "jpeg")
    answer = run_cli("show", "out", name, "-d", "jpeg", "--rung", "bpda", "-o", "wrong.png")
    assert answer.code == 0, answer.err
    picture = Image.open("wrong.png").convert("RGB")
    assert np.array_equal(panel(picture, 0, 0), panel(picture, 0, 1))


def test_without_an_image_it_lists_first_what_falls_once_the_defense_is_known(
    run_cli: Run, folder: Path
) -> None:
    answer = run_cli("show", folder)
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    cells = [line.split("│")[1:-1] for line in lines if "signs/test" in line and "│" in line]
    told = {name.strip(): why.strip() for name, _, _, why in cells}
    assert len(told) == 8
    ours = [row for row in records(folder) if row["defense"] == "bicubic_x2 (native)"]
    wanted = set()
    for name in told:
        mine = [row for row in ours if row["image_id"] == name]
        held = not any(row["success"] for row in mine if row["rung"] in ("", "gray_box"))
        if held and any(row["success"] for row in mine if row["rung"] in ("white_box", "bpda")):
            wanted.add(name)
    assert wanted
    assert set(list(told)[: len(wanted)]) == wanted == {name for name in told if told[name]}
    assert told[next(iter(told))].startswith("bicubic_x2")
    rest = [int(broken) for name, broken, _, _ in cells if name.strip() not in wanted]
    assert rest == sorted(rest, reverse=True)
    words = shlex.split(lines[-1])
    assert words[:2] == ["superdef-bench", "show"]
    shown = run_cli(*words[1:])
    assert shown.code == 0, shown.err
    assert "/255" in shown.out
    assert not re.search(r"linf 0\.", shown.out)


def test_probes_of_the_gradient_are_no_records_of_an_image(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("limit = 8", "limit = 2").replace("masking = 0", "masking = 2")
    assert run_cli("run", config(text), "-o", "out").code == 0
    rows = records(Path("out"))
    assert any(row["rung"] == "masking" and row["success"] for row in rows)
    told = [row for row in rows if row["rung"] != "masking"]
    lines = [line.split("│") for line in run_cli("show", "out").out.splitlines()]
    # A cell that goes on below has nothing before it.
    listed = [cells for cells in lines if len(cells) > 3 and cells[1].strip()]
    shown = {cells[1].strip(): [int(c) for c in cells[2:4]] for cells in listed}
    wanted: dict[str, list[int]] = {}
    for row in told:
        counts = wanted.setdefault(row["image_id"], [0, 0])
        counts[0] += row["success"]
        counts[1] += 1
    assert shown == wanted
    answer = run_cli("show", "out", told[0]["image_id"], "--rung", "black_box")
    assert answer.code == 2
    assert answer.err.splitlines()[1].startswith("hint: rungs: ")
    assert "masking" not in answer.err


def test_what_is_not_there_is_one_line(run_cli: Run, folder: Path) -> None:
    image_id = str(load_dataset("signs").ids[0])
    for words, message in (
        (["out", "nothing"], "has no image 'nothing'"),
        (["nowhere", "0"], "cannot be read"),
        (["out", image_id, "-a", "pgdd"], "did you mean 'pgd'"),
        (["out", image_id, "-d", "bicubic_x3"], "the run has no row 'bicubic_x3'"),
        (["out", image_id, "--rung", "black_box"], "under black_box"),
    ):
        answer = run_cli("show", *words)
        assert answer.code == 2
        assert message in answer.err
        assert len(answer.err.splitlines()) == 2


def test_a_row_that_a_rung_does_not_have_is_no_empty_picture(run_cli: Run, folder: Path) -> None:
    image_id = str(load_dataset("signs").ids[0])
    answer = run_cli("show", folder, image_id, "-d", "none", "--rung", "white_box", "-o", "no.png")
    assert answer.code == 2
    assert "under white_box" in answer.err
    assert not Path("no.png").exists()


OWN = """
from superdef_bench import InputTransform, hookimpl

class Own(InputTransform):
    def transform(self, x):
        return x

@hookimpl
def register_defenses():
    return {"own": Own}
"""


def test_a_run_folder_remembers_its_plugins_and_loads_them_if_trusted(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(OWN).name
    path = config(CONFIG.replace("bicubic_x2", "own").replace("limit = 8", "limit = 2"))
    assert run_cli("run", path, "-o", "out", "--plugins-dir", folder).code == 0
    assert json.loads(Path("out/manifest.json").read_text())["plugins_dir"] == [folder]
    shown = ("show", "out", str(load_dataset("signs").ids[0]), "-d", "own")
    for words in (
        shown,
        ("agreement", "out", "own", "none"),
        ("examples", "out", "fgsm", "-o", "e"),
    ):
        refused = run_cli(*words)
        assert refused.code == 2
        assert refused.err == (
            "error: run out was made with a plugins folder: 'own' is not here\n"
            f"hint: --plugins-dir {folder} loads them; so does --trust, which runs their code\n"
        )
        assert run_cli(*words, "--plugins-dir", folder).code == 0
        trusted = run_cli(*words, "--trust")
        assert (trusted.code, trusted.err) == (0, f"trusted: plugins folder {folder}\n")
    evaluate(path, out="python", plugins_dir=folder)
    assert json.loads(Path("python/manifest.json").read_text())["plugins_dir"] == [folder]
