"""The layout of a run's networks: in its manifest and results, and kept when it goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import evaluate, evaluate_model
from superdef_bench.analysis.rerun import Again
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.io.seal import seal
from superdef_bench.results.load import load_results
from superdef_bench.run.plan import make_plan
from tests.support import networks
from tests.support.commands import CONFIG

Write = Callable[..., Path]

_TITLE = "classifier:net"
_PLACE = Path(networks.__file__)


def separable(config: Write) -> Path:
    """Write a config whose classifier has depthwise convolutions."""
    model = f'{{ plugin = "python:{_PLACE}:SeparableNet", name = "net", num_classes = 20 }}'
    text = CONFIG.replace('"signs_resnet8"', model).replace("bicubic_x2 = {}", "")
    return config(text.replace('"gray_box", "white_box", "bpda"', '"gray_box"'))


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a sealed file of JSON, and seal it again."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(seal(document)))


def layouts(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return those of the manifest and of the results."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return manifest["layouts"], dict(load_results(folder).provenance.layouts)


@pytest.mark.ci
def test_a_resumed_run_keeps_its_layout_and_its_verdicts(
    config: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, out, old = separable(config), Path("new"), Path("old")
    evaluate(path, out=out)
    assert layouts(out) == ({_TITLE: "channels_last"},) * 2
    evaluate(path, out=old, limit=4)
    # As a version without layouts left it.
    changed(old / "manifest.json", lambda manifest: manifest.pop("layouts"))
    evaluate(path, out=old)
    evaluate(path, out=old)
    assert layouts(old) == ({_TITLE: "contiguous"},) * 2
    found = load_results(old)
    assert found.provenance.records.computed == 0
    for row, other in zip(load_results(out).accuracy, found.accuracy, strict=True):
        assert (row.place, row.verdicts) == (other.place, other.verdicts)


def test_a_published_file_without_the_word_is_reproduced_contiguous(
    config: Write, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    evaluate(separable(config), out=out)
    for layout in ("channels_last", "contiguous"):
        again = Again(load_results(out), load_plugins(), torch.device("cpu"), tmp_path / layout)
        row = next(row for row in load_results(out).accuracy if row.attacked and not row.worst)
        found, benchmark = again.run(row)
        assert (found.verdicts, benchmark.layouts) == (row.verdicts, {_TITLE: layout})
        changed(out / "results.json", lambda results: results["provenance"].pop("layouts", None))


def test_keys_have_the_layout_only_where_it_is_not_contiguous(config: Write) -> None:
    def keys(path: Path, known: dict[str, Any] | None) -> set[str]:
        benchmark = build(load_config(path), load_plugins(), torch.device("cpu"), layouts=known)
        return {cell.key for cell in make_plan(benchmark).cells}

    plain, depthwise = config(), separable(lambda text: config(text, "separable"))
    assert keys(plain, None) == keys(plain, {})
    assert not keys(depthwise, None) & keys(depthwise, {})


@pytest.mark.ci
def test_a_network_in_hand_gets_it_too_and_comes_back_as_it_was(tmp_path: Path) -> None:
    network = networks.SeparableNet(num_classes=2)
    images = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1])
    places = [parameter.data_ptr() for parameter in network.parameters()]
    found = evaluate_model(
        ("net", network), images, attacks=["fgsm"], rungs=["gray_box"], masking=0, out=tmp_path
    )
    assert found.results["provenance"]["layouts"] == {_TITLE: "channels_last"}
    assert [parameter.data_ptr() for parameter in network.parameters()] == places
