"""Super-resolution trained by the command line, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.nn import build_network
from superdef_bench.nn.weights import load_weights, read_provenance
from tests.support.commands import Answer


def test_the_commands_train_teacher_student_and_control(
    run_cli: Callable[..., Answer], photo_folder: Path
) -> None:
    small = ("--steps", 2, "--every", 2, "--holdout", 2, "--patch", 8, "--batch-size", 2)
    given = ("--data", photo_folder, "-o", "out", *small)
    assert run_cli("train", "rcan", "--size", "1x1x16", *given).code == 0
    teacher = ("--teacher", "out/rcan_1x1x16_x2.safetensors")
    answer = run_cli("train", "superdef", "--size", "2x8", *teacher, *given)
    assert answer.code == 0, answer.err
    assert answer.out.split() == ["out/superdef_2x8_x2.safetensors", "out/superdef_2x8_x2.json"]
    assert "step 2/2, loss" in answer.err
    assert "psnr" in answer.err
    record = read_provenance(Path("out/superdef_2x8_x2.safetensors"))
    assert record["architecture"] == {
        "network": "SuperDef",
        "layers": 2,
        "features": 8,
        "scale": 2,
        "folded": True,
    }
    assert record["settings"]["alpha"] == 0.5
    assert record["data"]["photographs"] == 5
    network = build_network(record["architecture"])
    network.load_state_dict(load_weights(Path("out/superdef_2x8_x2.safetensors")))
    control = run_cli("train", "superdef_no_kd", "--size", "2x8", *given)
    assert control.out.split()[0] == "out/superdef_2x8_x2_no_kd.safetensors"
    queries = ("--queries", "clean,noise,jpeg,adversarial", "--model", "signs_resnet8")
    several = run_cli("train", "superdef", "--size", "1x1x16", *teacher, *queries, *given)
    assert several.code == 0, several.err
    record = json.loads(Path("out/superdef_1x1x16_x2.json").read_text())
    assert record["architecture"]["network"] == "RCAN"
    assert record["settings"]["queries"] == ["clean", "noise", "jpeg", "adversarial"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["edsr", "--data", "nowhere"], "training data nowhere does not exist"),
        (["edsr", "--data", "signz"], "did you mean 'signs'"),
        (["edsr", "--seed", "99999999999999"], "seed is 99999999999999"),
        (["edsr", "--size", "9x9999999", "--holdout", "1"], "features is 9999999"),
        (["edsr", "--model", "signs_resnet8", "--data", "signs"], "uses no classifier"),
        (["superdef", "--model", "signs_resnet8"], "alone use a classifier"),
        (["superdef", "--queries", "noise", "--eps", "8"], "eps '8' is above 1"),
        (["classifier", "--lr", "0", "--data", "signs"], "lr is 0"),
        (["edsr", "--size", "16"], "size '16' is none of EDSR"),
        (["edsr", "--scale", "5"], "scale is 5"),
        (["edsr", "--holdout", "9"], "has 7 images, 10 are needed"),
        (["edsr", "--holdout", "2", "--patch", "500"], "patches of 500 pixels do not fit"),
        (["edsr", "--lr", "0"], "lr is 0"),
        (["superdef", "--teacher", "no.safetensors"], "no.safetensors"),
        (["superdef", "--queries", "adversarial"], "adversarial queries need a classifier"),
        (["superdef", "--stepps", "3"], "did you mean '--steps'"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    run_cli: Callable[..., Answer], photo_folder: Path, words: list[str], message: str
) -> None:
    answer = run_cli("train", *words, *(() if "--data" in words else ("--data", photo_folder)))
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
