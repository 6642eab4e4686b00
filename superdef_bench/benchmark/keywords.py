"""The keywords of a call as a config: each key by its name, a radius as a number or a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from superdef_bench.benchmark.choices import check_key
from superdef_bench.benchmark.config import Config, check_name
from superdef_bench.benchmark.live import LiveRows, plain, radii, text
from superdef_bench.core.threats import Norm, Target

_OTHERS = ("device", "plugins_dir", "out")  # keywords that are no part of a config


class Keys(TypedDict, total=False):
    """Keys of a config that a call may give by their names; None is as good as left out."""

    rungs: Sequence[str] | None
    limit: int | None
    limits: Mapping[str, int] | None
    batch_size: int | None
    seed: int | None
    norm: Norm | None
    topk: int | None
    target: Target | None
    eightbit: bool | None
    eot: int | None
    draws: int | None
    masking: int | None
    cell_seconds: int | None
    undefended_at: int | None
    surrogates: Sequence[Any] | None


@dataclass(frozen=True)
class Call:
    """What a caller gave `evaluate_model`, of whatever type.

    Attributes:
        model: The classifier.
        dataset: The images.
        defenses: A list.
        attacks: A list.
        eps: A radius or a list of them; None for those of a config that names none.
        name: Of the benchmark.
        keys: Every other key.
    """

    model: object
    dataset: object
    defenses: object
    attacks: object
    eps: object
    name: object
    keys: Mapping[str, object]

    def config(self, rows: LiveRows) -> Config:
        """Return the config that the call means.

        Args:
            rows: Reads the rows, and keeps what is live among them.

        Raises:
            ConfigError: A key, a value or a type is none that a config has.
        """
        known = Keys.__annotations__
        for key in self.keys.keys() - known.keys():
            takes = [field.name for field in fields(self) if field.name != "keys"]
            check_key(key, [*known, *takes, *_OTHERS], "evaluate_model")
        given = {key: value for key, value in self.keys.items() if value is not None}
        surrogates = given.pop("surrogates", [])
        settings = {key: plain(key, value) for key, value in given.items()}
        if self.eps is not None:
            settings["eps"] = radii(self.eps)
        name = text("name", self.name)
        check_name(name)
        model, defenses = rows.model(self.model), rows.defenses(self.defenses)
        return Config.model_validate(
            {
                **settings,
                "name": name,
                "model": model,
                "dataset": rows.dataset(self.dataset, model),
                "attacks": rows.attacks(self.attacks),
                "defenses": defenses,
                "sources": rows.surrogates(surrogates, defenses),
            }
        )
