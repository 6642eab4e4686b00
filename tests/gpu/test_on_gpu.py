"""What only a GPU can show; skipped without one. `tests/gpu/check.sh` runs it with the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import (
    AttackContext,
    Protected,
    Random,
    Threat,
    load_attack,
    load_dataset,
    load_defense,
    load_model,
)
from superdef_bench.core.loader import load_plugins
from superdef_bench.measure.latency import Budget, measure
from superdef_bench.measure.modes import Mode
from superdef_bench.run.prepare import prepare
from superdef_bench.run.runner import compute
from tests.support.commands import CONFIG, records

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

GPU = torch.device("cuda")
N, LEAST_SPEED = 256, 4.0
SAME = 0.995  # of the images: kernels of another machine round otherwise


def on_gpu(engine: str, **settings: Any) -> tuple[torch.Tensor, float]:
    """Return which images of the robust net stand AutoAttack on the GPU, and its seconds."""
    x, y = load_dataset("signs").load(range(N))
    x, y = x.to(GPU), y.to(GPU)
    model = Protected((), load_model("signs_resnet8_at")).eval().requires_grad_(False).to(GPU)
    ids = torch.arange(N, device=GPU)
    context = AttackContext.start(ids, Random(0, "attack/autoattack", ids))
    attack = load_attack("autoattack", engine=engine, **settings)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    found = attack(model, x, y, Threat("linf", 12 / 255), context)
    end.record()
    torch.cuda.synchronize()
    with torch.no_grad():
        return model(found).argmax(dim=1) == y, start.elapsed_time(end) / 1000


def test_our_autoattack_is_as_strong_as_the_reference_and_four_times_faster() -> None:
    pytest.importorskip("autoattack")
    on_gpu("own", version="rand")  # compiles and looks up what is done once
    ours, fast = on_gpu("own")
    theirs, slow = on_gpu("reference")
    print(
        f"\n{torch.cuda.get_device_name()}: {int(theirs.sum())} of {N} stand the reference in "
        f"{slow:.1f} s, {int(ours.sum())} ours in {fast:.1f} s: {slow / fast:.1f}x"
    )
    assert int((ours & ~theirs).sum()) <= 1
    assert slow / fast >= LEAST_SPEED


def test_a_run_on_the_gpu_has_the_verdicts_of_the_processor(
    config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = CONFIG.replace("limit = 8", "limit = 128").replace("batch_size = 8", "batch_size = 128")
    text = text.replace("fgsm = {}", "fgsm = {}\npgd = {}").replace("2/255", "8/255")
    found: dict[str, dict[tuple[Any, ...], bool]] = {}
    for device in ("cpu", "cuda"):
        prepared = prepare(str(config(text)), load_plugins(), torch.device(device))
        assert not compute(prepared.benchmark, prepared.plan, Path(device)).failures
        found[device] = {
            tuple(row[k] for k in ("defense", "rung", "attack", "eps", "image_id")): row["success"]
            for row in records(Path(device))
        }
    assert found["cpu"].keys() == found["cuda"].keys()
    same = sum(found["cpu"][key] == found["cuda"][key] for key in found["cpu"]) / len(found["cpu"])
    print(f"\n{same:.4f} of {len(found['cpu'])} verdicts are those of the processor")
    assert same >= SAME


def test_every_mode_is_measured_with_its_memory() -> None:
    superdef: Any = load_defense("superdef")
    modes = [Mode(), Mode.of("channels_last+bf16"), Mode.of("cuda_graphs")]
    found = measure(
        {
            "none": Protected((), load_model("signs_resnet8")).eval().to(GPU),
            "superdef": Protected([superdef], load_model("signs_resnet8")).eval().to(GPU),
        },
        "signs_resnet8",
        sizes=[32],
        batches=[8],
        modes=modes,
        budget=Budget(rounds=5, seconds=5),
        device=GPU,
    )
    print("\n" + "\n".join(found.notes))
    assert {row["mode"] for row in found.rows} == {str(mode) for mode in modes}
