"""Published checkpoints of EDSR and RCAN load as they are; what is none is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from superdef_bench import ConfigError, DataError, InputTransform, load_defense
from superdef_bench.nn import load_network
from tests.support.public_layouts import Published, public_edsr, public_rcan

_SIZES: list[tuple[str, Callable[..., Published], dict[str, int]]] = [
    ("edsr", public_edsr, {}),
    ("edsr", public_edsr, {"blocks": 1, "features": 256}),
    ("edsr", public_edsr, {"blocks": 11, "features": 8}),
    ("rcan", public_rcan, {}),
    ("rcan", public_rcan, {"groups": 11, "blocks": 12, "features": 8, "reduction": 2}),
    ("rcan", public_rcan, {"groups": 1, "blocks": 2, "features": 64, "reduction": 16}),
]


def images() -> Tensor:
    return torch.rand(2, 3, 14, 11, generator=torch.Generator().manual_seed(3))


def apart(network: torch.nn.Module, public: Published) -> float:
    with torch.no_grad():
        return float((network(images()) - public(images())).abs().max())


@pytest.mark.parametrize(("kind", "build", "sizes"), _SIZES)
def test_a_published_checkpoint_gives_the_outputs_of_its_network(
    kind: str, build: Callable[..., Published], sizes: dict[str, int], tmp_path: Path
) -> None:
    public, path = build(**sizes), tmp_path / "x2.pt"
    torch.save(public.state_dict(), path)
    network = load_network(kind, weights=str(path))
    assert apart(network, public) < 1e-5
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("kind", "build"), [("edsr", public_edsr), ("rcan", public_rcan)])
def test_every_scale_loads_and_another_one_is_named(
    kind: str, build: Callable[..., Published], scale: int, tmp_path: Path
) -> None:
    public, path = build(scale=scale), tmp_path / "weights.pth"
    torch.save(public.state_dict(), path)
    assert apart(load_network(kind, scale=scale, weights=str(path)), public) < 1e-5
    other = {2: 3, 3: 4, 4: 2}[scale]
    with pytest.raises(ConfigError, match=rf"enlarges by {scale}, scale is {other}\nhint: set"):
        load_network(kind, scale=other, weights=str(path))


@pytest.mark.parametrize(("kind", "build"), [("edsr", public_edsr), ("rcan", public_rcan)])
def test_wrappers_prefixes_safetensors_half_precision_and_unit_range_load_too(
    kind: str, build: Callable[..., Published], tmp_path: Path
) -> None:
    public = build()
    state = public.state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "a.pt")
    torch.save({"model": {f"model.{k}": v for k, v in state.items()}}, tmp_path / "b.pt")
    safetensors.torch.save_file(state, tmp_path / "c.safetensors")
    torch.save({k: v.half() for k, v in state.items()}, tmp_path / "d.pt")
    unit = build(peak=1.0)
    torch.save(unit.state_dict(), tmp_path / "e.pt")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        assert apart(load_network(kind, weights=str(tmp_path / name)), public) < 1e-5
    half = load_network(kind, weights=str(tmp_path / "d.pt"))
    assert next(half.parameters()).dtype == torch.float32
    assert apart(half, public) < 1e-2
    assert apart(load_network(kind, weights=str(tmp_path / "e.pt")), unit) < 1e-5


def test_the_defense_takes_a_published_checkpoint(tmp_path: Path) -> None:
    public = public_rcan()
    torch.save(public.state_dict(), tmp_path / "RCAN_BIX2.pt")
    defense = load_defense("rcan", weights=str(tmp_path / "RCAN_BIX2.pt"))
    assert isinstance(defense, InputTransform)
    with torch.no_grad():
        expected = public(images()).clamp(0, 1)
    torch.testing.assert_close(defense.transform(images()), expected, atol=1e-5, rtol=0)


class Evil:
    """What a malicious pickle holds: a command that runs when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def bad_files(folder: Path) -> dict[str, tuple[Any, str]]:
    """Return content, and the error it must give as an RCAN."""
    state = public_rcan().state_dict()
    last = "tail.1.weight"
    without_tail = {k: v for k, v in state.items() if not k.startswith("tail")}
    deep = {k: v for k, v in state.items() if not k.startswith("body.1.body.1.")}
    return {
        "another architecture": (public_edsr().state_dict(), "is no RCAN in the layout"),
        "nothing that fits": ({"weight": torch.zeros(3)}, "is no RCAN in the layout"),
        "half a file": (without_tail, "is no RCAN in the layout"),
        "a block missing": (deep, "is not of this RCAN: keys 8 missing"),
        "one tensor missing": ({k: v for k, v in state.items() if k != last}, "1 missing"),
        "one too many": ({**state, "extra": state[last]}, "1 unexpected, first 'extra'"),
        "another shape": ({**state, last: state[last][:, :2]}, "1 of another shape"),
        "scalars": ({**state, "head.0.weight": torch.tensor(1.0)}, "is no RCAN in the layout"),
        "no state dict": ([1, 2], "holds no state dict: list"),
        "code": (Evil(folder / "marker"), r"holds pickled objects.*refused"),
    }


@pytest.mark.parametrize("name", list(bad_files(Path())))
def test_what_is_no_published_rcan_is_refused(name: str, tmp_path: Path) -> None:
    content, message = bad_files(tmp_path)[name]
    torch.save(content, tmp_path / "bad.pt")
    with pytest.raises(DataError, match=message) as error:
        load_network("rcan", weights=str(tmp_path / "bad.pt"))
    assert "\n" not in error.value.message
    assert not (tmp_path / "marker").exists()


def test_damaged_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x2.pt"
    torch.save(public_edsr().state_dict(), path)
    content = path.read_bytes()
    for broken, message in (
        (content[: len(content) // 2], "is damaged"),
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "is a web page"),
    ):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=message):
            load_network("edsr", weights=str(path))
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        load_network("edsr", weights=str(path))
    with pytest.raises(DataError, match="is a folder"):
        load_network("edsr", weights=str(tmp_path))


def test_a_scale_that_has_no_network_is_named(tmp_path: Path) -> None:
    torch.save(public_edsr(scale=8).state_dict(), tmp_path / "x8.pt")
    with pytest.raises(ConfigError, match="enlarges by 8, scale is 4\nhint: take one for x4"):
        load_network("edsr", scale=4, weights=str(tmp_path / "x8.pt"))
    with pytest.raises(ConfigError, match="scale is 8\nhint: take 2, 3 or 4"):
        load_network("edsr", scale=8, weights=str(tmp_path / "x8.pt"))
