"""Examples of a run in a file, and their replay."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench import DataError, load_dataset
from superdef_bench.benchmark.config import find_config, load_config
from superdef_bench.core.rng import image_id
from superdef_bench.results.load import load_results
from superdef_bench.results.rows import verdicts
from superdef_bench.run.bank.example_file import ExampleFile, read_examples
from tests.support.commands import Answer, records

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Write = Callable[..., Path]

MADE = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 16
masking = 0
rungs = ["gray_box"]
[threat]
eps = ["2/255", "8/255"]
[attacks]
fgsm = {}
[defenses]
jpeg = {}
"""


def replaying(file: str, sha256: str, eps: str = "8/255") -> str:
    text = MADE.replace('["2/255", "8/255"]', f'"{eps}"')
    return text.replace("fgsm = {}", f'replay = {{ file = "{file}", sha256 = "{sha256}" }}')


@pytest.fixture
def made(run_cli: Run, config: Write) -> str:
    """Return the sha256 of a file of examples in the current folder."""
    assert run_cli("run", config(MADE, "made"), "-o", "made").code == 0
    answer = run_cli("examples", "made", "fgsm", "-o", "some.safetensors")
    assert (answer.code, answer.err) == (0, "")
    line = answer.out.splitlines()[-1]
    assert line.startswith('fgsm_examples = { plugin = "replay", file = "some.safetensors", ')
    return line.split('"')[-2]


def test_what_is_replayed_is_what_was_made(run_cli: Run, config: Write, made: str) -> None:
    path = config(replaying("some.safetensors", made), "again")
    assert run_cli("run", path, "-o", "again").code == 0
    first, second = load_results(Path("made")), load_results(Path("again"))
    for defense in ("none", "jpeg"):
        was = first.row(defense=defense, rung="gray_box", attack="fgsm", eps=8 / 255)
        now = second.row(defense=defense, rung="gray_box", attack="replay")
        assert was is not None
        assert now is not None
        # Rounding to 8 bits, towards the clean image, may change a verdict or two.
        assert (verdicts(was) != verdicts(now)).sum() <= 2
    rows = [row for row in records(Path("again")) if row["attack"] == "replay"]
    assert {row["rung"] for row in rows} == {"gray_box"}
    far = [row["linf"] for row in rows]
    assert 7 / 255 < max(far) <= 8 / 255 + 1e-6
    assert all(abs(255 * value - round(255 * value)) < 1e-3 for value in far)
    assert {(row["forwards"], row["batch_dependent"]) for row in rows} == {(0.0, False)}


def test_a_radius_of_its_own_is_written_and_the_ball_is_checked(
    run_cli: Run, config: Write, made: str
) -> None:
    small = run_cli("examples", "made", "fgsm", "-o", "small.safetensors", "--eps", "2/255")
    sha256 = small.out.split('"')[-2]
    assert read_examples("small.safetensors", sha256).metadata["eps"] == "2/255"
    path = config(replaying("some.safetensors", made, "2/255"), "tiny")
    answer = run_cli("run", path, "-o", "tiny")
    assert answer.code == 1
    assert "replay" in answer.err + answer.out
    (failure, *_) = load_results(Path("tiny")).document["failures"]
    assert "limit" in failure["error"]


def test_what_the_run_does_not_keep_is_not_made_again(run_cli: Run, made: str) -> None:
    for file in Path("made/bank").rglob("*.safetensors"):
        file.unlink()
    answer = run_cli("examples", "made", "fgsm", "-o", "none.safetensors")
    assert answer.code == 2
    assert "keeps no examples" in answer.err
    assert not Path("none.safetensors").exists()


def test_mistakes_are_told(run_cli: Run, config: Write, made: str) -> None:
    cases = [
        (("examples", "made", "fgms", "-o", "x"), "did you mean 'fgsm'?"),
        (("examples", "made", "fgsm", "-o", "x", "--eps", "4/255"), "take 2/255 or 8/255"),
        (("run", config(replaying("gone.safetensors", made), "a")), "no file of examples"),
        (("run", config(replaying("some.safetensors", "0" * 64), "b")), f"have sha256 {made}"),
    ]
    for words, message in cases:
        answer = run_cli(*words)
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err


def test_images_that_the_file_lacks_and_other_labels_are_refused() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    file = ExampleFile(torch.tensor([7, 9]), torch.tensor([1, 0]), images + 255, {})
    found = file.of(torch.tensor([9]), torch.tensor([0]))
    assert torch.equal(found, torch.ones(1, 3, 4, 4))
    with pytest.raises(DataError, match="lacks 1 of 2 images"):
        file.of(torch.tensor([9, 8]), torch.tensor([0, 0]))
    with pytest.raises(DataError, match="1 of 2 examples were made for another label"):
        file.of(torch.tensor([9, 7]), torch.tensor([0, 0]))


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no file of examples"):
        read_examples(str(path), hashlib.sha256(b"nothing").hexdigest())


def test_the_examples_of_the_gate_are_those_of_its_config() -> None:
    config = load_config(find_config("gate"))
    attack = config.attacks[0]
    file = read_examples(attack.arguments["file"], attack.arguments["sha256"])
    dataset = load_dataset("signs")
    ids = [image_id(name) for name in dataset.ids[: config.limit]]
    assert file.ids.tolist() == ids
    x, y = dataset.load(range(64))
    examples = file.of(file.ids[:64], y)
    assert (examples - x).abs().max() <= 8 / 255 + 1e-6
    weights = load_results(Path(__file__).parents[3] / "leaderboards/gate/baseline.json")
    assert file.metadata["weights"] == weights.document["model"]["weights"]
