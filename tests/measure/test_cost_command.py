"""What pipelines cost side by side, through the real command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.measure.networks import networks_of
from superdef_bench.measure.roofline import Ceilings, signs_of_a_busy_machine
from tests.support.commands import Answer
from tests.support.documents import write

Run = Callable[..., Answer]
QUICK = ("--rounds", "1", "--seconds", "0", "--batch-size", "2")


def test_untrained_networks_have_the_cost_of_their_size(run_cli: Run) -> None:
    words = ["edsr:2x8", "superdef:2x8", "superdef:1x2x16", "bicubic_x2", "jpeg"]
    answer = run_cli("cost", *words, "--size", "16", "--size", "24", *QUICK, "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["rounds"] == 1
    assert {"threads", "machine", "versions", "model", "ceilings"} <= document.keys()
    own = [r for r in document["cost"] if r["scope"] == "defense" and r["batch_size"] == 1]
    assert [row["defense"] for row in own] == words * 2
    small, large = own[:5], own[5:]
    assert small[1]["params"] == (3 * 8 * 9 + 8) + 2 * (8 * 8 * 9 + 8) + (8 * 12 * 9 + 12)
    for one, other in zip(small[:2], large[:2], strict=True):
        assert other["gmac"] == pytest.approx(one["gmac"] * (24 / 16) ** 2)
    assert small[3]["gmac"] == 0


def test_rows_say_all_of_what_was_measured(run_cli: Run) -> None:
    answer = run_cli("cost", "superdef:2x8", "none", "bit_depth", *QUICK, "--json")
    document = json.loads(answer.out)
    rows = document["cost"]
    kinds = [(row["defense"], row["scope"], row["batch_size"]) for row in rows]
    assert len(kinds) == len(set(kinds)) == 2 * (2 + 2 + 1)  # the bare classifier is one row
    assert ("none", "defense", 1) not in kinds
    for row in rows:
        times = row["latency_ms"]
        assert 0 < times["p10"] <= times["p50"] <= times["p90"] <= times["p99"]
        assert row["throughput"] == pytest.approx(1000 * row["batch_size"] / times["p50"], rel=0.05)
        assert (row["mode"], row["dtype"], row["too_large"]) == ("eager", "float32", "")
        assert row["passes"] >= 1
        assert row["first_ms"] > 0
        assert row["memory"] > 4 * row["params"]
        assert row["roofline"]["bound"] in ("launch", "memory", "compute")
        assert 0 <= row["roofline"]["share"] < 1.5
    by = dict(zip(kinds, rows, strict=True))
    for name in ("superdef:2x8", "bit_depth"):
        own, whole = by[name, "defense", 1], by[name, "pipeline", 1]
        assert own["latency_ms"]["p10"] < whole["latency_ms"]["p99"]
        assert own["ops"] < whole["ops"]
    assert by["superdef:2x8", "defense", 1]["ratio"] == 1.0
    assert document["ceilings"]["overhead"] > 0
    assert document["ceilings"]["gflops"]["float32"] > 0
    assert min(document["ceilings"]["gigabytes"].values()) > 0


def test_tables_fit_80_columns_and_say_what_the_counter_does_not_see(run_cli: Run) -> None:
    answer = run_cli(
        "cost", "rcan", "mustafa", "--mode", "eager", "--mode", "channels_last", *QUICK
    )
    assert answer.code == 0, answer.err
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert "\x1b" not in answer.out
    words = " ".join(answer.out.split())
    for title in (
        "Work, 32x32",
        "Latency of one image",
        "Images per second",
        "Roofline",
        "by mode",
    ):
        assert title in words
    assert "does not see element-wise work" in words
    assert "classifier alone" in words


def test_without_names_all_that_can_be_built_is_measured(
    run_cli: Run, plugin_folder: Callable[[str], Path]
) -> None:
    folder = plugin_folder(
        """
import time
from superdef_bench import InputTransform, hookimpl

class Twice(InputTransform):
    def transform(self, x):
        return x

class Sleepy(Twice):
    def transform(self, x):
        time.sleep(1.1)
        return x

class Needy(Twice):
    def __init__(self, *, path):
        super().__init__()

@hookimpl
def register_defenses():
    return {"twice": Twice, "needy": Needy, "sleepy": Sleepy}
"""
    )
    answer = run_cli("cost", *QUICK, "--json", "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    measured = {row["defense"].split(" (")[0] for row in json.loads(answer.out)["cost"]}
    assert {"twice", "superdef", "rcan", "mustafa", "jpeg", "random_resize_pad", "none"} <= measured
    assert "left out: needy" in answer.err
    assert "left out: adversarial_training" in answer.err
    assert "left out: sleepy: takes 1 s for an image of 32x32; name it to measure it" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["swin:2x8"], "no network 'swin'"),
        (["rcan:2x8"], "size '2x8' is none of RCAN"),
        (["adversarial_training"], "is no input transform"),
        (["edsrr"], "unknown defense 'edsrr'"),
        (["nothing.safetensors"], "nothing.safetensors does not exist"),
        (["jpeg", "--mode", "eagre"], "no mode 'eagre'\nhint: did you mean 'eager'?"),
        (["jpeg", "--model", "resnet"], "unknown model 'resnet'"),
        (["edsr", "edsr"], "'edsr' is named twice"),
    ],
)
def test_what_is_no_network_is_one_line(run_cli: Run, words: list[str], message: str) -> None:
    answer = run_cli("cost", *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_an_untrained_network_is_ready_to_use() -> None:
    x = torch.rand(1, 3, 8, 8)
    found = networks_of(["RCAN:1x2x16"], 3, torch.device("cpu"), untrained=True)
    out = found["RCAN:1x2x16"](x)
    assert out.shape == (1, 3, 24, 24)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_a_random_defense_has_a_cost_and_a_file_too(run_cli: Run) -> None:
    from superdef_bench.nn.weights import SHIPPED

    path = SHIPPED / "superdef_8x48_x2.safetensors"
    answer = run_cli("cost", path, "superdef", "random_resize_pad", *QUICK, "--json")
    assert answer.code == 0, answer.err
    rows = [row for row in json.loads(answer.out)["cost"] if row["scope"] == "defense"]
    assert rows[0]["gmac"] == rows[1]["gmac"] > 0
    names = [row["defense"] for row in rows if row["batch_size"] == 1]
    assert names == ["superdef_8x48_x2", "superdef", "random_resize_pad"]


def test_an_image_that_does_not_fit_into_memory_is_too_large(run_cli: Run) -> None:
    answer = run_cli("cost", "bicubic_x2", "--size", "2000000", *QUICK)
    assert answer.code == 0, answer.err
    assert "too large" in answer.out
    rows = json.loads(run_cli("cost", "bicubic_x2", "--size", "2000000", *QUICK, "--json").out)
    assert {row["too_large"] for row in rows["cost"]} == {"memory"}
    assert not any("latency_ms" in row for row in rows["cost"])


def test_a_size_that_a_defense_refuses_is_one_line(
    run_cli: Run, plugin_folder: Callable[[str], Path]
) -> None:
    folder = plugin_folder(
        """
from superdef_bench import InputTransform, hookimpl

class Picky(InputTransform):
    def transform(self, x):
        raise ValueError("only\\nodd sizes")

@hookimpl
def register_defenses():
    return {"picky": Picky}
"""
    )
    answer = run_cli("cost", "picky", *QUICK, "--plugins-dir", folder)
    assert (answer.code, answer.out) == (2, "")
    assert "picky on 1 x 32x32 pixels: ValueError: only odd sizes" in answer.err
    assert len(answer.err.splitlines()) == 2


def test_a_run_measures_what_its_rows_cost(run_cli: Run, config: Callable[..., Path]) -> None:
    answer = run_cli("run", config(), "-o", "out")
    assert answer.code == 0, answer.err
    rows = json.loads(Path("out/results.json").read_text())["cost"]

    def again() -> object:
        assert run_cli("run", config(), "-o", "out").code == 0
        return json.loads(Path("out/results.json").read_text())["cost"]

    assert again() == rows  # what the folder holds is not measured again
    kept = json.loads(Path("out/cost.json").read_text())
    write(Path("out/cost.json"), {**kept, "key": "of another defense"})
    assert again() != rows
    del kept["sha256"]  # an earlier version wrote it
    Path("out/cost.json").write_text(json.dumps(kept))
    assert again() != rows
    found = {(row["defense"], row["scope"]): row for row in rows}
    assert len(found) == len(rows) == 4
    own, whole = found["bicubic_x2 (native)", "defense"], found["bicubic_x2 (native)", "pipeline"]
    assert 0 < own["latency_ms"]["p50"] < whole["latency_ms"]["p50"]
    assert whole["ops"] > own["ops"] > 0
    assert whole["gmac"] == pytest.approx(4 * found["none", "pipeline"]["gmac"], rel=1e-3)
    page = Path("out/tiny.md").read_text()
    assert "ratio to none" in page
    assert "tiny-pareto.svg" in page
    assert Path("out/tiny-pareto.svg").exists()


def test_short_is_time_work_and_ratio_alone(run_cli: Run) -> None:
    words = ("superdef:2x8", "jpeg", "--rounds", "1", "--seconds", "0", "--size", "16", "--short")
    answer = run_cli("cost", *words)
    assert answer.code == 0, answer.err
    head = [line for line in answer.out.splitlines() if line.startswith("┃")]
    assert [cell.strip() for cell in head[0].split("┃")[1:-1]] == ["network", "ms", "GMAC", "ratio"]
    assert len(head) == 1
    assert "Roofline" not in answer.out


@pytest.mark.parametrize(
    ("copied", "share", "told"),
    [
        (20.0, 0.9, []),
        (20.0, 1.6, ["a pass reached 160 % of what the machine was seen to do at best"]),
        (1.5, 0.9, ["copies of 128 MiB went at 1.5 GB/s, far below the memory's speed"]),
    ],
)
def test_a_busy_machine_is_said(copied: float, share: float, told: list[str]) -> None:
    ceilings = Ceilings({"float32": 100.0}, {2**20: 50.0, 2**27: copied}, 1.0)
    found = signs_of_a_busy_machine(ceilings, [0.1, share], torch.device("cpu"))
    assert found == [f"The machine was busy: {why}. Measure again when it is idle." for why in told]
