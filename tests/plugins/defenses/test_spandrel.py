"""The defense `sr` runs networks of other architectures, as spandrel recognises them."""

import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, DataError, load_defense
from superdef_bench.nn import SuperResolution
from superdef_bench.testing import check_defense
from tests.support.commands import Answer, records
from tests.support.public_layouts import public_rcan

spandrel = pytest.importorskip("spandrel")
NAMES = ["esrgan", "span", "swinir", "compact", "dncnn"]


def network(name: str) -> nn.Module:
    """Return a small random network; spandrel's loader finds its sizes again."""
    from spandrel.architectures.Compact import (
        Compact,
    )
    from spandrel.architectures.DnCNN import (
        DnCNN,
    )
    from spandrel.architectures.ESRGAN import (
        ESRGAN,
    )
    from spandrel.architectures.SPAN import (
        SPAN,
    )
    from spandrel.architectures.SwinIR import (
        SwinIR,
    )

    torch.manual_seed(0)
    window = {"depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "upscale": 2}
    build: dict[str, Callable[[], nn.Module]] = {
        "esrgan": lambda: ESRGAN(num_filters=8, num_blocks=1, scale=2),
        "span": lambda: SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2),
        "swinir": lambda: SwinIR(img_size=8, embed_dim=8, upsampler="pixelshuffledirect", **window),
        "compact": lambda: Compact(num_feat=8, num_conv=2, upscale=3),
        "dncnn": lambda: DnCNN(in_nc=3, out_nc=3, nc=8, nb=9, act_mode="R"),
        "grey": lambda: DnCNN(in_nc=1, out_nc=1, nc=8, nb=9, act_mode="R"),
    }
    return build[name]().eval()


def loaded(path: Path, **options: Any) -> SuperResolution:
    defense = load_defense("sr", path=str(path), **options)
    assert isinstance(defense, SuperResolution)
    return defense.eval()


def images(height: int = 11, width: int = 14) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_spandrel(name: str, tmp_path: Path) -> None:
    state, path = network(name).state_dict(), tmp_path / "network.pth"
    torch.save(state, path)
    defense, x = loaded(path), images()
    descriptor = spandrel.ModelLoader().load_from_state_dict(state)
    expected = torch.cat([descriptor(image) for image in x.split(1)]).clamp(0, 1)
    assert expected.shape[-1] == 14 * descriptor.scale
    torch.testing.assert_close(defense.transform(x), expected, atol=1e-5, rtol=0)


def test_outputs_are_those_of_the_network_that_was_saved(tmp_path: Path) -> None:
    public = network("esrgan").requires_grad_(False)
    torch.save({"params_ema": public.state_dict()}, tmp_path / "a.pth")
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in public.state_dict().items()}},
        tmp_path / "b.pth",
    )
    safetensors.torch.save_file(public.state_dict(), tmp_path / "c.safetensors")
    for name in ("a.pth", "b.pth", "c.safetensors"):
        out = loaded(tmp_path / name).transform(images())
        torch.testing.assert_close(out, public(images()).clamp(0, 1), atol=1e-6, rtol=0)
        assert float(out.std()) > 0


def test_a_published_rcan_gives_the_same_by_both_defenses(tmp_path: Path) -> None:
    torch.save(public_rcan(features=64, reduction=16).state_dict(), tmp_path / "rcan.pt")
    ours = load_defense("rcan", weights=str(tmp_path / "rcan.pt"))
    assert isinstance(ours, SuperResolution)
    theirs = loaded(tmp_path / "rcan.pt").transform(images())
    torch.testing.assert_close(ours.transform(images()), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["esrgan", "swinir"])
def test_the_contract_holds_with_exact_gradients(name: str, tmp_path: Path) -> None:
    torch.save(network(name).state_dict(), tmp_path / "network.pt")
    defense = loaded(tmp_path / "network.pt", output="resize_back")
    assert [check for check in check_defense(defense) if check[1]] == []


def test_options_are_those_of_every_super_resolution_defense(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    torch.save(network("compact").state_dict(), path)
    x = 0.3 + 0.4 * images(90, 40)
    whole = loaded(path).transform(x)
    assert whole.shape[-2:] == (270, 120)
    assert float((loaded(path, tile=16).transform(x) - whole).abs().max()) < 1e-4
    turned = loaded(path, self_ensemble=True).transform(x.flip(-1)).flip(-1)
    ensemble = loaded(path, self_ensemble=True).transform(x)
    assert float((turned - ensemble).abs().max()) < 1e-4
    half = loaded(path, dtype="float16")
    assert {tensor.dtype for tensor in half.state_dict().values()} == {torch.float16}
    leaf = x.clone().requires_grad_()
    out = half.transform(leaf)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.detach(), whole, atol=2e-3, rtol=0)
    gradient = torch.autograd.grad(1e-12 * out.sum(), leaf)[0]
    assert bool(gradient.abs().flatten(1).amax(dim=1).gt(0).all())


def test_a_copy_of_the_defense_runs_on_its_own_weights(tmp_path: Path) -> None:
    torch.save(network("esrgan").state_dict(), tmp_path / "network.pt")
    first = loaded(tmp_path / "network.pt")
    second, before = copy.deepcopy(first), first.transform(images())
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.zero_()
    assert torch.equal(first.transform(images()), before)
    assert float(second.transform(images()).abs().max()) == 0


class Evil:
    """What a malicious pickle holds: a command that runs when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def bad_files(folder: Path) -> dict[str, tuple[Any, str]]:
    state = network("esrgan").state_dict()
    half = dict(list(state.items())[: len(state) // 2])
    return {
        "unknown": (nn.Linear(2, 3).state_dict(), "of no architecture that spandrel recognises"),
        "half a file": (half, "cannot be loaded|no architecture"),
        "grey": (network("grey").state_dict(), "maps 1 channels to 1"),
        "no tensors": ({"epoch": 3}, "holds no state dict"),
        "a list": ([1, 2], "holds no state dict"),
        "code": (Evil(folder / "marker"), "holds pickled objects.*refused"),
        "code beside": (
            {"params": state, "more": Evil(folder / "marker")},
            "holds pickled objects.*refused",
        ),
    }


@pytest.mark.parametrize("name", list(bad_files(Path())))
def test_what_is_no_such_network_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content, message = bad_files(tmp_path)[name]
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(DataError, match=message) as error:
        loaded(tmp_path / "bad.pth")
    assert "\n" not in error.value.message
    assert not (tmp_path / "marker").exists()
    with pytest.raises(DataError, match="does not exist"):
        loaded(tmp_path / "nothing.pth")


@pytest.mark.parametrize(("purpose", "kind"), [("Inpainting", "Masked"), ("FaceSR", "")])
def test_networks_for_another_purpose_are_refused(
    purpose: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = nn.Conv2d(3, 3, 1)
    torch.save(layer.state_dict(), tmp_path / "network.pt")
    sizes = {"scale": 1} if purpose == "FaceSR" else {}
    descriptor = getattr(spandrel, f"{kind}ImageModelDescriptor")(
        layer,
        layer.state_dict(),
        architecture=next(iter(spandrel.MAIN_REGISTRY)).architecture,
        purpose=purpose,
        tags=[],
        supports_half=True,
        supports_bfloat16=True,
        input_channels=3,
        output_channels=3,
        **sizes,
    )
    monkeypatch.setattr(spandrel.ModelLoader, "load_from_state_dict", lambda *_: descriptor)
    with pytest.raises(DataError, match=f"a network for {purpose}"):
        loaded(tmp_path / "network.pt")


def test_a_precision_that_the_network_lacks_is_refused(tmp_path: Path) -> None:
    torch.save(network("swinir").state_dict(), tmp_path / "network.pt")
    with pytest.raises(ConfigError, match="SwinIR does not compute in float16"):
        loaded(tmp_path / "network.pt", dtype="float16")


def test_without_spandrel_the_install_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ConfigError, match="sr needs spandrel\nhint: pip install spandrel"):
        loaded(tmp_path / "network.pt")


def test_a_run_takes_it_by_its_path(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    torch.save(network("esrgan").state_dict(), tmp_path / "network.pth")
    text = f"""
    [run]
    dataset = "signs"
    model = "signs_resnet8"
    limit = 2
    batch_size = 2
    masking = 0
    rungs = ["white_box"]
    [attacks]
    fgsm = {{}}
    [defenses]
    esrgan = {{ plugin = "sr", path = "{tmp_path}/network.pth" }}
    """
    answer = run_cli("run", config(text), "-o", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert {row["defense"] for row in records(tmp_path / "out")} == {"none", "esrgan (native)"}
