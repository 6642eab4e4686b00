"""Classifiers of transformers from a folder; what of it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import load_model
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError
from superdef_bench.nn import read_preprocessing
from tests.support.downloads import CLOSED, offline


def folder(place: Path, **changed: Any) -> Path:
    """Write how images are normalised."""
    told = {"image_mean": [0.4] * 3, "image_std": [0.2] * 3} | changed
    place.mkdir(exist_ok=True)
    (place / "preprocessor_config.json").write_text(json.dumps(told))
    return place


def test_normalisation_is_read_for_images_in_0_1(tmp_path: Path) -> None:
    mean, std = read_preprocessing(folder(tmp_path))
    assert mean == pytest.approx([0.4] * 3)
    assert std == pytest.approx([0.2] * 3)
    assert read_preprocessing(folder(tmp_path, do_normalize=False)) == ([], [])
    mean, std = read_preprocessing(folder(tmp_path, do_rescale=False, image_mean=[102] * 3))
    assert mean == pytest.approx([0.4] * 3)
    assert std == pytest.approx([0.2 / 255] * 3)


@pytest.mark.parametrize(
    "asked",
    [
        {"rescale_offset": True},
        {"do_flip_channel_order": True},
        {"include_top": True},
        {"image_processor_type": "EfficientNetImageProcessor"},
    ],
)
def test_steps_that_are_not_done_are_refused(tmp_path: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="asks for steps that are not done here: "):
        read_preprocessing(folder(tmp_path, **asked))
    kind = "EfficientNetImageProcessor"
    assert read_preprocessing(folder(tmp_path, image_processor_type=kind, include_top=False))


@pytest.mark.parametrize("wrong", [{"image_mean": []}, {"image_std": [0] * 3}, {"image_mean": "a"}])
def test_a_folder_that_does_not_say_it_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="names no image_mean"):
        read_preprocessing(folder(tmp_path, **wrong))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_preprocessing(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "'name'"),
        ({"name": "owner/model"}, "takes the 40 digits of a commit"),
        ({"name": "owner/model", "revision": "main"}, "takes the 40 digits of a commit"),
        ({"name": ".", "revision": "a" * 40}, "is a folder, which has no revision"),
    ],
)
def test_a_name_needs_a_commit(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model("huggingface", **arguments)


def test_without_the_library_the_command_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(SuperdefError, match="needs transformers") as error:
        load_model("huggingface", name=str(tmp_path))
    assert error.value.hint == "pip install 'superdef-bench[huggingface]'"


def test_a_saved_classifier_gives_its_logits(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=20, layer_type="basic"
    )
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    model = load_model("huggingface", name=str(folder(tmp_path)))
    x = torch.rand(2, 3, 32, 32)
    assert torch.allclose(model(x), network((x - 0.4) / 0.2).logits, atol=1e-6)
    headless = transformers.ResNetModel(config)
    headless.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="are missing, such as classifier"):
        load_model("huggingface", name=str(tmp_path))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="has no safetensors"):
        load_model("huggingface", name=str(tmp_path))


def test_without_a_network_it_says_where_to_put_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    from huggingface_hub import constants

    offline(monkeypatch, tmp_path)
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    with pytest.raises(DataError, match=r"owner/model cannot be downloaded") as error:
        load_model("huggingface", name="owner/model", revision="a" * 40)
    assert f"huggingface/owner--model/{'a' * 40}" in error.value.hint
