"""Attacks that run against some defenses only, by kind or by name, and what `none` meets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.results.config_text import config_toml
from superdef_bench.results.contradictions import contradictions
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import like_for_like, rank
from superdef_bench.results.schema import Results
from superdef_bench.results.suite import suite_of
from tests.support.commands import CONFIG, Answer

Run = Callable[..., Answer]
Write = Callable[..., Path]

ASKED = {("black_box", "asked"), ("black_box", "asked_first")}
KINDS = CONFIG.replace(
    "fgsm = {}",
    'fgsm = { rungs = ["gray_box"] }\n'
    'fixed = { plugin = "pgd", steps = 2, rungs = ["white_box"], defenses = "deterministic" }\n'
    'drawn = { plugin = "pgd", steps = 3, rungs = ["white_box"], defenses = "random" }',
).replace("bicubic_x2 = {}", "wavelet = {}\ngaussian_noise = {}")


def met(results: Results, defense: str) -> set[tuple[str, str]]:
    """Return the rungs and attacks of a row's cells."""
    return {(row.rung, row.attack) for row in results.rows(defense=defense) if row.attacked}


def test_each_kind_of_defense_meets_its_own_attacks_and_is_ranked(
    run_cli: Run, config: Write
) -> None:
    text = KINDS.replace('"white_box", "bpda"]', '"white_box"]').replace("limit = 8", "limit = 6")
    assert run_cli("run", config(text)).code == 0
    results = load_results(Path("runs/tiny"))
    gray, fixed, drawn = ("gray_box", "fgsm"), ("white_box", "fixed"), ("white_box", "drawn")
    assert met(results, "wavelet") - {("gray_box", "worst"), ("adaptive", "worst")} == {gray, fixed}
    assert drawn in met(results, "gaussian_noise")
    assert fixed not in met(results, "gaussian_noise")
    assert drawn not in met(results, "none")
    assert not any(facts.missing for facts in results.defenses.values())
    assert results.attacks["drawn"].defenses == "random"
    assert list(contradictions(results)) == []
    answer = run_cli("leaderboard", "runs/tiny", "-o", "boards")
    assert answer.code == 0, answer.err
    assert "random defenses only" in Path("boards/tiny.md").read_text()


VIEWED = """
import torch
from superdef_bench import InputTransform, hookimpl

class Coarse(InputTransform):
    differentiable = False
    def transform(self, x):
        return (x * 15).round() / 15

class Slow(Coarse):
    def transform(self, x):
        assert not self.training
        return (x * 255).round() / 255
    def attack_view(self):
        return Coarse()

class Vague(Slow):
    def attack_view(self):
        return None

class Weighty(Slow):
    def attack_view(self):
        view = Coarse()
        view.factor = torch.nn.Parameter(torch.ones(1))
        return view

class Spy:
    norms, kind, access, batch_dependent = frozenset({"linf"}), "budget", "gradient", False
    def __call__(self, model, x, y, threat, context):
        with open("goals.txt", "a") as file:
            file.write(f"{context.goal} ")
        return x.clone()

@hookimpl
def register_defenses():
    return {"slow": Slow, "vague": Vague, "weighty": Weighty}

@hookimpl
def register_attacks():
    return {"spy": Spy}
"""


def test_a_row_says_that_attacks_saw_a_cheaper_view(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(VIEWED)
    text = CONFIG.replace("bicubic_x2 = {}", "slow = {}\njpeg = {}").replace(
        "limit = 8", "limit = 2"
    )
    answer = run_cli("run", config(text), "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    assert [name for name, facts in results.defenses.items() if facts.attack_view] == ["slow"]
    assert not results.defenses["slow"].missing
    page = Path("runs/tiny/tiny.md").read_text()
    assert "slow: attacks that go around it (BPDA) saw a cheaper attack view" in page
    # What fools the view alone may not fool the defense: every image gets the whole budget.
    goals = {}
    for name in ("slow", "jpeg"):
        Path("goals.txt").unlink(missing_ok=True)
        words = ("-d", name, "-a", "spy", "--rung", "bpda", "-o", f"runs/{name}")
        spied = config(text.replace("fgsm = {}", "spy = {}"))
        assert run_cli("run", spied, *words, "--plugins-dir", folder).code == 0
        goals[name] = Path("goals.txt").read_text().split()
    assert set(goals["slow"]) == {"strength", "verdict"}  # of `none`, a verdict
    assert set(goals["jpeg"]) == {"verdict"}
    for name, why in (("vague", "attack_view NoneType"), ("weighty", "weights of its own")):
        other = text.replace("slow = {}", f"{name} = {{}}")
        answer = run_cli("run", config(other), "--plugins-dir", folder)
        assert answer.code == 2
        assert why in answer.err


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ('defenses = "random"', "its attacks run against random defenses only"),
        ('defenses = "some"', "'some'"),
        ('defenses = ["none"]', "its attacks run against none only"),
        ('defenses = ["bicubic"]', "did you mean 'bicubic_x2'?"),
        ("defenses = []", "name rows"),
        ("defenses = [1]", "name rows"),
    ],
)
def test_a_rung_without_such_an_attack_says_why(
    run_cli: Run, config: Write, attack: str, why: str
) -> None:
    answer = run_cli("run", config(CONFIG.replace("fgsm = {}", f"fgsm = {{ {attack} }}")), "--plan")
    assert why in " ".join((answer.out + answer.err).split())


def test_named_rows_alone_meet_an_attack(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace(
        "fgsm = {}",
        "fgsm = {}\n"
        'asked = { plugin = "square", queries = 5, defenses = ["bicubic_x2"] }\n'
        'asked_first = { plugin = "square", queries = 6, limit = 2, defenses = ["none", "jpeg"] }',
    )
    text = text.replace("bicubic_x2 = {}", "bicubic_x2 = {}\njpeg = {}\nmedian = {}")
    text = text.replace('"gray_box", "white_box", "bpda"', '"gray_box", "black_box", "bpda"')
    assert run_cli("run", config(text.replace("limit = 8", "limit = 4"))).code == 0
    results = load_results(Path("runs/tiny"))
    by_row = {name: met(results, name) & ASKED for name in results.defenses}
    assert by_row == {
        "none": {("black_box", "asked_first")},
        "bicubic_x2 (native)": {("black_box", "asked")},
        "jpeg": {("black_box", "asked_first")},
        "median": set(),
    }
    assert not any(facts.missing for facts in results.defenses.values())
    assert results.attacks["asked"].defenses == ("bicubic_x2",)
    assert list(contradictions(results)) == []
    answer = run_cli("leaderboard", "runs/tiny", "-o", "boards")
    assert answer.code == 0, answer.err
    assert "bicubic_x2 only" in Path("boards/tiny.md").read_text()


def test_a_config_of_some_rows_names_those_alone(run_cli: Run, config: Write) -> None:
    asked = 'asked = { plugin = "square", queries = 5, defenses = ["jpeg", "median"] }'
    other = asked.replace("asked", "other", 1).replace('"jpeg", ', "")
    text = CONFIG.replace("fgsm = {}", f"fgsm = {{}}\n{asked}\n{other}")
    text = text.replace("bicubic_x2 = {}", "jpeg = {}\nmedian = {}").replace("= 8", "= 2")
    assert run_cli("run", config(text), "-d", "jpeg").code == 0
    written = config_toml(load_results(Path("runs/tiny")))
    assert 'defenses = ["jpeg"]' in written
    assert "other" not in written
    again = config(written)
    assert run_cli("run", again, "-o", "runs/again").code == 0


def test_what_leaves_parts_out_of_examples_meets_the_bare_classifier_whole(
    run_cli: Run, config: Write
) -> None:
    text = CONFIG.replace("fgsm = {}", 'fgsm = {}\nautoattack = { eps = "8/255" }')
    text = text.replace("limit = 8", "limit = 4").replace("bicubic_x2 = {}", "")
    assert run_cli("run", config(text)).code == 0
    results = load_results(Path("runs/tiny"))
    (name,) = (n for n in results.attacks if n.startswith("autoattack"))
    goals = {row.rung: row.goal for row in results.rows(defense="none", attack=name)}
    assert goals == {"gray_box": "strength", "white_box": "verdict", "bpda": "verdict"}
    assert {row.goal for row in results.rows(defense="none", attack="fgsm")} == {"strength"}
    worst = results.worst("none", "adaptive")
    assert worst is not None
    cells = [row for row in results.rows(defense="none") if row.attacked and not row.worst]
    assert worst.correct <= min(row.correct for row in cells)
    assert list(contradictions(results)) == []
    assert results.attacks[name].less_in_strength
    assert like_for_like(results, "none", 8 / 255) == (0.0, "fgsm")
    number = next(
        n
        for n, row in enumerate(results.accuracy, 1)
        if (row.defense, row.rung, row.attack) == ("none", "bpda", name)
    )
    answer = run_cli("reproduce", "runs/tiny", "--row", str(number))
    assert answer.code == 0, answer.out + answer.err


def test_it_meets_it_on_bpda_alone_too_and_is_ranked(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", 'autoattack = { eps = "8/255" }')
    text = text.replace('"gray_box", "white_box", "bpda"', '"bpda"').replace(
        "limit = 8", "limit = 2"
    )
    assert run_cli("run", config(text.replace("bicubic_x2", "wavelet"))).code == 0
    results = load_results(Path("runs/tiny"))
    assert {s.defense for s in rank(results) if s.rank is not None} == {"none", "wavelet"}
    assert results.rows(defense="none", rung="bpda")


def test_what_is_replayed_on_random_rows_alone_is_made_on_the_bare_classifier(
    run_cli: Run, config: Write
) -> None:
    text = KINDS.replace('rungs = ["white_box"], defenses = "random"', 'defenses = "random"')
    text = text.replace("limit = 8", "limit = 4")
    plan = " ".join(run_cli("run", config(text), "--plan").out.split())
    assert "│ gray_box │ drawn │ 0 │" not in plan
    assert run_cli("run", config(text)).code == 0
    results = load_results(Path("runs/tiny"))
    assert ("gray_box", "drawn") in met(results, "none")
    assert ("white_box", "drawn") not in met(results, "none")
    assert ("gray_box", "drawn") in met(results, "gaussian_noise")
    assert ("gray_box", "drawn") not in met(results, "wavelet")


@pytest.mark.slow
def test_rounded_to_8_bits_it_is_no_full_suite(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", 'autoattack = { eps = "8/255" }').replace(
        "bicubic_x2", "jpeg"
    )
    text = text.replace("limit = 8", "limit = 2")
    suites = []
    for flags in ([], ["--eightbit"]):
        out = f"runs/{len(flags)}"
        assert run_cli("run", config(text), "-o", out, *flags).code == 0
        results = load_results(Path(out))
        suites.append({str(suite_of(results, standing)) for standing in rank(results)})
    assert suites == [{"every attack of a full suite, on 2 images"}, {"quick"}]
