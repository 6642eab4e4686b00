"""The keywords of a call as a config: each key by its name, a radius as a number or a text."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict

from superdef_bench.benchmark.choices import check_keys
from superdef_bench.benchmark.config import Config, check_name
from superdef_bench.benchmark.live import LiveRows, kind_of, plain
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.threats import Norm, Target

_LEVELS = 255  # of a pixel of 8 bits
_NEAR = 1e-9


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
    surrogates: Sequence[Any] | None


def config_of_call(
    rows: LiveRows,
    name: object,
    model: object,
    dataset: object,
    defenses: object,
    attacks: object,
    eps: object,
    keys: Mapping[str, Any],
    takes: Sequence[str],
) -> Config:
    """Return the config that a call of `evaluate_model` means.

    Args:
        rows: Reads the rows, and keeps what is live among them.
        name: Of the benchmark.
        model: The classifier.
        dataset: The images.
        defenses: A list.
        attacks: A list.
        eps: A radius or a list of them; None for those of a config that names none.
        keys: Every other key.
        takes: Further keywords of the call, for a hint.

    Raises:
        ConfigError: A key, a value or a type is none that a config has.
    """
    for key in keys:
        if key not in Keys.__annotations__:
            check_keys({key: None}, [*Keys.__annotations__, *takes], "evaluate_model")
    given = {key: value for key, value in keys.items() if value is not None}
    surrogates = given.pop("surrogates", [])
    if not isinstance(name, str):
        raise ConfigError(f"name is {kind_of(name)}", hint="take text")
    check_name(name)
    settings = {key: plain(key, value) for key, value in given.items()}
    if eps is not None:
        settings["eps"] = [_radius(each) for each in (eps if _is_list(eps) else [eps])]  # type: ignore[attr-defined]  # a list
    chosen = rows.model(model)
    protected = rows.defenses(defenses)
    return Config.model_validate(
        {
            **settings,
            "name": name,
            "model": chosen,
            "dataset": rows.dataset(dataset, chosen),
            "attacks": rows.attacks(attacks),
            "defenses": protected,
            "sources": rows.surrogates(surrogates, protected),
        }
    )


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _radius(value: object) -> str:
    """Return a radius as a config writes it: levels of 255 where it is such, else a decimal."""
    eps = plain("eps", value)
    if not isinstance(eps, float):
        return str(eps)
    levels = eps * _LEVELS
    if abs(eps - round(eps)) > _NEAR and abs(eps - round(levels) / _LEVELS) <= _NEAR:
        return f"{round(levels)}/{_LEVELS}"
    return f"{Decimal(repr(eps)):f}"
