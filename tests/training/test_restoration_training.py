"""Recipes of super-resolution: what they learn, how they resume, how they fail."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

from superdef_bench import ConfigError, DataError, SuperdefError
from superdef_bench.nn import EDSR, SuperDef, architecture, build_network
from superdef_bench.training import (
    RestorationSettings,
    loop,
    save_checkpoint,
    train_super_resolution,
)
from superdef_bench.training.photographs import Photographs, read_photographs

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def photographs(photo_folder: Path) -> Photographs:
    return read_photographs(photo_folder, 2)


def settings(**changed: Any) -> RestorationSettings:
    plain: dict[str, Any] = {
        "steps": 6,
        "batch_size": 2,
        "patch": 12,
        "lr": 1e-3,
        "schedule": "one_cycle",
        "average": 0.9,
        "holdout": 2,
        "every": 2,
        "precision": "float32",
        "seed": 0,
    }
    return RestorationSettings(**{**plain, **changed})


def train(
    photographs: Photographs,
    path: Path,
    *,
    network: nn.Module | None = None,
    resume: bool = False,
    **changed: Any,
) -> tuple[nn.Module, loop.History]:
    torch.manual_seed(0)
    return train_super_resolution(
        network or SuperDef(layers=2, features=16),
        photographs,
        settings(**changed),
        extra={},
        device="cpu",
        checkpoint=path,
        resume=resume,
    )


@pytest.mark.slow
def test_twenty_seconds_of_training_beat_bicubic_on_photographs_never_seen(
    photographs: Photographs, tmp_path: Path
) -> None:
    _, history = train(
        photographs,
        tmp_path / "c.safetensors",
        network=SuperDef(layers=4, features=32),
        steps=240,
        batch_size=16,
        patch=24,
        lr=2e-3,
        average=0.99,
        every=240,
        precision="auto",
    )
    assert history[-1]["psnr"] > history[-1]["bicubic_psnr"] + 0.3


@pytest.mark.slow
def test_a_longer_training_beats_bicubic_by_half_a_decibel(
    photographs: Photographs, tmp_path: Path
) -> None:
    _, history = train(
        photographs,
        tmp_path / "c.safetensors",
        network=SuperDef(),
        steps=1500,
        batch_size=16,
        patch=32,
        average=0.99,
        every=1500,
        precision="auto",
    )
    assert history[-1]["psnr"] > history[-1]["bicubic_psnr"] + 0.5


@pytest.mark.parametrize("network", ["SuperDef 2x16", "EDSR 1x16", "RCAN 1x1x16"])
def test_a_resumed_training_is_bit_equal(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    def fresh() -> nn.Module:
        torch.manual_seed(0)
        name, size = network.split()
        return build_network(architecture(name, size, 2))

    whole, history = train(photographs, tmp_path / "whole.safetensors", network=fresh())
    path, real = tmp_path / "cut.safetensors", save_checkpoint

    def save_and_stop(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_stop)
        with pytest.raises(SuperdefError, match="stopped at step 2 of 6") as stopped:
            train(photographs, path, network=fresh())
    assert "--resume goes on" in stopped.value.hint
    torch.rand(5)  # whatever else was drawn in between
    resumed, again = train(photographs, path, network=fresh(), resume=True)
    assert again == history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_network_to_use_is_the_average_of_the_weights(
    photographs: Photographs, tmp_path: Path
) -> None:
    averaged, _ = train(photographs, tmp_path / "a.safetensors")
    last, _ = train(photographs, tmp_path / "b.safetensors", average=0.0)
    distance = [
        (a - b).detach().abs().max().item()
        for a, b in zip(averaged.parameters(), last.parameters(), strict=True)
    ]
    assert max(distance) > 1e-6
    assert all(not parameter.requires_grad for parameter in averaged.parameters())


class Exploding(nn.Module):
    """A network whose output is no number from its third step on."""

    scale = 2

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.calls = SuperDef(layers=1, features=4), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        out: Tensor = self.inner(x)
        return out * torch.nan if self.calls > 2 else out


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    photographs: Photographs, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(DataError, match="the loss is nan by step 4") as raised:
        train(photographs, path, network=Exploding(), average=0.0)
    assert f"{path} holds step 2" in raised.value.hint


def test_memory_that_runs_out_is_one_line(photographs: Photographs, tmp_path: Path) -> None:
    class Greedy(Exploding):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x)
            self.calls += self.training
            return out if self.calls < 4 else torch.empty(2**60) + out

    with pytest.raises(DataError, match="memory ran out at step 4") as raised:
        train(photographs, tmp_path / "c.safetensors", network=Greedy(), average=0.0)
    assert "smaller batch" in raised.value.hint
    assert "holds step 2" in raised.value.hint


def test_a_checkpoint_of_another_configuration_is_refused(
    photographs: Photographs, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    train(photographs, path)
    content = path.read_bytes()
    with pytest.raises(DataError, match=r"other settings: lr 0.001, now 0.002\n"):
        train(photographs, path, lr=2e-3, resume=True)
    assert path.read_bytes() == content
    path.write_bytes(content[:-50])
    with pytest.raises(DataError, match="cannot be read"):
        train(photographs, path, resume=True)


def test_a_checkpoint_is_not_overwritten_unless_it_is_resumed(
    photographs: Photographs, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    train(photographs, path)
    content = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already") as raised:
        train(photographs, path)
    assert "--resume" in raised.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("lost", ["optimizer/0/exp_avg", "model/tail.weight"])
def test_a_checkpoint_that_lacks_a_part_is_refused(
    photographs: Photographs, tmp_path: Path, lost: str
) -> None:
    path = tmp_path / "c.safetensors"
    train(photographs, path)
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        kept = {name: file.get_tensor(name) for name in file.keys() if name != lost}  # noqa: SIM118  # no mapping
    assert len(kept) > 10
    path.write_bytes(safetensors.torch.save(kept, metadata=metadata))
    with pytest.raises(DataError, match=r"cannot be read: \d+ tensors are expected"):
        train(photographs, path, resume=True)


def test_a_photograph_that_measures_nothing_is_named(photo_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(photo_folder, tmp_path / "all")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "all/zz.png")
    with pytest.raises(DataError, match=r"photograph zz.png, held out .* of one colour"):
        train(read_photographs(tmp_path / "all", 2), tmp_path / "c.safetensors")


def test_mean_shifts_keep_the_precision_of_images() -> None:
    torch.manual_seed(0)
    network, x = EDSR(blocks=1, features=4), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for parameter in (*network.head.parameters(), *network.tail.parameters()):
            parameter.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        shifted, out = network.subtract_mean(255 * x), network(x)
    assert torch.equal(shifted, network.subtract_mean(255 * x))
    assert torch.equal(out, network(x))
