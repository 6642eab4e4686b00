"""Submitted examples: scored as a run scores them, and what does not fit is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from superdef_bench import DataError, load_dataset, load_model
from superdef_bench.analysis.run_folder import RunFolder, open_run
from superdef_bench.analysis.submission import (
    SubmittedRow,
    benchmark_of,
    check_submission,
    score_submission,
)
from superdef_bench.analysis.submitted_file import FACTS, read_submission
from superdef_bench.analysis.upper_bound import bounds
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.rng import image_id
from superdef_bench.core.threats import Rung
from superdef_bench.results.load import load_results
from superdef_bench.results.rows import shares
from superdef_bench.results.schema import Results
from superdef_bench.run.bank.example_file import ExampleFile
from tests.support.commands import Answer
from tests.support.pickles import Evil

CPU = torch.device("cpu")
N = 12
CONFIG = f"""
[run]
dataset = "signs"
model = "signs_resnet8"
limit = {N}
batch_size = 8
masking = 0
eot = 2
rungs = ["gray_box", "white_box"]
[threat]
eps = "8/255"
[attacks]
pgd = {{ steps = 3 }}
[defenses]
bicubic_x2 = {{}}
gaussian_noise = {{}}
"""

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def benchmark_(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    path = tmp_path_factory.mktemp("submission") / "tiny.toml"
    path.write_text(CONFIG)
    return benchmark_of(str(path), load_plugins(), CPU)


@pytest.fixture(scope="module")
def clean() -> tuple[Tensor, Tensor]:
    return load_dataset("signs").load(range(N))


@pytest.fixture
def honest(clean: tuple[Tensor, Tensor]) -> Tensor:
    """Return examples in the ball: noise, to whose border some go."""
    x, _ = clean
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return (x + 8 / 255 * noise).clamp(0, 1)


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def refused(path: Path, benchmark: Benchmark) -> str:
    """Return the line with which a file is refused."""
    with pytest.raises(DataError) as error:
        check_submission(read_submission(path), benchmark)
    message = error.value.message
    assert "\n" not in message
    return message.replace(str(path), "FILE").replace(path.name, "FILE")


def scored(content: object, path: Path, benchmark: Benchmark) -> dict[str, SubmittedRow]:
    submission = check_submission(read_submission(saved(content, path)), benchmark)
    return {row.defense: row for row in score_submission(submission, benchmark)}


def examples(run: RunFolder, defense: str, rung: Rung) -> Tensor:
    """Return what a run's own attack makes of all its images, from its seed."""
    group = next(
        g for g in run.plan.groups if g.defense.name == defense and g.rung is rung and g.attack
    )
    made = [
        run.kept_examples(group, group.cells[-1], shard)
        if rung.replays
        else run.worker.attack(group, group.cells[-1], shard.images)
        for shard in run.shards()
    ]
    return torch.cat([each.images for each in made])


@pytest.mark.ci
def test_what_a_run_breaks_is_broken_by_its_examples_handed_in(
    run_cli: Callable[..., Answer], config: Write, tmp_path: Path, benchmark_: Benchmark
) -> None:
    assert run_cli("run", config(CONFIG), "-o", "made").code == 0
    run, own = open_run(tmp_path / "made", load_plugins(), CPU), []
    for defense, rung in (
        ("none", Rung.GRAY_BOX),
        ("bicubic_x2 (native)", Rung.WHITE_BOX),
        ("gaussian_noise", Rung.WHITE_BOX),
    ):
        handed = examples(run, defense, rung)
        rows = scored(handed, tmp_path / "adv.pt", benchmark_)
        wanted = run.results.row(defense=defense, rung=rung, attack="pgd")
        bare = run.results.clean(defense)
        assert wanted is not None
        assert bare is not None
        assert (rows[defense].right == np.minimum(shares(wanted), shares(bare))).all()
        assert (rows[defense].clean == shares(bare)).all()
        assert 0 < rows[defense].robust.accuracy < rows[defense].accuracy.accuracy
        own.append(rows[defense])
    found = bounds(run.results, own, benchmark_)
    # What the table has already lowers none of its bounds.
    assert [each.defense for each in found] == [row.defense for row in own]
    assert not any(each.lowers or each.broken for each in found)


def test_a_random_defense_is_scored_on_fresh_draws(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor
) -> None:
    row = scored(honest, tmp_path / "a.pt", benchmark_)["gaussian_noise"]
    assert row.draws == 20
    twentieths = 20 * row.right
    assert np.allclose(twentieths, twentieths.round())
    assert ((row.clean > 0) & (row.clean < 1)).any()
    low, high = row.accuracy.low, row.accuracy.high
    assert low < row.accuracy.accuracy < high


def test_an_image_that_is_wrong_without_attack_stays_broken(
    tmp_path: Path, benchmark_: Benchmark, clean: tuple[Tensor, Tensor], honest: Tensor
) -> None:
    rows = scored(honest, tmp_path / "a.pt", benchmark_)
    for row in rows.values():
        assert (row.right <= row.clean).all()
    same = scored(clean[0], tmp_path / "b.pt", benchmark_)
    assert all((row.right == row.clean).all() for row in same.values())


def facts(benchmark: Benchmark) -> dict[str, Any]:
    return {
        "labels": load_dataset("signs").load(range(N))[1],
        "ids": list(benchmark.dataset.ids[:N]),
        "norm": "linf",
        "eps": "8/255",
        "dataset": "signs",
        "dataset_sha256": benchmark.task.sha256,
        "class_names": list(benchmark.task.class_names),
        "weights": tensors(benchmark.bare.classifier.state_dict()),
    }


def test_what_a_file_says_is_held_against_the_benchmark(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor
) -> None:
    said = facts(benchmark_)
    assert said.keys() == FACTS.keys()
    path = saved({"adv_complete": honest, **said}, tmp_path / "a.pt")
    assert all(check_submission(read_submission(path), benchmark_).said.values())
    radius = torch.tensor(8 / 255)  # a float32 of it
    bare = saved({"adv_complete": honest, "eps": radius}, tmp_path / "b.pt")
    found = check_submission(read_submission(bare), benchmark_).said
    assert [key for key, known in found.items() if known] == ["eps"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"norm": "l2"}, "FILE says norm l2, here it is linf"),
        ({"eps": torch.tensor(4 / 255)}, "FILE says eps 0.0156862754"),
        ({"eps": torch.ones(2)}, "FILE says eps tensor([1., 1.]), here it is 8/255"),
        ({"eps": "4/255"}, "FILE says eps 4/255, here it is 8/255"),
        ({"eps": [8]}, "FILE says eps 8 in place 0, here it is 8/255"),
        ({"dataset": "cifar10"}, "FILE says dataset cifar10, here it is signs"),
        ({"dataset_sha256": "0" * 64}, "FILE says sha256 of the dataset 000000000000, here it is"),
        ({"weights": "1" * 64}, "FILE says classifier weights 111111111111, here it is"),
        ({"labels": [0]}, "FILE has labels that are not a whole number for each of 12 examples"),
        ({"labels": torch.zeros(N)}, "FILE has labels that are not a whole number for each of 12"),
        ({"ids": 7}, "FILE has ids that are no ids of images"),
    ],
)
def test_another_fact_is_refused(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor, changed: dict[str, Any], told: str
) -> None:
    content = {"adv_complete": honest, **facts(benchmark_), **changed}
    assert told in refused(saved(content, tmp_path / "a.pt"), benchmark_)


def test_classes_in_another_order_are_refused(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor
) -> None:
    first, second, *rest = benchmark_.task.class_names
    content = {"adv_complete": honest, "class_names": [first, *rest[:1], second, *rest[1:]]}
    told = refused(saved(content, tmp_path / "a.pt"), benchmark_)
    assert told == (
        f"FILE says order of classes {rest[0]!r} in place 1, here it is {second!r} in place 1"
    )
    content["class_names"] = [first, second]
    told = refused(saved(content, tmp_path / "b.pt"), benchmark_)
    assert told == (
        f"FILE says order of classes nothing in place 2, here it is {rest[0]!r} in place 2"
    )


def test_ids_tell_the_order(tmp_path: Path, benchmark_: Benchmark, honest: Tensor) -> None:
    said = facts(benchmark_)
    turned = {
        "adv_complete": honest.flip(0),
        "ids": said["ids"][::-1],
        "labels": said["labels"].flip(0),
    }
    plain = scored(honest, tmp_path / "a.pt", benchmark_)
    again = scored(turned, tmp_path / "b.pt", benchmark_)
    for name, row in plain.items():
        assert (row.right == again[name].right).all()
    turned["ids"] = ["signs/test/none", *said["ids"][1:]]
    told = refused(saved(turned, tmp_path / "c.pt"), benchmark_)
    assert told == f"FILE lacks 1 of the 12 images, such as {said['ids'][0]}, by its ids"


def test_an_image_a_thousandth_too_far_is_named(
    tmp_path: Path, benchmark_: Benchmark, clean: tuple[Tensor, Tensor]
) -> None:
    cheat = clean[0].clone()
    pixel = cheat[5, 0, 3, 3]
    pixel += (8 / 255 + 1e-3) * (1 if pixel < 0.5 else -1)
    told = refused(saved(cheat, tmp_path / "a.pt"), benchmark_)
    name = benchmark_.dataset.ids[5]
    assert told.startswith(
        f"FILE: 1 of 12 examples leave the linf ball of 8/255; image 5 ({name}) is 0.03237"
    )
    assert told.endswith("away, 0.001 too far")


def test_permuted_labels_and_other_images_are_caught(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor
) -> None:
    labels = facts(benchmark_)["labels"].roll(1)
    told = refused(saved({"adv_complete": honest, "labels": labels}, tmp_path / "a.pt"), benchmark_)
    assert told == (
        f"FILE says label {int(labels[0])} for image 0, which has {int(labels[1])}: 12 of 12 differ"
    )
    other, _ = load_dataset("signs").load(range(N, 2 * N))
    for number, content in enumerate((other, honest.roll(1, 0))):
        told = refused(saved(content, tmp_path / f"{number}.pt"), benchmark_)
        assert "FILE: 12 of 12 examples leave the linf ball of 8/255" in told


def bad_tensors(honest: Tensor) -> dict[str, tuple[Tensor, str]]:
    nan, low = honest.clone(), honest.clone()
    nan[3, 0, 0, 0], low[4, 0, 0, 0] = torch.nan, -0.01
    return {
        "fewer": (honest[:7], "FILE has 7 examples, the config 12 images"),
        "more": (torch.cat([honest, honest]), "FILE has 24 examples, the config 12 images"),
        "shape": (honest[:, :, 1:], "FILE has examples of shape (3, 31, 32), signs images of"),
        "flat": (honest.flatten(1), "FILE: the images have the shape (12, 3072)"),
        "none": (honest[:0], "FILE: the images have the shape (0, 3, 32, 32)"),
        "bytes": ((honest * 255).byte(), "FILE: the images are torch.uint8"),
        "nan": (nan, "FILE: the images have pixels that are NaN or infinite"),
        "range": (low, "FILE: the images are in [-0.01, 1]"),
    }


@pytest.mark.parametrize("kind", list(bad_tensors(torch.ones(N, 3, 32, 32))))
def test_a_tensor_that_does_not_fit_is_one_line(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor, kind: str
) -> None:
    tensor, told = bad_tensors(honest)[kind]
    assert told in refused(saved(tensor, tmp_path / "a.pt"), benchmark_)


def test_a_file_that_is_none_is_one_line(
    tmp_path: Path, benchmark_: Benchmark, honest: Tensor
) -> None:
    marker = tmp_path / "ran"
    evil = saved({"adv_complete": honest, "x": Evil(marker)}, tmp_path / "evil.pt")
    assert "holds pickled objects" in refused(evil, benchmark_)
    assert not marker.exists()
    whole = saved(honest, tmp_path / "whole.pt").read_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in refused(cut, benchmark_)
    assert "does not exist" in refused(tmp_path / "gone.pt", benchmark_)
    other = saved({"images": honest}, tmp_path / "other.pt")
    assert "holds no tensor under 'adv_complete'" in refused(other, benchmark_)
    (tmp_path / "text.safetensors").write_text("no")
    assert "is no file of examples" in refused(tmp_path / "text.safetensors", benchmark_)


def test_a_file_of_our_own_examples_is_read_too(
    tmp_path: Path, benchmark_: Benchmark, clean: tuple[Tensor, Tensor]
) -> None:
    x, y = clean
    levels = (x * 255).round()
    ids = torch.tensor([image_id(name) for name in benchmark_.dataset.ids[:N]])
    told = {"dataset": "signs", "norm": "linf", "eps": "8/255", "attack": "mine"}
    file = ExampleFile(ids.flip(0), y.flip(0), levels.byte().flip(0), told)
    file.save(tmp_path / "a.safetensors")
    submission = check_submission(read_submission(tmp_path / "a.safetensors"), benchmark_)
    assert {k for k, known in submission.said.items() if known} == {
        *("labels", "ids", "norm", "eps", "dataset")
    }
    assert torch.equal(submission.file.images, levels / 255)
    replace(file, labels=(y + 1).flip(0)).save(tmp_path / "b.safetensors")
    assert "12 of 12 differ" in refused(tmp_path / "b.safetensors", benchmark_)


@pytest.fixture(scope="module")
def strong(clean: tuple[Tensor, Tensor]) -> Tensor:
    """Return examples of ten steps on the bare classifier."""
    x, y = clean
    model, adversarial = load_model("signs_resnet8").eval(), x.clone()
    for _ in range(10):
        adversarial.requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(model(adversarial), y)
        (slope,) = torch.autograd.grad(loss, adversarial)
        adversarial = (adversarial + 2 / 255 * slope.sign()).detach()
        adversarial = adversarial.clamp(x - 8 / 255, x + 8 / 255).clamp(0, 1)
    return adversarial


@pytest.fixture
def table(run_cli: Callable[..., Answer], config: Write, tmp_path: Path) -> Results:
    """Return a table under one weak attack, at two radii."""
    weak = CONFIG.replace("pgd = { steps = 3 }", "fgsm = {}")
    path = config(weak.replace('"8/255"', '["1/255", "8/255"]'))
    assert run_cli("run", path, "-o", "weak").code == 0
    return load_results(tmp_path / "weak")


def test_a_stronger_submission_lowers_the_bound_by_the_images_that_it_breaks(
    tmp_path: Path, benchmark_: Benchmark, strong: Tensor, table: Results
) -> None:
    rows = scored(strong, tmp_path / "a.pt", benchmark_)
    found = {each.defense: each for each in bounds(table, list(rows.values()), benchmark_)}
    bare = found["none"]
    adaptive = table.worst("none", "adaptive")
    assert adaptive is not None
    known, here = shares(adaptive), rows["none"].right
    broken = [benchmark_.dataset.ids[i] for i in range(N) if known[i] and not here[i]]
    assert bare.broken == broken != []
    assert bare.lowers
    assert bare.before.accuracy == pytest.approx(adaptive.accuracy, abs=1e-6)
    assert bare.after.accuracy == pytest.approx(bare.before.accuracy - len(broken) / N)
    noise = found["gaussian_noise"]
    assert noise.after.accuracy <= noise.before.accuracy
    # Examples for the first images alone: the others stay as the table has them.
    few = replace(rows["none"], clean=rows["none"].clean[:5], right=here[:5])
    (part,) = bounds(table, [few], benchmark_)
    assert (part.n, part.submitted) == (N, 5)
    assert part.broken == [name for name in broken if name in benchmark_.dataset.ids[:5]]


def test_a_table_that_is_not_comparable_is_refused(
    tmp_path: Path, benchmark_: Benchmark, clean: tuple[Tensor, Tensor], table: Results
) -> None:
    rows = list(scored(clean[0], tmp_path / "a.pt", benchmark_).values())

    def other(**parts: Any) -> Results:
        document = table.document
        for part, value in parts.items():
            document[part] = {**document[part], **value} if isinstance(value, dict) else value
        return Results.of(document)

    for changed, told in (
        ({"dataset": {"sha256": "0" * 64}}, "dataset sha256 is 000000000000 there"),
        ({"model": {"weights": "0" * 64}}, "sha256 of the classifier's weights is 000000000000"),
        ({"model": {"weights": None, "fingerprint": "0" * 64}}, "weights is not said there"),
        ({"threat": {"norm": "l2"}}, "threat norm is l2 there, linf here"),
        ({"threat": {"eps": [1 / 255]}}, "threat eps is [0.00392156862745098] there"),
        ({"seed": 3}, "seed is 3 there, 0 here"),
    ):
        with pytest.raises(DataError) as error:
            bounds(other(**changed), rows, benchmark_)
        assert error.value.message.startswith("tiny is not comparable: ")
        assert told in error.value.message
    # Smaller tables and larger ones are: rows say how many images they have.
    assert bounds(other(dataset={"images": 100}), rows, benchmark_)
    noise = rows[-1]
    for row, told in (
        (replace(noise, arguments={**noise.arguments, "sigma": 9}), "sigma is 0.05 there, 9 here"),
        (replace(noise, draws=30), "it was scored on 20 draws, here on 30"),
        (replace(noise, clean=1 - noise.clean), "without attack 12 of 12 verdicts are others"),
    ):
        with pytest.raises(DataError, match=f"row 'gaussian_noise' of tiny is not .*{told}"):
            bounds(table, [row], benchmark_)
    with pytest.raises(DataError, match="tiny has no adaptive accuracy of other"):
        bounds(table, [replace(noise, defense="other")], benchmark_)
