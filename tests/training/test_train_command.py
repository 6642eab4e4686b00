"""`superdef-bench train`: flags, settings files, the task, and what goes wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.choices import with_none
from superdef_bench.benchmark.config import find_config, load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.training.train import task_to_train_for
from tests.support.commands import Answer

ECHO = """
import errno, json
from typing import Literal
import torch
from torch import nn
from superdef_bench import DataError, hookimpl, load_model

class Plain:
    def train(self, task, *, data, out, device, resume, steps: int = 8, lr: float = 1e-3,
              schedule: Literal["one_cycle", "cosine"] = "one_cycle", teacher: str = "",
              quick: bool = False, batch_size: int = 4, fail: str = ""):
        if fail == "data":
            raise DataError("the photographs are gone", hint="bring them back")
        if fail == "disk":
            raise OSError(errno.ENOSPC, "No space left on device", str(out))
        if fail == "stop":
            raise KeyboardInterrupt
        seen = dict(data=data, resume=resume, steps=steps, lr=lr, quick=quick,
                    schedule=schedule, teacher=teacher, batch_size=batch_size)
        if task is not None:
            logits = load_model(task.model)(torch.zeros(1, *task.input_shape))
            assert logits.shape[1] == task.num_classes
            seen["task"] = [task.dataset, task.sha256, task.num_classes, list(task.class_names),
                            list(task.input_shape), task.model, len(task.model_fingerprint)]
        out.mkdir(parents=True, exist_ok=True)
        (out / "seen.json").write_text(json.dumps(seen))
        return [out / "seen.json"]

class Echo(Plain):
    data = "photographs"

class Needy(Plain):
    def train(self, task, *, data, out, device, resume, weights: str):
        return [out / weights]

class Clashing(Plain):
    def train(self, task, *, data, out, device, resume, model: str = ""):
        return []

class Mean(nn.Module):
    def forward(self, x):
        return torch.cat([x.mean(dim=(2, 3)), x.mean(dim=(1, 2, 3))[:, None]], dim=1)

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())

def maps():
    return nn.Conv2d(3, 4, 3)

def sized(*, classes: int):
    return Mean()

@hookimpl
def register_recipes():
    return {"plain": Plain, "echo": Echo, "needy": Needy, "clashing": Clashing}

@hookimpl
def register_models():
    return {"mean": Mean, "grey": grey, "maps": maps, "sized": sized}
"""
Run = Callable[..., Answer]


@pytest.fixture
def train(run_cli: Run, plugin_folder: Callable[..., Path]) -> Run:
    """Return a function that runs `train` with the plugins above."""
    folder = plugin_folder(ECHO)
    return lambda *words: run_cli("train", *words, "--plugins-dir", folder)


def seen(answer: Answer, folder: str = "runs/train-echo") -> dict[str, Any]:
    assert answer.code == 0, answer.err
    assert answer.out == f"{folder}/seen.json\n"
    found: dict[str, Any] = json.loads(Path(folder, "seen.json").read_text())
    return found


def refused(answer: Answer) -> str:
    assert (answer.code, answer.out) == (2, "")
    assert 1 <= len(answer.err.splitlines()) <= 2
    return answer.err


def test_data_is_the_recipes_own_or_signs_unless_named(train: Run) -> None:
    assert seen(train("echo"))["data"] == "photographs"
    assert seen(train("plain"), "runs/train-plain")["data"] == "signs"
    assert seen(train("echo", "--data", "here"))["data"] == "here"


def test_a_misspelt_flag_may_be_one_of_the_command(train: Run) -> None:
    assert "no flag '--confg'\nhint: did you mean '--config'?" in refused(train("echo", "--confg"))
    assert "hint: did you mean '--steps'?" in refused(train("echo", "--step", "3"))


def test_flags_win_over_the_file_and_the_file_over_defaults(train: Run) -> None:
    text = 'steps = 3\nlr = 1\nteacher = "t.safetensors"\ndata = "mine"\ndevice = "cpu"\n'
    Path("my.toml").write_text(text + 'quick = true\nschedule = "cosine"\n')
    written = seen(train("echo", "--config", "my.toml"))
    assert written["data"] == "mine"
    values = [written[n] for n in ("steps", "lr", "quick", "schedule", "teacher", "batch_size")]
    assert values == [3, 1, True, "cosine", "t.safetensors", 4]
    flags = ["--steps", "5", "--data", "yours", "--quick=false", "--resume", "-o", "there"]
    said = seen(train("echo", *flags, "--config", "my.toml"), "there")
    values = [said[n] for n in ("steps", "data", "quick", "lr", "resume")]
    assert values == [5, "yours", False, 1, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step = 3", "unknown setting 'step' in my.toml\nhint: did you mean 'steps'?"),
        ("modle = 'mean'", "unknown setting 'modle' in my.toml\nhint: did you mean 'model'?"),
        ("batch-size = 4", "'batch-size' in my.toml\nhint: write batch_size: names in a file have"),
        ("steps = 'many'", "'steps' in my.toml is 'many'\nhint: it takes a whole number"),
        ("steps = 2.5", "'steps' in my.toml is 2.5"),
        ("lr = nan", "'lr' in my.toml is nan"),
        ("schedule = 'flat'", "is 'flat'\nhint: it takes 'one_cycle', 'cosine'"),
        ("data = 3", "'data' in my.toml is 3\nhint: it takes text"),
        ("resume = true", "give it on the command line: --resume"),
        ("[echo]\nsteps = 3", "'echo' in my.toml is a table"),
        ("steps = [3]", "'steps' in my.toml is [3]"),
        ("steps 3", "settings my.toml are no TOML"),
        ("device = 'tpu'", "device 'tpu' cannot be used"),
    ],
)
def test_a_bad_file_is_named(train: Run, text: str, message: str) -> None:
    Path("my.toml").write_text(text)
    assert message in refused(train("echo", "--config", "my.toml"))
    assert not Path("runs").exists()


def test_a_file_that_cannot_be_read_is_one_line(train: Run) -> None:
    message = refused(train("echo", "--config", "nowhere.toml"))
    assert "settings nowhere.toml cannot be read: No such file" in message
    Path("binary.toml").write_bytes(b"\xff\xfe")
    assert "are no TOML" in refused(train("echo", "--config", "binary.toml"))
    assert "cannot be read" in refused(train("echo", "--config", "."))


def test_a_setting_without_default_has_to_come_from_somewhere(train: Run) -> None:
    assert "recipe 'needy' needs --weights" in refused(train("needy"))
    assert train("needy", "--weights", "w").out == "runs/train-needy/w\n"
    Path("my.toml").write_text("weights = 'v'")
    assert train("needy", "--config", "my.toml").out == "runs/train-needy/v\n"


def test_a_setting_that_train_would_hide_is_refused(train: Run) -> None:
    assert "'clashing' has a setting --model" in refused(train("clashing", "--model", "mean"))


def picture(place: str, size: int = 8) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (200, 100, 50)).save(place)


def test_the_task_is_that_of_a_dataset_plugin(train: Run) -> None:
    words = ["echo", "--data", "signs", "--model", "signs_resnet8"]
    name, digest, classes, names, shape, model, _ = seen(train(*words))["task"]
    assert (name, classes, len(names), shape, model) == ("signs", *(20, 20), [3, 32, 32], words[-1])
    assert len(digest) == 64


def test_the_task_is_that_of_a_run_but_for_the_split() -> None:
    registry = load_plugins()
    config = load_config(find_config("quickstart")).model_copy(update={"defenses": with_none([])})
    task = build(config, registry, torch.device("cpu")).task
    trained = task_to_train_for("signs", "signs_resnet8", registry)
    assert trained.sha256 != task.sha256
    assert replace(trained, sha256=task.sha256) == task


def test_the_task_is_that_of_a_folder_of_classes(train: Run) -> None:
    for label in "abcd":
        picture(f"animals/train/{label}/0.png")
    name, digest, *rest = seen(train("echo", "--data", "animals", "--model", "mean"))["task"]
    assert (name, len(digest)) == ("animals", 64)
    assert rest == [4, ["a", "b", "c", "d"], [3, 8, 8], "mean", 64]


def test_photographs_have_the_classes_of_the_model(train: Run) -> None:
    picture("holiday/train/0.png")
    Path("my.toml").write_text('model = "mean"\ndata = "holiday"')
    found = seen(train("echo", "--config", "my.toml"))["task"]
    assert found == ["holiday", "", 4, ["0", "1", "2", "3"], [3, 32, 32], "mean", 64]
    assert seen(train("echo", "--data", "holiday")).get("task") is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["signs", "meen"], "unknown model 'meen'\nhint: did you mean 'mean'?"),
        (["signs", "sized"], "model 'sized' cannot be built by its name alone"),
        (["signs", "grey"], "cannot take the images (3, 32, 32) of dataset 'signs'"),
        (["signs", "mean"], "model 'mean' has 4 classes, dataset 'signs' has 20"),
        (["signs", "maps"], "model 'maps' returns (1, 4, 30, 30) for 1 images"),
        (["sings", "mean"], "training data sings does not exist\nhint: did you mean 'signs'?"),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(train: Run, words: list[str], message: str) -> None:
    data, model = words
    assert message in refused(train("echo", "--data", data, "--model", model))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("data", "error: the photographs are gone\nhint: bring them back"),
        ("disk", "recipe 'echo' stopped: runs/train-echo: No space left on device"),
        ("stop", "recipe 'echo' was stopped"),
    ],
)
def test_a_training_that_fails_is_one_line(train: Run, how: str, message: str) -> None:
    assert message in refused(train("echo", "--fail", how))
