"""Configs: what they mean, and every way to get one wrong, through the real command line."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench.benchmark.choices import AttackChoice
from superdef_bench.benchmark.config import Config, find_config, load_config, parse
from superdef_bench.benchmark.mistakes import lines_of
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.threats import Rung, parse_eps
from tests.support.commands import CONFIG, Answer, with_rows

RUN: dict[str, Any] = {"dataset": "signs", "model": "signs_resnet8"}


def test_a_config_is_read_with_its_defaults() -> None:
    config = parse({"run": RUN}, "name")
    assert (config.name, config.limit, config.batch_size, config.seed) == ("name", 128, 64, 0)
    assert (config.norm, config.eps) == ("linf", ("2/255", "8/255"))
    assert config.rungs == tuple(Rung)
    assert [choice.name for choice in config.defenses] == ["none"]


def test_a_rung_may_have_fewer_images() -> None:
    assert parse({"run": RUN}, "name").limits == {}
    config = parse({"run": {**RUN, "limits": {"bpda": 5, "gray_box": 7}}}, "name")
    assert config.limits == {"gray_box": 7, "bpda": 5}
    for value, message in [
        (5, "limits is 5"),
        ({"bpdaa": 5}, "unknown rung 'bpdaa' in [run] limits"),
        ({"bpda": 0}, "bpda is 0"),
        ({"bpda": True}, "bpda is True"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse({"run": {**RUN, "limits": value}}, "name")


def test_rows_take_arguments_threats_limits_and_chains() -> None:
    config = parse(
        {
            "run": {**RUN, "model": "mine", "dataset": {"plugin": "imagefolder", "path": "x"}},
            "models": {"mine": {"plugin": "checkpoint", "path": "y"}},
            "attacks": {
                "cw": {"norm": "l2", "eps": "0.5", "limit": 32, "rungs": ["bpda"], "kappa": 1}
            },
            "defenses": {
                "jpeg_50": {"plugin": "jpeg", "quality": 50, "limit": 8},
                "both": {"chain": ["wavelet", {"plugin": "jpeg", "quality": 10}]},
            },
        },
        "name",
    )
    assert (config.model.plugin, config.model.arguments) == ("checkpoint", {"path": "y"})
    assert config.dataset.arguments == {"path": "x"}
    expected = AttackChoice(
        name="cw",
        plugin="cw",
        arguments={"kappa": 1},
        norm="l2",
        eps=("0.5",),
        limit=32,
        rungs=(Rung.BPDA,),
    )
    assert config.attacks == (expected,)
    none, jpeg, both = config.defenses
    assert (none.name, jpeg.plugin, jpeg.arguments, jpeg.limit) == (
        "none",
        "jpeg",
        {"quality": 50},
        8,
    )
    assert [(stage.plugin, stage.arguments) for stage in both.chain] == [
        ("wavelet", {}),
        ("jpeg", {"quality": 10}),
    ]


def test_select_keeps_what_is_named_and_adds_what_is_missing() -> None:
    config = parse(
        {"run": RUN, "attacks": {"pgd": {"steps": 7}}, "defenses": {"jpeg": {"quality": 9}}}, "name"
    )
    chosen = config.select(
        defenses=["median", "jpeg"], attacks=["pgd", "fgsm"], rungs=["bpda"], limit=5, seed=None
    )
    assert [(c.name, dict(c.arguments)) for c in chosen.defenses] == [
        ("none", {}),
        ("median", {}),
        ("jpeg", {"quality": 9}),
    ]
    assert [(c.name, dict(c.arguments)) for c in chosen.attacks] == [
        ("pgd", {"steps": 7}),
        ("fgsm", {}),
    ]
    assert (chosen.rungs, chosen.limit, chosen.seed) == ((Rung.BPDA,), 5, 0)
    assert config.select() == config


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), (" 2 / 255", 2 / 255), ("0.5", 0.5), (1, 1.0)]
)
def test_eps_is_a_fraction_or_a_number(text: object, value: float) -> None:
    assert parse_eps(text) == pytest.approx(value)


def change(**sections: dict[str, Any]) -> dict[str, Any]:
    return {"run": RUN, **sections}


@pytest.mark.parametrize(
    ("document", "message", "hint"),
    [
        ({}, "[run] has no 'model'", "model"),
        (change(atacks={}), "unknown key 'atacks' in the config", "did you mean 'attacks'"),
        (change(run={**RUN, "limt": 1}), "unknown key 'limt' in [run]", "did you mean 'limit'"),
        (change(run={**RUN, "limit": 0}), "limit is 0", "whole number"),
        (change(run={**RUN, "limit": "many"}), "limit is 'many'", "whole number"),
        (change(run={**RUN, "rungs": ["gray"]}), "unknown rung 'gray'", "did you mean 'gray_box'"),
        (change(run={**RUN, "rungs": []}), "rungs is []", "take from"),
        (change(threat={"norm": "linff"}), "unknown norm 'linff'", "did you mean 'linf'"),
        (change(threat={"eps": "8/0"}), "eps '8/0' is no number", "8/255"),
        (change(threat={"eps": "-2/255"}), "eps '-2/255' is not above 0", "8/255"),
        (change(threat={"eps": []}), "empty list", "eps ="),
        (change(threat={"eps": ["8/255", "2/255"]}), "do not rise", "last"),
        (change(threat={"eps": "1e999"}), "eps '1e999' is no number", "8/255"),
        (change(threat={"eps": 8}, attacks={"pgd": {}}), "eps '8' is above 1", '"8/255"?'),
        (change(run={**RUN, "seed": -1}), "seed is -1", "whole number"),
        (change(defenses={"jpeg": 75}), "defense 'jpeg' is 75", "jpeg = { argument = 75 }"),
        (
            change(defenses={"both": {"chain": ["jpeg"], "plugin": "jpeg"}}),
            "defense 'both' has 'plugin' beside its chain",
            "links",
        ),
        (
            change(defenses={"none": {"plugin": "jpeg"}}),
            "the row 'none' is the undefended classifier",
            "another name",
        ),
        (change(attacks={"pgd": {"norm": "l3"}}), "unknown norm 'l3' in attack 'pgd'", "l2"),
        (change(attacks={"pgd": {"norm": "l2"}}), "norm l2 but no eps", "eps"),
        (change(attacks={"pgd": {"limit": -1}}), "limit is -1", "whole number"),
        (change(defenses={"both": {"chain": []}}), "the chain of defense 'both' is []", "chain"),
        (
            change(defenses={"a": {"plugin": "jpeg", "name": "b"}, "b": {"plugin": "jpeg"}}),
            "two defenses are named 'b'",
            "name",
        ),
    ],
)
def test_mistakes_are_found_before_anything_is_built(
    document: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        parse(document, "name")
    assert message in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"signs"\n', '"sign"\n', "unknown dataset 'sign'\nhint: did you mean 'signs'?"),
        ("signs_resnet8", "resnet8", "unknown model 'resnet8'\nhint: did you mean 'signs_resnet8'"),
        ("fgsm = {}", "fgms = {}", "unknown attack 'fgms'\nhint: did you mean 'fgsm'?"),
        ("fgsm = {}", "pgd = { step = 3 }", "no argument 'step'\nhint: did you mean 'steps'?"),
        ("fgsm = {}", "pgd = { steps = 0 }", "attack 'pgd': steps is 0, take 1 or more"),
        ("bicubic_x2", "bicubic_x3", "unknown defense 'bicubic_x3'\nhint: did you mean 'bicubic"),
        ("bicubic_x2 = {}", "jpeg = { quality = 300 }", "quality is 300, take 1 to 95"),
        ("bicubic_x2 = {}", 'jpeg = { quality = "high" }', "'high'\nhint: it takes a whole number"),
        ("fgsm = {}", "pgd = { steps = 2.5 }", "'steps' of attack 'pgd' is 2.5"),
        ("fgsm = {}", "pgd = { relative_step = nan }", "'relative_step' of attack 'pgd' is nan"),
        ("fgsm = {}", "pgd = { relative_step = -1.0 }", "take a number above 0"),
        (
            "bicubic_x2 = {}",
            'wavelet = { wavelet = "bogus" }',
            "take an orthogonal one such as db1",
        ),
        ('"signs"\n', '{ plugin = "signs", name = 10 }\n', "'name' of dataset 'signs' is 10"),
        ("bicubic_x2 = {}", 'a = { chain = ["none", "jpeg"] }', "NoDefense, which is no transform"),
        ("[run]", "[run", "is no TOML: "),
        ("limit = 8", "limit = 8\nunknown = 1", "unknown key 'unknown' in [run]"),
    ],
)
def test_the_command_line_answers_in_two_lines_and_with_2(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    tmp_path: Path,
    old: str,
    new: str,
    message: str,
) -> None:
    assert old in CONFIG
    answer = run_cli("run", config(CONFIG.replace(old, new)), "-o", tmp_path / "out")
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.startswith("error: ")
    assert len(answer.err.splitlines()) <= 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-d", "jpg"], "unknown defense 'jpg'\nhint: did you mean 'jpeg'?"),
        (["-a", "pdg"], "unknown attack 'pdg'\nhint: did you mean 'pgd'?"),
        (["--rung", "whitebox"], "unknown rung 'whitebox'"),
        (["--limit", "0"], "limit is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--model", "resnet8"], "tiny, model: unknown model 'resnet8'\nhint: did you mean 's"),
        (["--dataset", "sign"], "tiny, dataset: unknown dataset 'sign'\nhint: did you mean 's"),
        (["--eps", "8/0"], "eps '8/0' is no number"),
        (["--eps", "8/255,2/255"], "do not rise"),
        (["--norm", "l3"], "unknown norm 'l3' in --norm"),
        (["--norm", "l2"], "the radii of the config are for linf"),
        (["--device", "tpu9"], "device 'tpu9' cannot be used"),
        pytest.param(
            ["--device", "cuda"],
            "device 'cuda': this torch sees no GPU\nhint: take auto or cpu; a GPU takes its driver",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (["--plugins-dir", "nowhere"], "does not exist"),
    ],
)
def test_options_are_checked_like_the_config(
    run_cli: Callable[..., Answer], config: Callable[..., Path], words: list[str], message: str
) -> None:
    answer = run_cli("run", config(), *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_a_missing_config_and_a_shipped_one(
    run_cli: Callable[..., Answer], repository: Path
) -> None:
    answer = run_cli("run", "nothing.toml")
    assert answer.code == 2
    assert "config nothing.toml cannot be read: No such file" in answer.err
    known = (
        "known: ablations, cifar10-jpeg-ladder, cifar10-jpeg-linf, cifar10-jpeg-resize-back, "
        "cifar10-jpeg-resnet18-linf, gate, gated, imagenet-linf, ladder, mustafa-attacks, "
        "nips2017-ladder, "
    )
    assert known in answer.err
    assert "did you mean 'quickstart'?" in run_cli("run", "quikstart").err
    assert find_config("quickstart") == repository / "configs" / "quickstart.toml"


def test_classes_and_sizes_that_do_not_fit_are_config_errors(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    other = CONFIG.replace("signs_resnet8", "autoattack_example")
    answer = run_cli("run", config(other))
    assert answer.code == 2
    assert "has 10 classes, dataset 'signs' has 20" in answer.err
    small = other.replace('"signs"', '{ plugin = "signs", size = 16 }')
    answer = run_cli("run", config(small))
    assert answer.code == 2
    assert "cannot take the images (3, 16, 16)" in answer.err


def test_shipped_configs_are_valid(repository: Path) -> None:
    files = sorted((repository / "configs").glob("*.toml"))
    assert len(files) >= 3
    for file in files:
        config = load_config(file)
        assert config.attacks
        assert Config.model_validate(json.loads(json.dumps(config.model_dump()))) == config


def test_a_row_without_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nameless.toml"
    path.write_text('[run]\nmodel = "m"\ndataset = "d"\n[attacks.""]\nplugin = "fgsm"\n')
    with pytest.raises(ConfigError, match=r"a row of \[attacks\] has no name"):
        load_config(path)


_MANY = """
[run]               # a comment with [brackets] and "quotes
dataset = "signs"
model = "signs_resnet8"
limt = 4
rungs = [
  "gray_box",       # ]
  "bpda",
]

[threat]
eps = "8/0"

[attacks]
pgd = { step = 3 }
fgsm = { eps = "x" }
[attacks.'pgd_2']
plugin = "pgd"
steps = 0

[defenses]
jpg = {}
jpeg = { quality = 300 }
wavelet.levls = 3
"""


def test_all_mistakes_are_told_together_each_with_its_line(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    path = config(_MANY, name="many")
    answer = run_cli("run", path, "-o", tmp_path / "out")
    assert (answer.code, answer.out) == (2, "")
    told = [line for line in answer.err.splitlines() if not line.startswith("hint: ")]
    assert told == [
        f"error: {path}, line 5: unknown key 'limt' in [run]",
        f"error: {path}, line 12: eps '8/0' is no number",
        f"error: {path}, line 15: attack 'pgd' takes no argument 'step'",
        f"error: {path}, line 16: eps 'x' is no number",
        f"error: {path}, line 17: attack 'pgd': steps is 0, take 1 or more",
        f"error: {path}, line 22: unknown defense 'jpg'",
        f"error: {path}, line 23: defense 'jpeg': quality is 300, take 1 to 95",
        f"error: {path}, line 24: defense 'wavelet' takes no argument 'levls'",
    ]
    assert "hint: did you mean 'limit'?\n" in answer.err
    assert not (tmp_path / "out").exists()
    # What is not run is not asked of its plugin.
    few = run_cli("run", path, "-d", "jpeg", "-a", "fgsm").err
    assert "quality is 300" in few
    assert "'jpg'" not in few
    assert "'step'" not in few


def test_lines_of_a_document_are_those_of_its_keys() -> None:
    text = '''a.b = """
[no]
c = 1
"""
"x y" = { d = 1 }   # e = 2
f = [
  { g = 1 },
]
[[h]]
i = \'[\'
[j . "k.l"]
m = 2
'''
    assert lines_of(text) == {
        ("a",): 1,
        ("a", "b"): 1,
        ("x y",): 5,
        ("f",): 6,
        ("h",): 9,
        ("h", "i"): 10,
        ("j",): 11,
        ("j", "k.l"): 11,
        ("j", "k.l", "m"): 12,
    }


def test_model_dataset_and_ball_can_be_given_on_the_command_line(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    text = with_rows('pgd = { steps = 2, eps = "8/255" }\nbim = { eps = "1/255" }')
    text = text.replace('"signs_resnet8"', '{ plugin = "no_such", path = "x" }')
    text = text.replace('"signs"', '{ plugin = "imagefolder", path = "nowhere" }')
    words = ("--model", "signs_resnet14", "--dataset", "signs", "--eps", "1/255,0.01", "-d", "jpeg")
    answer = run_cli("run", config(text), *words, "--limit", 2, "-o", "out")
    assert answer.code == 0, answer.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["model"]["name"], results["dataset"]["name"]) == ("signs_resnet14", "signs")
    assert results["config"]["eps"] == ["1/255", "0.01"]
    assert "models" not in results["config"]
    assert results["config"]["model"]["arguments"] == {}
    balls = {row["name"]: (row["norm"], row["eps"]) for row in results["config"]["attacks"]}
    assert balls == {
        "fgsm": (None, None),
        "pgd": (None, ["0.01"]),  # of the ranking radius alone, whichever that is
        "bim": ("linf", ["1/255"]),  # a radius of its own stays
    }
    command = results["provenance"]["command"]
    assert command.endswith(
        "tiny.toml --model signs_resnet14 --dataset signs --eps 1/255,0.01 -d jpeg --limit 2 -o out"
    )


def test_another_norm_needs_radii_of_its_own() -> None:
    attacks = {"pgd": {"eps": "2/255"}, "cw": {"norm": "l2", "eps": "1"}, "fgsm": {}}
    config = parse({"run": RUN, "attacks": attacks}, "name")
    with pytest.raises(ConfigError, match="the radii of the config are for linf"):
        config.select(norm="l2")
    with pytest.raises(ConfigError, match="unknown norm 'l3' in --norm"):
        config.select(norm="l3", eps=["1"])
    with pytest.raises(ConfigError, match="eps '8' is above 1"):
        config.select(eps=["8"])
    chosen = config.select(norm="l2", eps=["0.5", "2"])
    assert (chosen.norm, chosen.eps) == ("l2", ("0.5", "2"))
    balls = {row.name: (row.norm, row.eps) for row in chosen.attacks}
    assert balls == {
        "pgd": ("linf", ("2/255",)),
        "cw": ("l2", ("1",)),
        "fgsm": (None, None),
    }


def test_a_row_of_models_is_meant_before_a_plugin() -> None:
    models = {"mine": {"plugin": "checkpoint", "path": "y"}}
    config = parse({"run": RUN, "models": models}, "name")
    assert config.select(model="mine").model.arguments == {"path": "y"}
    assert config.select(model="timm").model.plugin == "timm"


def test_of_very_many_mistakes_ten_are_told(tmp_path: Path) -> None:
    wrong = "".join(f"wrong{number} = {number}\n" for number in range(30))
    (tmp_path / "many.toml").write_text(
        f'[run]\ndataset = "signs"\nmodel = "signs_resnet8"\n{wrong}'
    )
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "many.toml")
    told = str(error.value).splitlines()
    assert len(told) <= 21
    assert told[-1] == "error: 20 more mistakes"
