"""`http`: a classifier behind an address, asked over the network."""

import hashlib
import math
import os
from typing import Literal
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, hookimpl
from superdef_bench.nn import check_address

from .client import Client
from .protocols import Instances, OpenInference, Protocol

Scores = Literal["logits", "probabilities"]
_LEAST = 1e-30  # of a probability, whose logarithm is a logit


class HttpClassifier(nn.Module):
    """A classifier behind an address: it gives answers and no gradient.

    `transfer` and `black_box` alone apply. The service gets images in [0, 1], float32
    `(N, C, H, W)`, and normalises them itself. A request that fails is sent again, with longer and
    longer waits, or after as long as the service says.

    Args:
        url: Its address; no name or password in it, for results print it.
        protocol: `json` sends `{"instances": images}` to the address and reads `{"predictions":
            scores}`, as TensorFlow Serving and KServe's version 1 have it; `v2` is the Open
            Inference Protocol at `URL/v2/models/MODEL`.
        model: Its name at a `v2` service.
        scores: What the service gives: `logits`, or `probabilities`, of which logarithms are taken.
        version: What its owner says of it. Weights behind an address have no hash: results are
            found again by address, names and this.
        batch: Images of a request, at most.
        rate: Requests per second, at most; 0 for no limit.
        timeout: Seconds for an answer, to its last byte.
        retries: How often a request is sent again.
        budget: Images that are asked for, at most, in this process; 0 for no limit.
        token: Environment variable with a token, sent as `Authorization: Bearer`; never kept.
    """

    differentiable = False
    # How it is asked, not what answers: no part of the keys of records.
    operational = frozenset({"batch", "rate", "timeout", "retries", "budget", "token"})
    endpoint_sha256: Tensor

    def __init__(
        self,
        *,
        url: str,
        protocol: Literal["json", "v2"] = "json",
        model: str = "",
        scores: Scores = "logits",
        version: str = "",
        batch: int = 64,
        rate: float = 0.0,
        timeout: float = 30.0,
        retries: int = 3,
        budget: int = 0,
        token: str = "",
    ) -> None:
        super().__init__()
        _check(batch=batch, rate=rate, timeout=timeout, retries=retries, budget=budget)
        client = Client(
            _checked(url).rstrip("/") if protocol == "v2" else _checked(url),
            _headers(url, token),
            rate=rate,
            timeout=timeout,
            retries=retries,
            budget=budget,
        )
        if protocol == "v2" and not model:
            raise ConfigError(
                f"no model named at the v2 service {url!r}",
                hint='say which: model = { plugin = "http", protocol = "v2", model = "NAME", ... }',
            )
        if protocol == "json" and model:
            raise ConfigError(
                f"model {model!r} is named, but protocol json has one model at an address",
                hint='write it into the url, or take protocol = "v2"',
            )
        self._protocol: Protocol = (
            OpenInference(client, model) if protocol == "v2" else Instances(client)
        )
        self._client, self._scores, self._batch = client, scores, batch
        identity = repr((url, protocol, model, scores, version, self._protocol.version))
        digest = hashlib.sha256(identity.encode()).digest()
        self.register_buffer("endpoint_sha256", torch.tensor(list(digest), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_meta:
            raise NotImplementedError("the work of a service is not known")
        images = x.detach().cpu().float()
        self._client.spend(len(images))
        answers = torch.cat([self._protocol.ask(part) for part in images.split(self._batch)])
        if self._scores == "probabilities":
            self._protocol.check_probabilities(answers)
            answers = answers.clamp_min(_LEAST).log()
        return answers.to(x.device)


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        least = {"batch": 1.0, "timeout": 0.001}.get(name, 0.0)
        if not least <= value < math.inf:
            raise ConfigError(f"{name} is {value}", hint=f"take {least:g} or more")


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{url!r} is no address of a service",
            hint="write it in full: https://models.example/classify",
        )
    if parts.username or parts.password:
        raise ConfigError(
            "the url of a service has a name or a password in it, and results print it",
            hint='put a token into an environment variable, and name that: token = "MY_TOKEN"',
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            "the url of a service has a part behind ? or #, and results print it",
            hint='name the service by its path; a key goes by token = "MY_TOKEN"',
        )
    return url


def _headers(url: str, token: str) -> dict[str, str]:
    if not token:
        return {}
    check_address("a token in clear text", url)
    value = os.environ.get(token, "")
    if not value or not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"environment variable {token} holds no token",
            hint=f"set it, without spaces or line breaks: export {token}=...",
        )
    return {"Authorization": f"Bearer {value}"}


@hookimpl
def register_models() -> dict[str, type[HttpClassifier]]:
    return {"http": HttpClassifier}
