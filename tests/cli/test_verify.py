"""`verify` in the terminal: both engines on the same images, and examples that were handed in."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from superdef_bench import load_dataset, load_model
from superdef_bench.results.parity import load_parity, save_parity
from superdef_bench.results.statistics import pack_bits, unpack_bits, unpack_counts
from tests.support.commands import Answer

Run = Callable[..., Answer]
Write = Callable[..., Path]
QUICK = ("--limit", "6", "--eps", "64/255")  # a ball in which nothing stands


def only_file(folder: Path) -> Path:
    (file,) = folder.glob("*.json")
    return file


@pytest.mark.ci
def test_it_compares_keeps_and_draws_up_a_page(run_cli: Run, tmp_path: Path) -> None:
    out, page = tmp_path / "cases", tmp_path / "parity.md"
    answer = run_cli("verify", "autoattack", *QUICK, "-o", out, "--page", page)
    assert answer.code == 0, answer.err
    assert "Only the reference breaks none; only ours none." in answer.out
    assert "Parity holds: the reference alone may break 1, it breaks 0." in answer.out
    told = [line for line in answer.out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, told)) <= 80
    assert "**Parity holds**: in 1 of 1 cases" in page.read_text()
    first = load_parity(only_file(out))
    assert [run.engine for run in first.runs] == ["reference", "own"]
    assert [part.name for part in first.runs[1].parts] == ["apgd_ce", "apgd_t", "fab_t", "square"]
    again = run_cli("verify", "autoattack", *QUICK, "-o", out, "--alone", "4", "--json")
    assert json.loads(again.out)["difference"]["holds"] is True
    second = load_parity(only_file(out))
    # The reference is taken from the file, to the second; ours runs again.
    assert second.runs[0] == first.runs[0]
    assert {run.parts[0].name for run in second.runs if run.alone} == {
        *("apgd_ce", "apgd_t", "fab_t", "square")
    }
    rendered = run_cli("verify", "autoattack", "-o", out, "--page", page, "--only-page")
    assert rendered.code == 0
    assert "## Each part alone" in page.read_text()


@pytest.mark.slow
def test_it_exits_with_1_where_the_reference_breaks_more(run_cli: Run, tmp_path: Path) -> None:
    words = ("verify", "autoattack", "--limit", "3", "--eps", "1/25500", "-o", tmp_path)
    assert run_cli(*words).code == 0  # neither breaks any in so small a ball
    case = load_parity(only_file(tmp_path))
    reference, own = case.both()
    assert not reference.broken().any()
    # As if the reference had broken all: what it broke is not run again, ours is.
    part = reference.parts[-1].model_copy(update={"broken": pack_bits(np.ones(3, dtype=bool))})
    strong = reference.model_copy(update={"parts": (*reference.parts[:-1], part)})
    save_parity(case.model_copy(update={"runs": (strong, own)}), only_file(tmp_path))
    answer = run_cli(*words, "--page", tmp_path / "page.md")
    assert answer.code == 1
    assert "Only the reference breaks 3 (image 0, 1, 2)" in answer.out
    assert "Parity FAILS: the reference alone may break 1, it breaks 3." in answer.out
    assert "**Parity does not hold**" in (tmp_path / "page.md").read_text()


def test_json_is_all_that_stands_on_standard_output(run_cli: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    answer = run_cli("verify", "autoattack", *QUICK, "-o", tmp_path, "--json", "--page", page)
    assert json.loads(answer.out)["difference"]["holds"] is True
    assert page.exists()


def test_a_damaged_case_says_what_to_do(run_cli: Run, tmp_path: Path) -> None:
    run_cli("verify", "autoattack", *QUICK, "-o", tmp_path)
    file = only_file(tmp_path)
    file.write_text(file.read_text().replace('"n": 6', '"n": 7', 1))
    answer = run_cli("verify", "autoattack", *QUICK, "-o", tmp_path)
    assert answer.code == 2
    assert "hint: delete the file; superdef-bench verify autoattack then writes it" in answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--norm", "l2"), "norm is l2, and the radii of the config are for linf"),
        (("--only-page",), "--only-page without --page writes nothing"),
        (("--only-page", "--page", "p.md", "--json"), "--only-page runs nothing that --json could"),
        (("-d", "nothing"), "nothing"),
        (("--model", "signs_resnet8", "--eps", "0"), "eps '0' is not above 0"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    run_cli: Run, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    answer = run_cli("verify", "autoattack", *words, "--limit", "4", "-o", tmp_path)
    assert answer.code == 2
    assert told in answer.err


TINY = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 8
masking = 0
eot = 2
rungs = ["gray_box", "white_box"]
[threat]
eps = ["1/255", "4/255"]
[attacks]
fgsm = {}
[defenses]
jpeg = { quality = 90 }
gaussian_noise = {}
"""


def one_step(n: int = 8, eps: float = 4 / 255) -> torch.Tensor:
    """Return what one step at the bare classifier makes of the first images."""
    x, y = load_dataset("signs").load(range(n))
    moved = x.clone().requires_grad_(True)
    loss = torch.nn.functional.cross_entropy(load_model("signs_resnet8").eval()(moved), y)
    (slope,) = torch.autograd.grad(loss, moved)
    return (x + eps * slope.sign()).clamp(0, 1)


def handed_in(run_cli: Run, config: Path, *words: object) -> Answer:
    return run_cli("verify", "submission", "a.pt", "--config", config, *words)


def test_examples_are_scored_on_all_rows_and_no_bound_is_claimed(
    run_cli: Run, config: Write
) -> None:
    torch.save({"adv_complete": one_step(), "eps": "4/255"}, "a.pt")
    answer = handed_in(run_cli, config(TINY))
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    told = " ".join(answer.out.split())
    assert "a.pt: signs, signs_resnet8, linf 4/255" in told
    for row in ("none", "jpeg", "gaussian_noise"):
        assert f"│ {row} " in told
    assert "The file says, and it is so: eps. Not said: labels, ids, norm, dataset," in told
    assert "Of published bounds nothing is claimed" in told
    assert "Upper bounds" not in told


def test_a_seed_of_the_reviewer_gives_random_defenses_other_draws(
    run_cli: Run, config: Write
) -> None:
    torch.save(one_step(), "a.pt")
    words = ("-d", "gaussian_noise", "--json")
    first, again, other = (
        {row["defense"]: row for row in json.loads(answer.out)["rows"]}
        for answer in (
            handed_in(run_cli, config(TINY), *words),
            handed_in(run_cli, config(TINY), *words),
            handed_in(run_cli, config(TINY), *words, "--seed", "7"),
        )
    )
    assert first == again
    assert list(first) == ["none", "gaussian_noise"]
    assert first["none"] == other["none"]
    one, two = (unpack_counts(rows["gaussian_noise"]["shares"]) for rows in (first, other))
    assert (one != two).any()
    assert first["gaussian_noise"]["draws"] == 20


@pytest.mark.ci
def test_bounds_of_a_table_fall_by_what_is_newly_broken(run_cli: Run, config: Write) -> None:
    weak = TINY.replace("fgsm = {}", "square = { queries = 2 }").replace("white_box", "black_box")
    path = config(weak)
    assert run_cli("run", path, "-o", "table").code == 0
    torch.save(one_step(), "a.pt")
    against = ("--against", "table/results.json")
    answer = handed_in(run_cli, path, *against)
    assert answer.code == 0, answer.err
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "Upper bounds of tiny" in answer.out
    found = json.loads(handed_in(run_cli, path, *against, "--json").out)
    bare = found["against"]["rows"][0]
    assert bare["lowers"]
    lowered = [row["defense"] for row in found["against"]["rows"] if row["lowers"]]
    assert f"Lowered: {', '.join(lowered)}." in " ".join(answer.out.split())
    right = unpack_bits(found["rows"][0]["verdicts"], 8)
    ids = load_dataset("signs").ids[:8]
    assert {name for name, is_right in zip(ids, right, strict=True) if not is_right} >= set(
        bare["newly_broken"]
    )
    assert bare["with_submission"]["accuracy"] == right.mean()
    # The same examples at another radius are no submission for the table.
    torch.save(one_step(eps=2 / 255), "a.pt")
    answer = handed_in(run_cli, path, *against, "--eps", "2/255")
    assert answer.code == 2
    assert answer.err.startswith("error: tiny is not comparable: threat eps is [0.0039")


@pytest.mark.parametrize(
    ("content", "words", "told"),
    [
        (
            lambda: one_step(4),
            (),
            "a.pt has 4 examples, the config 8 images\nhint: --limit 4 takes",
        ),
        (one_step, ("--eps", "2/255"), "8 of 8 examples leave the linf ball of 2/255; image"),
        (
            lambda: {"adv_complete": one_step(), "eps": "2/255"},
            (),
            "a.pt says eps 2/255, here it is 4/255",
        ),
        (lambda: {"images": one_step()}, (), "holds no tensor under 'adv_complete'"),
        (one_step, ("-d", "nothing"), "nothing"),
        (one_step, ("--against", "gone.json"), "results gone.json cannot be read"),
    ],
)
def test_a_submission_that_does_not_fit_is_one_line(
    run_cli: Run, config: Write, content: Callable[[], object], words: tuple[str, ...], told: str
) -> None:
    torch.save(content(), "a.pt")
    answer = handed_in(run_cli, config(TINY), *words)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_parity_is_not_asked_of_a_defense_that_draws(run_cli: Run) -> None:
    answer = run_cli("verify", "autoattack", "-d", "gaussian_noise", "--limit", "2")
    assert answer.code == 2
    assert "'gaussian_noise' draws random numbers" in answer.err
    assert not Path("runs").exists()
