"""`evaluate_model`: a classifier in hand, with live and named defenses and attacks."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from superdef_bench import InputTransform, SuperdefError, evaluate_model
from superdef_bench.evaluation import Evaluation
from superdef_bench.results.load import load_results
from tests.support.commands import Answer
from tests.support.live import SOURCE, Dim, Few, Push, Tiny, images

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
QUICK: dict[str, Any] = {"masking": 0, "rungs": ["gray_box", "white_box"], "eps": 8 / 255}
_ROOT = Path(__file__).parents[2]


def small(model: object = None, dataset: object = None, **keys: Any) -> Evaluation:
    model = Tiny() if model is None else model
    dataset = images() if dataset is None else dataset
    return evaluate_model(model, dataset, **{"attacks": ["fgsm"], **QUICK, **keys})


def computed(found: Evaluation) -> int:
    count: int = found.results["provenance"]["records"]["computed"]
    return count


def test_its_numbers_are_those_of_the_same_parts_as_plugins(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    shutil.copy(SOURCE, tmp_path / "mine" / "live.py")
    (tmp_path / "live.toml").write_text("""
        [run]
        dataset = "few"
        model = "tiny"
        masking = 4
        eot = 2
        rungs = ["gray_box", "black_box", "white_box"]
        [threat]
        eps = ["2/255", "8/255"]
        [attacks]
        push = {}
        pgd = { steps = 3 }
        square = { queries = 20 }
        [defenses]
        dim = {}
        random_resize_pad = {}
        both = { chain = ["dim", { plugin = "median" }] }
    """)
    answer = run_cli("run", "live.toml", "--plugins-dir", "mine", "-o", "plugins")
    assert answer.code == 0, answer.err
    dim = Dim()
    found = evaluate_model(
        ("tiny", Tiny()),
        Few(),
        defenses=[("dim", dim), "random_resize_pad", ("both", {"chain": [("dim", dim), "median"]})],
        attacks=[("push", Push()), ("pgd", {"steps": 3}), ("square", {"queries": 20})],
        eps=[2 / 255, "8/255"],
        masking=4,
        eot=2,
        rungs=["gray_box", "black_box", "white_box"],
    )
    same = ("defense", "rung", "attack", "eps", "n", "accuracy", "verdicts", "shares", "psnr")
    wanted = load_results(Path("plugins")).document
    for mine, theirs in zip(found.results["accuracy"], wanted["accuracy"], strict=True):
        assert [mine.get(key) for key in same] == [theirs.get(key) for key in same]
    assert list(found.table.accuracy) == [row["accuracy"] for row in wanted["accuracy"]]
    for name, masking in found.masking.items():
        told = wanted["defenses"][name]["masking"]
        assert masking.verdict == told["verdict"]
        assert [check.evidence for check in masking.checks] == [
            check["evidence"] for check in told["checks"]
        ]


def test_a_saved_run_is_an_ordinary_one_that_says_what_was_live(
    run_cli: Run, tmp_path: Path
) -> None:
    found = small(defenses=[Dim(), "median"], name="mine")
    folder = found.save(tmp_path / "saved")
    files = found.leaderboard(tmp_path / "boards")
    assert {path.name for path in files} >= {"mine.md", "mine.json", "README.md"}
    assert run_cli("leaderboard", "saved").code == 0
    assert (tmp_path / "saved/mine.md").exists()
    assert "live:Dim (class = tests.support.live.Dim)" in (tmp_path / "boards/mine.md").read_text()
    told = load_results(folder).config["model"]
    assert (told["plugin"], told["arguments"]["class"]) == ("live:Tiny", "tests.support.live.Tiny")
    assert told["arguments"]["sha256"] == found.results["model"]["weights"]
    assert load_results(folder).provenance.folder == "saved"
    assert run_cli("show", "saved").code == 0
    for words in (("show", "saved", "000000"), ("reproduce", "saved", "--row", "1")):
        answer = run_cli(*words)
        assert answer.code == 2
        assert "was made from a live object, which only its process has" in answer.err
        assert {line.split(":")[0] for line in answer.err.splitlines()} == {"error", "hint"}
    with pytest.raises(SuperdefError, match="is not empty"):
        found.save(folder)


def test_the_temporary_folder_goes_with_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = small()
    assert len(list(tmp_path.iterdir())) == 1
    del found
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SuperdefError):
        small(dataset="few")
    assert list(tmp_path.iterdir()) == []


def test_the_same_object_resumes_and_one_that_was_changed_does_not(tmp_path: Path) -> None:
    model, dim = Tiny(), Dim()
    every: dict[str, Any] = {"defenses": [dim], "out": tmp_path / "run"}
    first = small(model, **every)
    assert computed(first) > 0
    assert computed(small(model, **every)) == 0
    dim.strength = 0.25  # nothing of it is in a state dict
    again = small(model, **every)
    assert 0 < computed(again) < computed(first)
    assert computed(small(model, **{**every, "defenses": [("Dim", Dim(0.25))]})) > 0
    with torch.no_grad():
        model.last.bias.add_(1)
    assert computed(small(model, **every)) == computed(first)


def test_another_process_does_not_resume(tmp_path: Path, quiet_environment: Any) -> None:
    first = small(defenses=[Dim()], out=tmp_path / "run")
    program = (
        "from tests.run.test_evaluate_model import *\n"
        "print(computed(small(defenses=[Dim()], out='run')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**quiet_environment, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{computed(first)}\n"), done.stderr


class Stops(InputTransform):
    """Is stopped by the user once it has seen a few batches."""

    seen = 0

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        Stops.seen += 1
        if Stops.seen > 6:
            raise KeyboardInterrupt
        return x


class Fails(InputTransform):
    def protect(self, model: nn.Module, task: object) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize("defense", [Dim(), Fails(), Stops()], ids=lambda d: type(d).__name__)
def test_networks_come_back_as_they_were(defense: InputTransform) -> None:
    model = Tiny().train()
    model.norm.eval()
    model.last.requires_grad_(False)
    model.first.weight.grad = torch.ones_like(model.first.weight)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    places = [tensor.data_ptr() for tensor in model.state_dict().values()]
    defense.train()
    try:
        small(model, defenses=[defense])
    except (SuperdefError, KeyboardInterrupt):
        assert not isinstance(defense, Dim)
    else:
        assert isinstance(defense, Dim)
    assert (model.training, model.first.training, model.norm.training) == (True, True, False)
    assert defense.training
    assert model.first.weight.requires_grad
    assert not model.last.weight.requires_grad
    assert model.first.weight.grad.sum() == model.first.weight.numel()
    assert [tensor.data_ptr() for tensor in model.state_dict().values()] == places
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_every_key_of_a_config_goes_by_its_name() -> None:
    found = small(
        surrogates=[("other", Tiny()), "defense:median"],
        defenses=["median", ("strong", {"plugin": "jpeg", "quality": 30, "limit": 4})],
        attacks=[("small", {"plugin": "fgsm", "eps": 0.5 / 255})],
        rungs=["transfer", "gray_box", "surrogate"],
        limits={"gray_box": 6},
        eps=[0.01, "8/255", 16 / 255],
        batch_size=3,
        seed=5,
        draws=25,
        eot=2,
        topk=2,
        cell_seconds=1000,
        limit=7,
    )
    config = found.results["config"]
    assert config["eps"] == ["0.01", "8/255", "16/255"]
    assert config["attacks"][0]["eps"] == ["0.00196078431372549"]
    wanted = {"batch_size": 3, "seed": 5, "draws": 25, "eot": 2, "topk": 2, "limit": 7}
    assert {key: config[key] for key in wanted} == wanted
    assert config["limits"] == {"gray_box": 6}
    assert [source["choice"]["name"] for source in config["sources"]] == ["other", "median"]
    assert set(found.table.rung) >= {"transfer", "gray_box", "surrogate"}
    assert found.table[found.table.defense == "strong"].n.max() == 4


class Secret(nn.Linear):
    def __repr__(self) -> str:
        raise AssertionError("nobody asks for it")


NET = Secret(1, 1)
X, Y = images()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": [NET]}, "a model cannot be a list"),
        ({"model": ("signs_resnet8", {"weights": NET})}, "'weights' of model 'signs_resnet8' is a"),
        ({"model": Tiny}, "model Tiny is a class, and not built"),
        ({"dataset": NET}, "a dataset cannot be a Secret, which has no 'name'"),
        ({"dataset": (X, Y, X)}, "a dataset cannot be a tuple"),
        ({"dataset": (X, NET)}, "the labels are a Secret, not a tensor"),
        ({"dataset": (255 * X, Y)}, "the images are in [0.0"),
        ({"dataset": ((255 * X).byte(), Y)}, "the images are torch.uint8"),
        ({"dataset": (X / 0, Y)}, "the images have pixels that are NaN or infinite"),
        ({"dataset": (X[0], Y)}, "the images have the shape (3, 8, 8)"),
        ({"dataset": (X[:0], Y[:0])}, "the images have the shape (0, 3, 8, 8)"),
        ({"dataset": (X, Y[:3])}, "there are 8 images and 3 labels"),
        ({"dataset": (X, Y.float())}, "the labels are torch.float32"),
        ({"dataset": (X, Y[:, None])}, "the labels have the shape (8, 1)"),
        ({"dataset": (X, Y - 9)}, "a label is -"),
        ({"dataset": (X, Y + 9)}, "the classifier has 4 classes"),
        ({"defenses": NET}, "defenses is a Secret, not a list"),
        ({"defenses": "jpeg"}, "defenses is a str, not a list"),
        ({"defenses": ("jpeg", {"quality": 30})}, "defenses is a tuple, not a list"),
        ({"defenses": [NET]}, "a defense cannot be a Secret, which has no 'protect'"),
        ({"defenses": [Dim(), Dim()]}, "two live defenses are named 'Dim'"),
        ({"defenses": [("jpeg", {"quality": NET})]}, "'quality' of defense 'jpeg' is a Secret"),
        ({"defenses": [("both", {"chain": [NET]})]}, "a defense cannot be a Secret"),
        ({"defenses": ["jpg"]}, "unknown defense 'jpg'"),
        ({"attacks": [NET]}, "an attack cannot be a Secret, which has no 'norms'"),
        ({"attacks": [5]}, "an attack cannot be an int"),
        ({"attacks": ["fgsm", "fgsm"]}, "two attacks are named 'fgsm'"),
        ({"attacks": [Push(), ("Push", {"plugin": "pgd"})]}, "two attacks are named 'Push'"),
        ({"surrogates": [Push()]}, "a model cannot be a Push"),
        ({"eps": NET}, "eps is a Secret"),
        ({"eps": 8}, "eps '8' is above 1"),
        ({"eps": torch.tensor(0.1)}, "eps is a Tensor"),
        ({"name": NET}, "name is a Secret"),
        ({"name": "a/b"}, "results are named 'a/b'"),
        ({"name": "records"}, "cannot be called 'records'"),
        ({"out": NET}, "out is a Secret"),
        ({"device": NET}, "device is a Secret"),
        ({"plugins_dir": NET}, "plugins_dir is a Secret"),
        ({"plugins_dir": "not_there"}, "plugins folder"),
        ({"limit": NET}, "limit is a Secret"),
        ({"limits": {"white_box": NET}}, "'white_box' of limits is a Secret"),
        ({"rungs": [NET]}, "rungs is a Secret"),
        ({"batchsize": 3}, "unknown key 'batchsize' in evaluate_model\nhint: did you mean 'batch_"),
        ({"ep": 3}, "unknown key 'ep' in evaluate_model\nhint: did you mean 'eps'"),
    ],
)
def test_what_does_not_fit_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SuperdefError) as caught:
        small(**given)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_it_shows_as_a_table_that_hides_nothing_and_obeys_nothing() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J|"
    found = small(defenses=[(hostile, Dim())])
    html = found._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in html
    assert html.count("<tr>") == 3
    for text in (str(found), repr(found)):
        assert "\x1b" not in text
        assert text.startswith("| rank | defense | clean |")
        assert "Conv2d" not in text
    assert set(found.ranking.defense) == {"none", hostile}


def test_cells_that_failed_are_told() -> None:
    class Breaks(Push):
        def __call__(self, *_: Any) -> Any:
            raise RuntimeError("out of ideas")

    found = small(attacks=["fgsm", Breaks()])
    assert any("out of ideas" in line for line in found.failures)
    assert "out of ideas" in str(found)
    assert "out of ideas" in found._repr_html_()
