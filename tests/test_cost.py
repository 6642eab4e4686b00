"""What networks cost side by side, through the real command line."""

import itertools
import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import InputTransform
from superdef_bench.chosen import networks_of
from superdef_bench.latency import costs
from tests.conftest import Answer

Run = Callable[..., Answer]


class Clock:
    """Time that passes only where a network spends it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Slow(InputTransform):
    """Takes a known time."""

    def __init__(self, clock: Clock, *seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, itertools.cycle(seconds)
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)

    def transform(self, x: Tensor) -> Tensor:
        self.clock.now += next(self.seconds)
        out: Tensor = self.conv(x)
        return out


def test_a_network_that_takes_four_times_as_long_has_a_ratio_of_four(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("superdef_bench.latency.time", clock)
    # The first pass warms up; one later round meets a busy machine in both alike.
    networks = {
        "fast": Slow(clock, 9, 0.02, 0.02, 0.2, 0.02),
        "slow": Slow(clock, 9, 0.08, 0.08, 0.8, 0.08),
    }
    fast, slow = costs(networks, [16], rounds=4, device=torch.device("cpu"))
    assert (fast.network, fast.ratio) == ("fast", 1.0)
    assert slow.ratio == pytest.approx(4)
    low, middle, high = slow.milliseconds
    assert (low, middle) == pytest.approx((80, 80))
    assert 80 < high <= 800
    assert slow.params == 3 * 3 * 9
    assert slow.gmac == pytest.approx(3 * 3 * 9 * 16 * 16 / 1e9)


def test_untrained_networks_have_the_cost_of_their_size(run_cli: Run) -> None:
    words = ["edsr:2x8", "superdef:2x8", "superdef:1x2x16", "bicubic_x2", "jpeg"]
    answer = run_cli("cost", *words, "--size", "16", "--size", "24", "--rounds", "1", "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["rounds"] == 1
    assert {"threads", "machine", "versions", "dtype"} <= document.keys()
    rows = document["cost"]
    assert [row["network"] for row in rows] == words * 2
    small, large = rows[:5], rows[5:]
    assert small[1]["params"] == (3 * 8 * 9 + 8) + 2 * (8 * 8 * 9 + 8) + (8 * 12 * 9 + 12)
    for one, other in zip(small[:2], large[:2], strict=True):
        assert other["gmac"] == pytest.approx(one["gmac"] * (24 / 16) ** 2)
    assert small[3]["gmac"] == 0
    table = run_cli("cost", "edsr:2x8", "--rounds", "1").out
    assert "32x32" in table
    assert all(len(line) <= 80 for line in table.splitlines())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("swin:2x8", "no network 'swin'"),
        ("rcan:2x8", "size '2x8' is none of RCAN"),
        ("adversarial_training", "is no input transform"),
        ("edsrr", "unknown defense 'edsrr'"),
        ("nothing.safetensors", "nothing.safetensors does not exist"),
    ],
)
def test_what_is_no_network_is_one_line(run_cli: Run, word: str, message: str) -> None:
    answer = run_cli("cost", word)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_an_untrained_network_is_ready_to_use() -> None:
    x = torch.rand(1, 3, 8, 8)
    found = networks_of(["RCAN:1x2x16"], 3, torch.device("cpu"), untrained=True)
    out = found["RCAN:1x2x16"](x)
    assert out.shape == (1, 3, 24, 24)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_a_random_defense_has_a_cost_and_a_file_too(run_cli: Run) -> None:
    from superdef_bench.weights import SHIPPED

    path = SHIPPED / "superdef_8x48_x2.safetensors"
    answer = run_cli("cost", path, "superdef", "random_resize_pad", "--rounds", "1", "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)["cost"]
    assert rows[0]["gmac"] == rows[1]["gmac"] > 0
    assert [row["network"] for row in rows[1:]] == ["superdef", "random_resize_pad"]


def test_an_image_that_does_not_fit_into_memory_is_one_line(run_cli: Run) -> None:
    answer = run_cli("cost", "bicubic_x2", "--size", "2000000", "--rounds", "1")
    assert answer.code == 2
    assert "memory ran out" in answer.err
