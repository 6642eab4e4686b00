"""Ways to run a network: the same answers, and what the machine lacks."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import InputTransform, load_model
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.transform import Protected
from superdef_bench.measure.latency import Budget, measure
from superdef_bench.measure.modes import PARTS, Mode, Pipeline
from superdef_bench.measure.networks import networks_of

CPU = torch.device("cpu")


class Smooth(InputTransform):
    def transform(self, x: Tensor) -> Tensor:
        return x.sigmoid()


@pytest.mark.parametrize("text", ["channels_last", "bf16", "channels_last+bf16"])
def test_a_mode_computes_the_same_up_to_its_precision(text: str) -> None:
    mode = Mode.of(text)
    (network,) = networks_of(["superdef"], 2, CPU).values()
    protected = Protected([network], load_model("signs_resnet8")).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    weights = network.state_dict()["network.tail.weight"].clone()
    pipeline, eager = Pipeline(protected, mode), Pipeline(protected, Mode())
    with pipeline.running(CPU):
        changed = pipeline.defend(pipeline.prepare(x)).float()
        labels = pipeline.classify(changed).argmax(dim=1)
    with eager.running(CPU):
        same = eager.defend(x)
        assert labels.tolist() == eager.classify(same).argmax(dim=1).tolist()
    limit = 0.02 if mode.dtype == "bfloat16" else 1e-5
    assert float((changed - same).abs().max()) < limit
    assert bool((changed != same).any()) == (mode.dtype == "bfloat16")
    assert torch.equal(network.state_dict()["network.tail.weight"], weights)


def test_modes_have_one_name_however_they_are_written() -> None:
    assert str(Mode.of("compiled+bf16+channels_last")) == "channels_last+bf16+compiled"
    assert str(Mode.of("eager")) == "eager"
    assert Mode.of("bf16").dtype == "bfloat16"
    assert [Mode.of(part).fuses for part in PARTS] == [False, False, True, True]
    assert Mode.of("cuda_graphs").missing(CPU) == "CUDA graphs need a GPU"
    with pytest.raises(ConfigError, match="no mode 'fast'"):
        Mode.of("eager+fast")


def test_what_the_machine_lacks_is_a_note_and_the_other_modes_go_on() -> None:
    found = measure(
        {"quick": Protected([Smooth()], nn.Identity())},
        "none",
        sizes=[8],
        batches=[],
        modes=[Mode.of("cuda_graphs"), Mode()],
        budget=Budget(rounds=1, seconds=0),
        device=CPU,
    )
    assert found.notes == ["cuda_graphs: CUDA graphs need a GPU, not measured."]
    assert {row["mode"] for row in found.rows} == {"eager"}


def test_a_compiler_that_fails_is_a_note_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "no_compiler"),))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    found = measure(
        {"quick": Protected([Smooth()], nn.Identity())},
        "none",
        sizes=[8],
        batches=[2],
        modes=[Mode.of("compiled"), Mode()],
        budget=Budget(rounds=1, seconds=0),
        device=CPU,
    )
    (note,) = found.notes
    assert note.startswith("quick, compiled, 1 at once: ")
    assert "compiler" in note
    assert {row["mode"] for row in found.rows} == {"eager"}
