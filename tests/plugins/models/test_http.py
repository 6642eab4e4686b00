"""A classifier behind an address, asked over a real connection to another process."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import load_model
from superdef_bench.core.errors import SuperdefError, UnavailableError
from superdef_bench.core.loader import load_dataset
from tests.support.classifier_service import TOKEN, service
from tests.support.commands import Answer

RUN = """
[run]
dataset = "signs"
model = {model}
limit = 4
batch_size = 4
masking = 0

[attacks]
fgsm = {{ rungs = ["transfer"] }}
square = {{ queries = 20, rungs = ["black_box"] }}

[transfer]
surrogates = ["model:signs_resnet14"]

[defenses]
bicubic_x2 = {{}}
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with service() as url:
        yield url


@pytest.fixture(scope="module")
def images() -> Tensor:
    return load_dataset("signs", split="test").load(range(5))[0]


def asked(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)


def seen(address: str) -> dict[str, int]:
    with urlopen(f"{address}/seen") as answer:
        return json.load(answer)


def test_answers_are_those_of_the_network_behind_it(address: str, images: Tensor) -> None:
    wanted = asked(load_model("signs_resnet8"), images)
    plain = load_model("http", url=f"{address}/classify", batch=2)
    before = seen(address).get("/classify", 0)
    torch.testing.assert_close(asked(plain, images), wanted, rtol=1e-5, atol=1e-5)
    assert seen(address)["/classify"] == before + 3
    open_inference = load_model("http", url=address, protocol="v2", model="signs")
    torch.testing.assert_close(asked(open_inference, images), wanted, rtol=1e-5, atol=1e-5)
    url = f"{address}/probabilities"
    logarithms = asked(load_model("http", url=url, scores="probabilities"), images)
    torch.testing.assert_close(logarithms, wanted.log_softmax(dim=1), rtol=1e-4, atol=1e-4)


def test_a_busy_service_is_asked_again(address: str, images: Tensor) -> None:
    model = load_model("http", url=f"{address}/busy", retries=2)
    assert asked(model, images).shape == (5, 20)
    assert seen(address)["/busy"] == 3


def test_an_answer_that_breaks_off_is_asked_for_again(address: str, images: Tensor) -> None:
    model = load_model("http", url=f"{address}/cut", retries=1, timeout=5)
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=r"broke off \(2 tries\)"):
        asked(model, images)
    assert seen(address)["/cut"] == 2
    assert time.monotonic() - start >= 0.25


def test_it_asks_no_faster_than_the_rate(address: str, images: Tensor) -> None:
    for path, batch, retries in (("/classify", 1, 0), ("/busy-for-good", 5, 4)):
        model = load_model("http", url=f"{address}{path}", batch=batch, rate=20, retries=retries)
        start = time.monotonic()
        try:
            asked(model, images)
        except UnavailableError:
            assert seen(address)[path] == 5
        assert time.monotonic() - start >= 4 / 20


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/slow", r"no answer within 0.3 s \(one try\)"),
        ("/broken", r"broke off \(one try\)"),
        ("/cut", r"broke off \(one try\)"),
        ("/dripping", r"no answer within 0.3 s \(one try\)"),
        ("/always-busy", r"answers 429: '\{\"error\": \"busy\"\}'"),
        ("/elsewhere", "answers 302"),
        ("/page", "no JSON: '<html>Sign in</html>'"),
        ("/list", r"no JSON object: '\[1\]'"),
        ("/nan", "scores that are not finite"),
        ("/short", r"scores \(4, 20\) for 5 images"),
        ("/words", "scores that are no table of numbers"),
        ("/classes", "'classes' and no predictions"),
    ],
)
def test_what_is_no_answer_is_told(address: str, images: Tensor, path: str, words: str) -> None:
    model = load_model("http", url=f"{address}{path}", retries=0, timeout=0.3)
    with pytest.raises(SuperdefError, match=words):
        asked(model, images)


def test_logits_are_no_probabilities(address: str, images: Tensor) -> None:
    model = load_model("http", url=f"{address}/classify", scores="probabilities")
    with pytest.raises(SuperdefError, match="no probabilities: a row adds up to"):
        asked(model, images)


def test_a_service_that_is_down_or_has_no_such_model_is_told_at_once(address: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SuperdefError, match=r"is not there \(2 tries\)"):
            load_model("http", url=url, protocol="v2", model="signs", retries=1)
    with pytest.raises(SuperdefError, match=r"answers 404: .*no such model"):
        load_model("http", url=address, protocol="v2", model="sings")
    with pytest.raises(SuperdefError, match=r"has outputs .*scores.*scores"):
        load_model("http", url=f"{address}/vague", protocol="v2", model="signs")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "models.example"}, "no address of a service"),
        ({"url": "file:///etc/hosts"}, "no address of a service"),
        ({"url": "https://me:secret@models.example"}, "a name or a password in it"),
        ({"url": "https://models.example/x?key=secret"}, r"a part behind \? or #"),
        ({"protocol": "v2"}, "no model named"),
        ({"model": "signs"}, "one model at an address"),
        ({"timeout": 0.0}, "timeout is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"rate": -1.0}, "rate is -1"),
        ({"token": "NO_SUCH_TOKEN"}, "clear text"),
        ({"url": "https://models.example", "token": "NO_SUCH_TOKEN"}, "holds no token"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(SuperdefError, match=words):
        load_model("http", **{"url": "http://models.example", **arguments})


def test_a_run_asks_the_service_as_it_would_the_network(
    address: str,
    tmp_path: Path,
    run_cli: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGNS_TOKEN", TOKEN)
    there = f'{{ plugin = "http", url = "{address}/classify", token = "SIGNS_TOKEN" }}'
    rows = {}
    for name, model in {"there": there, "here": '"signs_resnet8"'}.items():
        file = tmp_path / f"{name}.toml"
        file.write_text(RUN.format(model=model))
        answer = run_cli("run", str(file), "-o", str(tmp_path / name))
        assert answer.code == 0, answer.err
        document = json.loads((tmp_path / name / "results.json").read_text())
        rows[name] = {
            (row["defense"], row["rung"], row["attack"]): row["accuracy"]
            for row in document["accuracy"]
            if row["rung"] in ("", "transfer", "black_box")
        }
        assert TOKEN not in (tmp_path / name / "results.json").read_text()
    assert rows["there"] == {key: rows["here"][key] for key in rows["there"]}
    assert {rung for _, rung, _ in rows["there"]} == {"", "transfer", "black_box"}
    assert seen(address)[f"token Bearer {TOKEN}"] > 0


def test_a_spent_budget_ends_its_cells_and_keeps_the_others(
    address: str, tmp_path: Path, run_cli: Callable[..., Answer]
) -> None:
    model = f'{{ plugin = "http", url = "{address}/paid", budget = 100 }}'
    file = tmp_path / "short.toml"
    file.write_text(RUN.format(model=model))
    answer = run_cli("run", str(file), "-o", str(tmp_path / "short"))
    assert answer.code == 1
    assert "the budget of 100 images" in answer.err + answer.out
    document = json.loads((tmp_path / "short" / "results.json").read_text())
    rows = {(row["defense"], row["rung"]): row for row in document["accuracy"]}
    assert all(row["correct"] == row["n"] for row in rows.values() if row["rung"] == "")
    # Nothing that was not answered counts as fooled: another budget goes on where this one ended.
    assert document["failures"]
    assert not any(row["errors"] for row in document["accuracy"])
    file.write_text(RUN.format(model=model.replace("100", "1000")))
    answer = run_cli("run", str(file), "-o", str(tmp_path / "short"))
    assert answer.code == 0, answer.err
    more = json.loads((tmp_path / "short" / "results.json").read_text())
    assert more["provenance"]["records"]["reused"] >= 4 * len(rows)
    assert not more["failures"]


def test_other_classes_than_the_dataset_has_are_refused(
    address: str, tmp_path: Path, run_cli: Callable[..., Answer]
) -> None:
    model = f'{{ plugin = "http", url = "{address}/few" }}'
    file = tmp_path / "few.toml"
    file.write_text(RUN.format(model=model))
    answer = run_cli("run", str(file), "-o", str(tmp_path / "few"))
    assert answer.code == 2
    assert "7" in answer.err
    assert "20" in answer.err
