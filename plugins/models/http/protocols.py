"""How a service is asked for the scores of images: two protocols in JSON."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from superdef_bench import ConfigError, DataError, UnavailableError

from .client import Client

_APART = 1e-3  # of a sum of probabilities from 1


class Protocol(ABC):
    """Asks a service; its address, and what it says of its version."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.address, self.version = client.url, ""

    @abstractmethod
    def ask(self, images: Tensor) -> Tensor:
        """Return scores `(N, K)` of images `(N, C, H, W)` in [0, 1].

        Raises:
            UnavailableError: The service does not answer, or with something else.
        """

    def check_probabilities(self, scores: Tensor) -> None:
        """Raise ConfigError unless scores are 0 or more and each row adds up to 1."""
        sums = scores.sum(dim=1)
        if bool((scores < 0).any()) or bool(((sums - 1).abs() > _APART).any()):
            raise ConfigError(
                f"{self.address} gives no probabilities: a row adds up to {float(sums[0]):.4g}",
                hint='scores = "logits" takes them as they are',
            )

    def _scores(self, values: object, images: int) -> Tensor:
        """Return what was answered for so many images as a tensor."""
        try:
            scores = torch.tensor(values, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise self._nonsense("scores that are no table of numbers") from error
        if scores.ndim != 2 or len(scores) != images or scores.shape[1] < 2:
            raise self._nonsense(f"scores {tuple(scores.shape)} for {images} images")
        if not bool(scores.isfinite().all()):
            raise self._nonsense("scores that are not finite")
        return scores

    def _nonsense(self, what: str) -> UnavailableError:
        return UnavailableError(
            f"{self.address} answers with {what}",
            hint="a classifier gives a row of scores for each image; docs/models.md shows how",
        )


class Instances(Protocol):
    """`{"instances": images}` and `{"predictions": scores}`."""

    def ask(self, images: Tensor) -> Tensor:
        answer = self._client.post("", {"instances": images.tolist()})
        if "predictions" not in answer:
            raise self._nonsense(f"{_names(answer)} and no predictions")
        return self._scores(answer["predictions"], len(images))


class OpenInference(Protocol):
    """The Open Inference Protocol, version 2, which KServe, Triton and others speak.

    Args:
        client: Sends requests.
        model: Name of the model at the service; what it takes and gives is asked for at once.
    """

    def __init__(self, client: Client, model: str) -> None:
        super().__init__(client)
        self._path = f"/v2/models/{quote(model, safe='')}"
        self.address += self._path
        told = client.get(self._path)
        self._input = self._only(told, "inputs", ("FP32",))
        self._output = self._only(told, "outputs", ("FP32", "FP64"))
        self.version = str(told.get("versions", ""))

    def ask(self, images: Tensor) -> Tensor:
        question = {
            "inputs": [
                {
                    "name": self._input,
                    "shape": list(images.shape),
                    "datatype": "FP32",
                    "data": images.flatten().tolist(),
                }
            ],
            "outputs": [{"name": self._output}],
        }
        answer = self._client.post(f"{self._path}/infer", question)
        outputs = _tensors(answer, "outputs")
        found = [each for each in outputs if each.get("name") == self._output]
        if len(found) != 1:
            raise self._nonsense(f"{_names(answer)} and no output {self._output!r}")
        try:
            values = torch.tensor(found[0].get("data"), dtype=torch.float32)
            scores = values.reshape([int(side) for side in found[0]["shape"]])
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise self._nonsense("an output whose data have not its shape") from error
        return self._scores(scores.tolist(), len(images))

    def _only(self, told: Mapping[str, Any], key: str, kinds: Sequence[str]) -> str:
        """Return the name of the one tensor among what the model takes or gives."""
        found = [(each.get("name"), each.get("datatype")) for each in _tensors(told, key)]
        if len(found) != 1 or not found[0][0] or found[0][1] not in kinds:
            raise DataError(
                f"{self.address} has {key} {found}",
                hint="a classifier takes one tensor of FP32 images, and gives one of scores",
            )
        return str(found[0][0])


def _tensors(answer: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = answer.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _names(answer: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(name)[:40]) for name in list(answer)[:5]) or "nothing"
