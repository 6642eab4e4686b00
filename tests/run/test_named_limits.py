"""What is weak, idle or cut short in a benchmark is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer
from tests.support.documents import example

Run = Callable[..., Answer]
Write = Callable[..., Path]

SQUARE = CONFIG.replace("fgsm = {}", "fgsm = {}\nsquare = { queries = 2%s }")


def text_of(document: dict[str, object]) -> str:
    results = Results.of(document)
    return leaderboard(results, rank(results))


def test_an_attack_whose_rungs_never_apply_is_an_error(run_cli: Run, config: Write) -> None:
    answer = run_cli("run", config(SQUARE % ', rungs = ["white_box", "bpda"]'))
    assert (answer.code, answer.out) == (2, "")
    assert "attack 'square' would never run: it asks for scores, and white_box, bpda" in answer.err
    assert "hint: take from ['transfer', 'gray_box', 'surrogate', 'black_box']" in answer.err


def test_an_attack_that_no_rung_of_the_run_takes_is_named(run_cli: Run, config: Write) -> None:
    answer = run_cli("run", config(SQUARE % ""), "--rung", "white_box", "--limit", 4)
    assert answer.code == 0
    said = "attack square did not run: it asks for scores"
    assert said in " ".join(answer.out.split())
    assert said in Path("runs/tiny/tiny.md").read_text()
    assert "attack fgsm did not run" not in answer.out
    other = CONFIG.replace("fgsm = {}", 'fgsm = {}\npgd = { steps = 1, rungs = ["gray_box"] }')
    answer = run_cli("run", config(other), "--rung", "white_box", "--limit", 4)
    assert "attack pgd did not run" in answer.out
    assert "it names none of them" in " ".join(answer.out.split())


def test_a_masking_verdict_on_few_images_says_how_many() -> None:
    document = example()
    name, facts = next((k, v) for k, v in document["defenses"].items() if k != "none")
    check = {"check": "repeat", "outcome": "pass", "p": 1.0, "adjusted": 1.0, "evidence": "none"}
    for n, shown in ((8, "| pass (n = 8) | 1 of 1 | 8 |"), (32, "| pass | 1 of 1 | 32 |")):
        facts["masking"] = {"verdict": "pass", "checks": [{**check, "n": n}]}
        text = text_of(document)
        assert shown in next(
            line for line in text.splitlines() if f"| {name} " in line and "1 of 1" in line
        )
        assert ("fewer than 32 images says n" in text) == (n < 32)


def test_conditional_accuracies_say_of_how_many_images() -> None:
    text = text_of(example())
    assert "among the images of the row's adaptive accuracy (n = 24)" in text
    assert "gets right, among all of the cell (n = 8 or 24)" in text


def test_the_limit_that_decides_the_ranked_images_is_named(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("bicubic_x2 = {}", "median = {}\njpeg = { limit = 3 }")
    assert run_cli("run", config(text)).code == 0
    assert "ranked on 3, the limit of row jpeg" in Path("runs/tiny/tiny.md").read_text()
    text = CONFIG.replace("bicubic_x2", "median").replace(
        "masking = 0", "masking = 0\nlimits = { white_box = 2 }"
    )
    assert run_cli("run", config(text), "-o", "two").code == 0
    assert "ranked on 2, the limit of rung white_box" in Path("two/tiny.md").read_text()
    assert "the limit of" not in text_of(example())


def test_the_attacked_classifier_is_no_surrogate_of_itself(run_cli: Run, config: Write) -> None:
    rungs = CONFIG.replace('"gray_box"', '"transfer", "gray_box"')
    path = config(rungs + '\n[transfer]\nsurrogates = ["model:signs_resnet8"]\n')
    answer = run_cli("run", path)
    assert (answer.code, answer.out) == (2, "")
    assert "'model:signs_resnet8' is the attacked classifier itself\nhint: the rung" in answer.err
    twin = '\n[transfer]\nsurrogates = ["model:twin"]\n[models]\ntwin = "signs_resnet8"\n'
    assert run_cli("run", config(rungs + twin), "--limit", 2).code == 0
    assert "twin has the code and weights of the attacked classifier" in " ".join(
        Path("runs/tiny/tiny.md").read_text().split()
    )
    assert [s["same"] for s in load_results(Path("runs/tiny")).document["sources"]] == [True, True]


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        (CONFIG.replace("fgsm = {}", "fgsm = { rungs = [] }"), "rungs of attack 'fgsm' is []", ""),
        (
            CONFIG + '\n[transfer]\nsurrogates = ["bicubic_x2"]\n',
            "surrogate 'bicubic_x2' is no model: or defense:",
            'write surrogates = ["defense:bicubic_x2"]',
        ),
        (
            CONFIG + '\n[transfer]\nsurrogates = ["soft"]\n[models]\nsoft = "signs_resnet14"\n',
            "surrogate 'soft' is no model: or defense:",
            'write surrogates = ["model:soft"]',
        ),
        (
            CONFIG.replace("limit = 8", "limit = 8\nsurrogates = []"),
            "[run] has 'surrogates'",
            "write them below [transfer]",
        ),
        (
            CONFIG.replace("bicubic_x2 = {}", 'soft = { plugin = "jpg" }'),
            "tiny.toml, line 14: unknown defense 'jpg'",
            "did you mean 'jpeg'",
        ),
        (
            CONFIG.replace("bicubic_x2 = {}", "jpeg = { qualty = 5 }"),
            "tiny.toml, line 14: defense 'jpeg'",
            "did you mean 'quality'",
        ),
    ],
)
def test_mistakes_name_what_is_meant(
    run_cli: Run, config: Write, text: str, said: str, hint: str
) -> None:
    answer = run_cli("run", config(text))
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert hint in answer.err
    assert len(answer.err.splitlines()) <= 2
