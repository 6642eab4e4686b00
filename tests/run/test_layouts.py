"""The layout of a run's networks: in its manifest and results, and kept when it goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import evaluate_model
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.io.seal import seal
from superdef_bench.results.load import load_results
from superdef_bench.run.plan import make_plan
from tests.support import networks
from tests.support.commands import CONFIG, Answer, records

Run = Callable[..., Answer]
Write = Callable[..., Path]

_TITLE = "classifier:net"
_PLACE = Path(networks.__file__)


def separable(config: Write) -> Path:
    """Write a config whose classifier has depthwise convolutions."""
    model = f'{{ plugin = "python:{_PLACE}:SeparableNet", name = "net", num_classes = 20 }}'
    return config(CONFIG.replace('"signs_resnet8"', model))


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a sealed file of JSON, and seal it again."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(seal(document)))


def layouts(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return those of the manifest and of the results."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest["layouts"], dict(load_results(folder).provenance.layouts)


def test_a_depthwise_network_gets_channels_last_and_the_run_says_so(
    run_cli: Run, config: Write
) -> None:
    path = separable(config)
    assert run_cli("run", path, "-o", "out").code == 0
    assert layouts(Path("out")) == ({_TITLE: "channels_last"},) * 2
    assert "80 records, 80 of them reused" in run_cli("run", path, "-o", "out").out


def test_a_resumed_run_keeps_its_layout_and_the_verdicts_are_the_same(
    run_cli: Run, config: Write
) -> None:
    path = separable(config)
    run_cli("run", path, "-o", "new")
    run_cli("run", path, "-o", "old", "--limit", "4")
    # As a version without layouts left it.
    changed(Path("old/manifest.json"), lambda manifest: manifest.pop("layouts"))
    run_cli("run", path, "-o", "old")
    assert layouts(Path("old")) == ({_TITLE: "contiguous"},) * 2
    made = len(records(Path("old")))
    assert f"{80} records, {80} of them reused" in run_cli("run", path, "-o", "old").out
    assert len(records(Path("old"))) == made
    verdicts = [
        [(row.place, row.defense, row.verdicts) for row in load_results(Path(folder)).accuracy]
        for folder in ("new", "old")
    ]
    assert verdicts[0] == verdicts[1]


def test_a_published_file_without_the_word_is_reproduced_contiguous(
    run_cli: Run, config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cli("run", separable(config), "-o", "out")
    seen: list[bool] = []
    forward = networks.SeparableNet.forward

    def noted(self: networks.SeparableNet, x: torch.Tensor) -> torch.Tensor:
        seen.append(x.is_contiguous())
        return forward(self, x)

    monkeypatch.setattr(networks.SeparableNet, "forward", noted)
    words = ("reproduce", "out/results.json", "--sample", "1", "--seed", "0", "--trust")
    assert run_cli(*words).code == 0
    assert not all(seen)
    seen.clear()
    changed(Path("out/results.json"), lambda results: results["provenance"].pop("layouts"))
    assert run_cli(*words).code == 0
    assert all(seen)


def test_keys_have_the_layout_only_where_it_is_not_contiguous(config: Write) -> None:
    def keys(path: Path, known: dict[str, Any] | None) -> set[str]:
        benchmark = build(load_config(path), load_plugins(), torch.device("cpu"), layouts=known)
        return {cell.key for cell in make_plan(benchmark).cells}

    plain, depthwise = config(), separable(lambda text: config(text, "separable"))
    assert keys(plain, None) == keys(plain, {})
    assert not keys(depthwise, None) & keys(depthwise, {})


def test_a_network_in_hand_gets_it_too_and_comes_back_as_it_was(tmp_path: Path) -> None:
    network = networks.SeparableNet(num_classes=2)
    images = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
    places = [parameter.data_ptr() for parameter in network.parameters()]
    found = evaluate_model(
        ("net", network), images, attacks=["fgsm"], rungs=["gray_box"], masking=0, out=tmp_path
    )
    assert found.results["provenance"]["layouts"] == {_TITLE: "channels_last"}
    assert [parameter.data_ptr() for parameter in network.parameters()] == places
