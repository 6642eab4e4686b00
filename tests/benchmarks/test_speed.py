"""How fast our own code is: `pytest tests/benchmarks --benchmark-only`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from superdef_bench import InputTransform, load_defense, load_model
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.transform import Protected
from superdef_bench.gate.compare import compare
from superdef_bench.gate.findings import parse_limits
from superdef_bench.leaderboard.publish import files
from superdef_bench.measure.work import gmac, parameters
from superdef_bench.results.load import load_results
from superdef_bench.run.plan import make_plan
from superdef_bench.run.runner import run
from tests.support.gate_documents import NOTHING

_ROOT = Path(__file__).parent.parent.parent
_PUBLISHED = _ROOT / "leaderboards/signs-linf.json"
_ROUNDS = 30


@pytest.mark.parametrize("name", ["jpeg", "wavelet", "bicubic_x2", "superdef"])
def test_a_defense_and_the_classifier_behind_it(name: str, benchmark: BenchmarkFixture) -> None:
    defense, classifier = load_defense(name), load_model("signs_resnet8")
    assert isinstance(defense, InputTransform)
    protected = Protected([defense], classifier).eval()
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    benchmark.group = "defense"
    benchmark.extra_info |= {
        "params": parameters(protected),
        "gmac": gmac(protected, images[:1], stages_only=False),
        "device": "cpu",
    }
    with torch.no_grad():
        logits = benchmark.pedantic(protected, (images,), rounds=_ROUNDS, warmup_rounds=2)
    assert logits.shape == (8, 20)


def test_the_harness_around_nothing(
    benchmark: BenchmarkFixture, config: Callable[..., Path], tmp_path: Path
) -> None:
    registry = load_plugins()
    built = build(load_config(config(NOTHING)), registry, torch.device("cpu"))
    plan, folders = make_plan(built), iter(range(100))

    def fresh() -> tuple[tuple[Benchmark, Path], dict[str, object]]:
        return (built, tmp_path / str(next(folders))), {}

    def once(what: Benchmark, folder: Path) -> int:
        return run(what, plan, folder, command="")[1].computed

    benchmark.group = "harness"
    assert benchmark.pedantic(once, setup=fresh, rounds=5, warmup_rounds=1) == 128


def test_reading_results_and_comparing_them(benchmark: BenchmarkFixture) -> None:
    limits = parse_limits([])

    def once() -> int:
        report = compare(load_results(_PUBLISHED), load_results(_PUBLISHED), limits)
        return len(report.checks)

    benchmark.group = "results"
    assert benchmark.pedantic(once, rounds=5, warmup_rounds=1) > 100


def test_writing_a_leaderboard(benchmark: BenchmarkFixture) -> None:
    results = load_results(_PUBLISHED)
    benchmark.group = "results"
    written = benchmark.pedantic(files, (results,), rounds=3, warmup_rounds=1)
    assert {".md", ".csv", ".svg"} <= written.keys()
