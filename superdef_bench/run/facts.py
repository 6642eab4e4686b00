"""What results say of the attacked classifier and of each attack, so that pages can."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import nn

from superdef_bench.benchmark.built import Benchmark, BuiltAttack
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.threats import parse_eps
from superdef_bench.nn.pretrained import Normalized
from superdef_bench.nn.weights import weights_file
from superdef_bench.results.facts import Attack, DatasetFacts, ModelFacts, Settings, ThreatFacts

_ATTRIBUTES = {  # by which an attack says how it is set
    "steps": "steps",
    "step_size": "step_size",  # one length, or a function of eps
    "restarts": "restarts",
    "loss": "loss_name",
    "queries": "queries",
}


def dataset_facts(benchmark: Benchmark) -> DatasetFacts:
    """Return what the images are."""
    task = benchmark.task
    return DatasetFacts(
        name=task.dataset,
        split=benchmark.dataset.split,
        sha256=task.sha256,
        images=benchmark.limit,
        classes=task.num_classes,
        shape=list(task.input_shape),
    )


def threat_facts(benchmark: Benchmark) -> ThreatFacts:
    """Return what attackers may do."""
    config = benchmark.config
    return ThreatFacts(
        norm=config.norm,
        eps=[parse_eps(text) for text in config.eps],
        topk=config.topk,
        target=config.target,
        eightbit=config.eightbit,
    )


def model_facts(benchmark: Benchmark) -> ModelFacts:
    """Return what the attacked classifier is."""
    task, network = benchmark.task, benchmark.bare.classifier
    file = weights_file(network)
    return ModelFacts(
        name=task.model,
        fingerprint=task.model_fingerprint,
        weights=tensors(network.state_dict()),
        arguments=dict(benchmark.model_arguments),
        architecture=_architecture(network),
        file=file.name if file else None,
        file_sha256=_sha256(file) if file else None,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def _architecture(network: nn.Module) -> str:
    inner = network.network if isinstance(network, Normalized) else network
    return type(inner).__name__


def _sha256(file: Path) -> str | None:
    """Return the hash of a file; None of one that has gone since it was read."""
    with suppress(OSError), file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
    return None


def attack_facts(attack: BuiltAttack) -> Attack:
    """Return an attack as the benchmark ran it."""
    return Attack(
        arguments=dict(attack.arguments),
        kind=attack.attack.kind,
        access=attack.attack.access,
        norm=attack.norm,
        eps=[parse_eps(text) for text in attack.eps],
        rungs=[str(rung) for rung in attack.rungs],
        limit=attack.limit,
        counted=attack.counted,
        defenses=attack.defenses,
        less_in_strength=getattr(attack.attack, "less_in_strength", None),
        settings=_settings(attack),
    )


def _settings(attack: BuiltAttack) -> Settings:
    """Return what an attack says of its settings; what is no such number is left out."""
    said: dict[str, Any] = {}
    for setting, attribute in _ATTRIBUTES.items():
        # Whatever a plugin raises here, its numbers are there: they are not lost for a word.
        with suppress(Exception):
            value = getattr(attack.attack, attribute)
            if setting == "step_size":
                radii = [parse_eps(text) for text in attack.eps]
                value = [float(value(eps) if callable(value) else value) for eps in radii]
            Settings.model_validate({setting: value})
            said[setting] = value or None
    return Settings(**said)
