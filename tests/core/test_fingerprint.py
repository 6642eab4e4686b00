"""Every part that could change a number changes the key."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import Config, parse
from superdef_bench.core import fingerprint as module
from superdef_bench.core.fingerprint import fingerprint, sources, tensors
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.shipped import shipped
from superdef_bench.run.plan import make_plan

PLUGIN = dedent("""
    import torch
    from superdef_bench import InputTransform, hookimpl

    class Mine(InputTransform):
        def __init__(self, *, scale: float = 1.0, seed: int = 0) -> None:
            super().__init__()
            self.scale = scale
            weight = torch.rand(1, generator=torch.Generator().manual_seed(seed))
            self.register_buffer("weight", weight)

        def transform(self, x):
            return x

    @hookimpl
    def register_defenses():
        return {"mine": Mine}
""")

ELSEWHERE = ("eps", "steps", "mine", "surrogates", "attacks", "rows")


def config(**changes: Any) -> Config:
    run = {"dataset": "signs", "model": "signs_resnet8", "limit": 4, "masking": 0} | changes
    return parse(
        {
            "run": {key: value for key, value in run.items() if key not in ELSEWHERE},
            "threat": {"eps": changes.get("eps", "8/255")},
            "attacks": changes.get("attacks", {"pgd": {"steps": changes.get("steps", 3)}}),
            "defenses": {"mine": changes.get("mine", {}), **changes.get("rows", {})},
            "transfer": {"surrogates": changes.get("surrogates", [])},
            "models": {"twin": "signs_resnet8", "other": "signs_resnet8"},
        },
        "test",
    )


def keys(folder: Path, source: str = PLUGIN, **changes: Any) -> dict[str, str]:
    """Return the key of each cell of the defense."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(source)
    plan = make_plan(build(config(**changes), load_plugins([folder]), torch.device("cpu")))
    mine = [cell for cell in plan.cells if cell.defense == "mine"]
    lent = ("transfer", "surrogate")
    return {
        f"{c.rung} {c.attack}" + (f" {c.source}" if c.rung in lent else ""): c.key for c in mine
    }


@pytest.mark.parametrize(
    ("changes", "clean_changes"),
    [
        ({"seed": 1}, True),
        ({"mine": {"scale": 2.0}}, True),
        ({"mine": {"seed": 1}}, True),  # another weight, through an argument
        ({"steps": 4}, False),
        ({"eps": "7/255"}, False),
    ],
)
def test_arguments_weights_threat_and_seed_are_in_the_key(
    tmp_path: Path, changes: dict[str, Any], clean_changes: bool
) -> None:
    before, after = keys(tmp_path / "a"), keys(tmp_path / "a", **changes)
    assert before.keys() == after.keys() == {" none", "gray_box pgd", "white_box pgd", "bpda pgd"}
    for cell, key in before.items():
        assert (key != after[cell]) == (clean_changes or cell != " none")


def test_device_and_batch_size_are_not(tmp_path: Path) -> None:
    assert keys(tmp_path / "a") == keys(tmp_path / "a", batch_size=3, limit=3)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the cells whose key changed; they are the same cells."""
    assert before.keys() == after.keys()
    return {cell for cell, key in before.items() if key != after[cell]}


def test_source_and_rung_are_in_the_key(tmp_path: Path) -> None:
    lent: dict[str, Any] = {
        "surrogates": ["model:twin", "model:other", "defense:jpeg", "defense:median"]
    }
    both: dict[str, Any] = {"attacks": {"pgd": {"steps": 3}, "square": {"queries": 5}}}
    found = keys(tmp_path / "a", **lent, **both)
    # Two attacks: five replays each, one that knows it by scores, one by two kinds of gradients.
    assert len(found) == 1 + 2 * 5 + 1 + 2
    # Twin, other and the classifier itself have the same weights, and share their examples.
    assert len(set(found.values())) == len(found)
    alone = keys(tmp_path / "a", surrogates=["defense:median"], **both)
    assert alone.items() <= found.items()


def test_a_source_is_in_the_keys_of_its_own_rows_alone(tmp_path: Path) -> None:
    def lent(folder: str, row: dict[str, Any], **told: Any) -> dict[str, str]:
        lenders = ["model:twin", "defense:lent"]
        return keys(tmp_path / folder, rows={"lent": row}, surrogates=lenders, **told)

    own = {"surrogate pgd lent"}
    before = lent("a", {"plugin": "mine"})
    assert changed(before, lent("a", {"plugin": "mine", "seed": 1})) == own
    # A random one is attacked over draws, and what is made on it is scored by one.
    random = lent("a", {"plugin": "random_resize_pad"})
    assert changed(random, lent("a", {"plugin": "random_resize_pad"}, eot=3)) == own
    assert changed(random, lent("a", {"plugin": "random_resize_pad"}, draws=21)) == set()


@pytest.mark.parametrize("stochastic", [False, True])
def test_draws_and_eot_are_in_the_keys_of_random_defenses_alone(
    tmp_path: Path, stochastic: bool
) -> None:
    drawn = PLUGIN.replace("def transform(self, x):", "def transform(self, x, *, random):").replace(
        "(InputTransform):", "(InputTransform):\n    stochastic = True\n"
    )
    source = drawn if stochastic else PLUGIN
    before = keys(tmp_path / "a", source, surrogates=["model:twin"])
    gradients = {"white_box pgd", "bpda pgd"}
    more = changed(before, keys(tmp_path / "a", source, surrogates=["model:twin"], eot=3))
    assert more == (gradients if stochastic else set())
    more = changed(before, keys(tmp_path / "a", source, surrogates=["model:twin"], draws=21))
    replayed = {"gray_box pgd", "transfer pgd twin"}
    assert more == ({" none", *replayed, *gradients} if stochastic else set())


def test_one_byte_of_the_plugin_changes_every_key(tmp_path: Path) -> None:
    before = keys(tmp_path / "a")
    after = keys(tmp_path / "b", PLUGIN + "#")
    assert all(after[cell] != key for cell, key in before.items())


@pytest.mark.slow
def test_one_byte_of_any_file_that_it_runs_through_changes_the_sources(tmp_path: Path) -> None:
    package = tmp_path / "superdef_bench"
    real = Path(module.__file__).parents[1]
    for file in real.rglob("*.py"):
        target = package / file.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    harness = real / "run/shard.py"
    used = [name for name in sources(harness) if name.startswith("superdef_bench/")]
    expected = {"transform", "score", "attack", "checks", "rng", "quality", "types"}
    assert expected <= {Path(name).stem for name in used}
    attack = sources(shipped("plugins") / "attacks" / "gradient_sign.py")
    assert {"superdef_bench/engine/ascent.py", "superdef_bench/engine/losses.py"} <= set(attack)
    assert "torch version" in attack

    def hashes() -> dict[str, str]:
        sources.cache_clear()
        return dict(sources(package / "run/shard.py"))

    real_package = module._PACKAGE
    module._PACKAGE = package
    try:
        before = hashes()
        for name in used:
            file = tmp_path / name
            content = file.read_bytes()
            file.write_bytes(content + b"\n")
            after = hashes()
            assert [key for key in before if before[key] != after[key]] == [name]
            file.write_bytes(content)
    finally:
        module._PACKAGE = real_package
        sources.cache_clear()


def test_library_versions_are_in_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    file = shipped("plugins") / "attacks" / "foolbox"
    before = sources(file)
    assert before["foolbox version"]
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    clear = (sources.cache_clear, module._version.cache_clear)  # a process reads them once
    for each in clear:
        each()
    assert sources(file)["foolbox version"] == "9.9"
    for each in clear:
        each()


def test_tensors_see_names_types_shapes_and_bytes() -> None:
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.float64)},
        {"a": torch.tensor([[0.0, 0, 0], [0, 0, 1e-30]])},
        {"a": torch.zeros(2, 3), "b": torch.zeros(())},
    ]
    found = {tensors(state) for state in [base, *others]}
    assert len(found) == 6
    channels_last = torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert tensors({"a": channels_last}) == tensors({"a": channels_last.contiguous()})


def test_parts_do_not_run_together() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
