"""The defense `adversarial_training`: another classifier in the place of the one given."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from superdef_bench import (
    AttackContext,
    DataError,
    Random,
    Threat,
    load_attack,
    load_dataset,
    load_defense,
    load_model,
    resize,
    testing,
)
from superdef_bench.core.arguments import settings
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.types import Task
from superdef_bench.nn import ResNet
from superdef_bench.nn.weights import (
    SHIPPED,
    find_weights,
    load_weights,
    read_provenance,
    save_weights,
)
from superdef_bench.testing import toy_images, toy_model, toy_task
from tests.support.commands import Answer, records
from tests.support.small import SMALL

pytestmark = pytest.mark.ci


def artefact(path: Path, task: Task, *, num_classes: int = 10, **changes: object) -> Path:
    """Write an adversarially trained network for a task; `changes` are of its provenance."""
    torch.manual_seed(0)
    network = ResNet(blocks=1, num_classes=num_classes, width=8)
    trained = {
        "dataset": task.dataset,
        "class_names": list(task.class_names),
        "input_shape": list(task.input_shape),
        **changes,
    }
    provenance = {"kind": "adversarial_training", "task": trained}
    save_weights(path, network.state_dict(), provenance)
    return path


def test_a_state_dict_says_which_network_it_is() -> None:
    for network in (
        ResNet(blocks=1, num_classes=20, width=8),
        ResNet(blocks=3, num_classes=7, width=4, channels=1),
    ):
        again = ResNet.of(network.state_dict())
        x = torch.rand(2, len(network.mean), 32, 32)
        assert torch.equal(network.eval()(x), again.eval()(x))
    folded = ResNet(blocks=1, num_classes=20).fold().state_dict()
    for strange in ({}, {"head.weight": torch.zeros(3, 4)}, folded):
        with pytest.raises(DataError, match="of no ResNet"):
            ResNet.of(strange)


def test_the_defense_keeps_its_contract_on_a_task_it_was_trained_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(toy_task(), loader=find_weights)
    path = artefact(tmp_path / "toy.safetensors", task)
    monkeypatch.setattr(testing, "toy_task", lambda: task)
    defense = load_defense("adversarial_training", path=str(path))
    assert [check for check in testing.check_defense(defense) if check[1]] == []
    model = toy_model()
    x, _ = toy_images()
    network = ResNet.of(load_weights(path)).eval()
    assert torch.allclose(defense.protect(model, task)(x), network(x), atol=1e-5)


def test_the_defense_refuses_what_was_not_trained_for_the_task(tmp_path: Path) -> None:
    task = replace(toy_task(), loader=find_weights)
    path = tmp_path / "a.safetensors"
    hint = "superdef-bench train classifier --adversarial n_fgsm --data toy"

    def refused(message: str, path: str) -> None:
        with pytest.raises(DataError, match=message) as error:
            load_defense("adversarial_training", path=path).protect(toy_model(), task)
        assert hint in error.value.hint

    refused("no adversarial_training for toy with toy: none was trained", "")
    refused("have no provenance", str(path))
    artefact(path, task, dataset="else")
    refused("was not trained for this task", str(path))
    artefact(path, task, class_names=["a"])
    refused("was not trained for this task", str(path))
    artefact(path, task, num_classes=9)
    refused("has 9 classes, the task has 10", str(path))


CONFIG = """
[run]
dataset = "{dataset}"
model = "signs_resnet8"
limit = 8
rungs = ["gray_box", "white_box"]

[attacks]
fgsm = {{}}

[defenses]
adversarial_training = {{ path = "out/small_resnet8_at.safetensors" }}
"""


def test_the_command_trains_what_the_defense_then_hands_out(
    run_cli: Callable[..., Answer],
    plugin_folder: Callable[..., Path],
    config: Callable[..., Path],
) -> None:
    folder = plugin_folder(SMALL)
    words = ("train", "classifier", "--data", "small", "--plugins-dir", folder, "-o", "out")
    flags = ("--adversarial", "pgd", "--attack-steps", "1", "--epochs", "1", "--width", "8")
    answer = run_cli(*words, *flags, "--eps", "8")
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == 'hint: did you mean "8/255"?'
    answer = run_cli(*words, *flags, "--eps", "4/255", "--batch-size", "40")
    assert answer.code == 0, answer.err
    record = json.loads(Path("out/small_resnet8_at.json").read_text())
    assert record["kind"] == "adversarial_training"
    assert {"adversarial": "pgd", "eps": "4/255", "attack_steps": 1}.items() <= record[
        "settings"
    ].items()
    for measured in (record["test"], record["validation"]["history"][-1]):
        assert 0 <= measured["adversarial_accuracy"] <= measured["accuracy"]
    assert 0 <= record["test"]["adversarial_accuracy_x2_bicubic"] <= 1
    table = config(CONFIG.format(dataset="small"))
    answer = run_cli("run", table, "-o", "results", "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    rungs = {r["rung"] for r in records(Path("results")) if r["defense"] == "adversarial_training"}
    assert {"gray_box", "white_box"} <= rungs
    answer = run_cli("run", config(CONFIG.format(dataset="signs")), "-o", "other")
    assert answer.code == 2
    assert "was not trained for this task" in answer.err
    assert "--adversarial n_fgsm --data signs" in answer.err


def test_the_network_that_ships_withstands_what_breaks_the_plain_one() -> None:
    signs, plain = load_dataset("signs"), load_model("signs_resnet8")
    task = replace(
        toy_task(),
        dataset="signs",
        num_classes=20,
        class_names=tuple(signs.class_names),
        loader=find_weights,
    )
    robust = load_defense("adversarial_training").protect(plain, task)
    (x, y), ids = signs.load(range(60)), torch.arange(60)
    for images in (x, resize(x, (64, 64)).clamp(0, 1)):
        left = []
        for model in (plain, robust):
            context = AttackContext.start(ids, Random(0, "test", ids))
            pgd = load_attack("pgd", steps=10)
            found = pgd(model, images, y, Threat("linf", 8 / 255), context)
            left.append(float((model(found).argmax(dim=1) == y).float().mean()))
        assert left[0] < 0.2
        assert left[1] > left[0] + 0.2


def test_the_documented_command_trains_the_network_that_ships() -> None:
    record = read_provenance(SHIPPED / "signs_resnet8_at.safetensors")
    recipe = load_plugins().get("recipe", "classifier").build()
    documented = {"adversarial": "n_fgsm", "epochs": 30, "precision": "bfloat16"}
    later = {"augment": "none", "enlarged": 0.5, "frozen": 0.0, "init": ""}  # not flags then
    used = {**record["settings"], **record["architecture"], **later}
    wanted = {**settings(recipe.train), **documented}
    assert {name: used[name] for name in wanted} == wanted
    assert record["task"]["dataset"] == "signs"
