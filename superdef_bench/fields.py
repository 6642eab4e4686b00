"""Fields of a config: keys, numbers, radii, norms and rungs, checked."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from superdef_bench.errors import ConfigError
from superdef_bench.suggest import did_you_mean
from superdef_bench.types import NORMS, TARGETS, Norm, Rung, Target


def parse_eps(text: object) -> float:
    """Return the radius that `"8/255"` or `0.5` means.

    Raises:
        ConfigError: It is no positive number.
    """
    try:
        value = float(Fraction(str(text).replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(f"eps {text!r} is no number", hint='write "8/255" or "0.5"') from error
    if not 0 < value < 1e6:
        raise ConfigError(f"eps {text!r} is not above 0", hint='write "8/255" or "0.5"')
    return value


def check_keys(table: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(f"unknown key {key!r} in {where}", hint=did_you_mean(key, keys))


def table_of(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{key!r} is a {type(table).__name__}", hint=f"write a table [{key}]")
    return table


def required(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise ConfigError(f"{where} has no {key!r}", hint=f'add {key} = "signs"')
    return table[key]


def whole_number(table: Mapping[str, Any], key: str, default: int, *, least: int = 1) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{key} is {value!r}", hint=f"take a whole number from {least}")
    return value


def norm_of(value: object, where: str) -> Norm:
    if value not in NORMS:
        raise ConfigError(
            f"unknown norm {value!r} in {where}", hint=did_you_mean(str(value), NORMS)
        )
    return value


def target_of(value: object) -> Target:
    if value not in TARGETS:
        raise ConfigError(
            f"unknown target {value!r} in [threat]", hint=did_you_mean(str(value), TARGETS)
        )
    return value


def truth_of(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} is {value!r}", hint="take true or false")
    return value


def radii_of(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ConfigError("eps is an empty list", hint='write eps = ["2/255", "8/255"]')
    texts = [str(v).replace(" ", "") for v in values]
    radii = [parse_eps(v) for v in texts]
    if radii != sorted(set(radii)):
        raise ConfigError(f"eps {texts} do not rise", hint="the last and largest one ranks")
    return tuple(texts)


def rungs_of(values: object, where: str) -> tuple[Rung, ...]:
    names = [str(rung) for rung in Rung]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} is {values!r}", hint=f"take from {names}")
    for value in values:
        if value not in names:
            raise ConfigError(
                f"unknown rung {value!r} in {where}", hint=did_you_mean(str(value), names)
            )
    return tuple(rung for rung in Rung if str(rung) in values)


def limits_of(value: object) -> dict[str, int]:
    """Return the images of each rung that has a limit of its own."""
    if not isinstance(value, dict):
        raise ConfigError(f"limits is {value!r}", hint="write limits = { white_box = 256 }")
    rungs = rungs_of(list(value), "[run] limits") if value else ()
    return {str(rung): whole_number(value, str(rung), 1) for rung in rungs}


def draws_of(run: Mapping[str, Any]) -> int:
    """Return how many draws score a random defense; a byte per image counts them."""
    draws = whole_number(run, "draws", 20, least=20)
    if draws > 255:
        raise ConfigError(f"draws is {draws}", hint="take 20 to 255")
    return draws
