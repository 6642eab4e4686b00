"""TOML into a frozen, checked config. Unknown keys are errors; nothing is built here."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superdef_bench.benchmark.choices import (
    AttackChoice,
    Choice,
    DefenseChoice,
    SourceChoice,
    attack_of,
    check_keys,
    choice_of,
    defense_of,
    draws_of,
    limits_of,
    norm_of,
    radii_of,
    required,
    rungs_of,
    sources_of,
    table_of,
    target_of,
    truth_of,
    whole_number,
    with_none,
)
from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.shipped import shipped
from superdef_bench.core.threats import NO_TARGET, UNDEFENDED, Norm, Rung, Target, parse_eps

_RUN_KEYS = (
    *("dataset", "model", "limit", "batch_size", "seed", "rungs"),
    *("presets", "eightbit", "limits", "eot", "draws", "masking", "cell_seconds"),
)
_THREAT_KEYS = ("norm", "eps", "topk", "target")


@dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
        topk: An image is right while its label is among the k highest logits.
        target: How each image's label to reach is chosen; `none` for any wrong one.
        eightbit: Score attacked images after rounding them to 8 bits.
        limits: Fewer images for a rung, by its name.
        sources: What else is attacked, for the rungs that replay its examples.
        eot: Draws per gradient through a random defense.
        draws: Fresh draws by which a random defense is scored.
        masking: Images on which gradients are probed; 0 probes nothing.
        cell_seconds: A cell that may take longer is refused; None refuses none.
    """

    name: str
    dataset: Choice
    model: Choice
    limit: int
    batch_size: int
    seed: int
    rungs: tuple[Rung, ...]
    norm: Norm
    eps: tuple[str, ...]
    topk: int
    target: Target
    eightbit: bool
    attacks: tuple[AttackChoice, ...]
    defenses: tuple[DefenseChoice, ...]
    limits: Mapping[str, int] = field(default_factory=dict)
    sources: tuple[SourceChoice, ...] = ()
    eot: int = 16
    draws: int = 20
    masking: int = 64
    cell_seconds: int | None = None

    def select(
        self,
        *,
        defenses: Sequence[str] = (),
        attacks: Sequence[str] = (),
        rungs: Sequence[str] = (),
        eightbit: bool = False,
        **numbers: int | None,
    ) -> "Config":
        """Keep the named parts; add a name that the config lacks with its plugin's defaults.

        Args:
            defenses: Names to keep; all where empty. `none` always stays.
            attacks: Names to keep, presets for all of theirs; all where empty.
            rungs: Rungs to keep; all where empty.
            eightbit: Score after rounding, whatever the config says.
            numbers: `limit`, `batch_size` and `seed` to use instead.
        """
        changed: dict[str, Any] = {k: v for k, v in numbers.items() if v is not None}
        if defenses:
            ours = {choice.name: choice for choice in self.defenses}
            named = dict.fromkeys([UNDEFENDED, *defenses])
            changed["defenses"] = tuple(ours.get(n) or DefenseChoice(n, n) for n in named)
        if attacks:
            own = {choice.name: choice for choice in self.attacks}
            known = _shipped("presets")
            picked: dict[str, AttackChoice] = {}
            for name in attacks:
                if name in known and name not in own:
                    picked |= {key: own.get(key, row) for key, row in _preset(name).items()}
                else:
                    picked[name] = own.get(name) or AttackChoice(name, name)
            changed["attacks"] = tuple(picked.values())
        if rungs:
            changed["rungs"] = rungs_of(list(rungs), "--rung")
        if eightbit:
            changed["eightbit"] = True
        return _checked(replace(self, **changed))


def restore(document: Mapping[str, Any]) -> Config:
    """Return the config that a results file carries under `config`."""
    attacks = [
        AttackChoice(**{**row, "eps": _tuple(row["eps"]), "rungs": _rungs(row["rungs"])})
        for row in document["attacks"]
    ]
    defenses = [_defense(row) for row in document["defenses"]]
    sources = [
        SourceChoice(row["kind"], _defense(row["choice"])) for row in document.get("sources", ())
    ]
    built = {
        "dataset": Choice(**document["dataset"]),
        "model": Choice(**document["model"]),
        "rungs": _rungs(document["rungs"]),
        "eps": tuple(document["eps"]),
        "attacks": tuple(attacks),
        "defenses": tuple(defenses),
        "sources": tuple(sources),
    }
    return Config(**{**document, **built})


def _defense(row: Mapping[str, Any]) -> DefenseChoice:
    return DefenseChoice(**{**row, "chain": tuple(Choice(**link) for link in row["chain"])})


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _rungs(values: Sequence[str] | None) -> Any:
    return None if values is None else tuple(Rung(value) for value in values)


def _shipped(below: str = "") -> dict[str, Path]:
    folder = shipped("configs") / below
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def _preset(name: object) -> dict[str, AttackChoice]:
    """Return the attacks of a shipped list."""
    known = _shipped("presets")
    if name not in known:
        raise ConfigError(f"unknown preset {name!r}", hint=did_you_mean(str(name), known))
    document = tomllib.loads(known[str(name)].read_text(encoding="utf-8"))
    return {key: attack_of(key, value) for key, value in document["attacks"].items()}


def find_config(name: str) -> Path:
    """Return the file that a path, or the name of a shipped config, means."""
    path = Path(name)
    return path if path.exists() else _shipped().get(name, path)


def load_config(path: Path) -> Config:
    """Read a benchmark from a TOML file.

    Raises:
        ConfigError: The file is missing, is no TOML, or says something unknown or wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = did_you_mean(path.stem, _shipped(), more="shipped configs")
        raise ConfigError(f"config {path} cannot be read: {error.strerror}", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config {path} is no TOML: {error}", hint="see docs/config.md"
        ) from error
    try:
        return parse(document, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def parse(document: Mapping[str, Any], name: str) -> Config:
    """Check a parsed TOML document and return the benchmark it describes."""
    keys = ("run", "threat", "transfer", "attacks", "defenses", "models")
    check_keys(document, keys, "the config")
    run, threat = table_of(document, "run"), table_of(document, "threat")
    transfer = table_of(document, "transfer")
    if "surrogates" in run:
        raise ConfigError("[run] has 'surrogates'", hint="write them below [transfer]")
    check_keys(run, _RUN_KEYS, "[run]")
    check_keys(threat, _THREAT_KEYS, "[threat]")
    check_keys(transfer, ("surrogates",), "[transfer]")
    models = {key: choice_of(key, value) for key, value in table_of(document, "models").items()}
    model = required(run, "model", "[run]")
    chosen = models.get(model) if isinstance(model, str) else None
    eps = threat.get("eps", ["2/255", "8/255"])
    defenses = with_none(defense_of(k, v) for k, v in table_of(document, "defenses").items())
    presets = run.get("presets", [])
    if not isinstance(presets, list):
        raise ConfigError(f"presets is {presets!r}", hint='write presets = ["mustafa_attacks"]')
    attacks = {key: choice for name in presets for key, choice in _preset(name).items()}
    for key, value in table_of(document, "attacks").items():
        attacks[key] = attack_of(key, value)
    return _checked(
        Config(
            name=name,
            dataset=choice_of("dataset", required(run, "dataset", "[run]")),
            model=chosen or choice_of("model", model),
            limit=whole_number(run, "limit", 128),
            batch_size=whole_number(run, "batch_size", 64),
            seed=whole_number(run, "seed", 0, least=0),
            rungs=rungs_of(run.get("rungs", [str(rung) for rung in Rung]), "[run] rungs"),
            norm=norm_of(threat.get("norm", "linf"), "[threat]"),
            eps=radii_of(eps),
            topk=whole_number(threat, "topk", 1),
            target=target_of(threat.get("target", NO_TARGET)),
            eightbit=truth_of(run, "eightbit"),
            attacks=tuple(attacks.values()),
            defenses=defenses,
            limits=limits_of(run.get("limits", {})),
            sources=sources_of(transfer.get("surrogates", []), models, defenses),
            eot=whole_number(run, "eot", 16),
            draws=draws_of(run),
            masking=whole_number(run, "masking", 64, least=0),
            cell_seconds=whole_number(run, "cell_seconds", 1) if "cell_seconds" in run else None,
        )
    )


def _checked(config: Config) -> Config:
    for choice in config.attacks:
        if choice.norm and choice.norm != config.norm and not choice.eps:
            raise ConfigError(
                f"attack {choice.name!r} has norm {choice.norm} but no eps",
                hint=f'write {{ norm = "{choice.norm}", eps = "0.5" }}',
            )
        norm, eps = choice.norm or config.norm, (choice.eps or config.eps)[-1]
        if norm == "linf" and parse_eps(eps) > 1:
            raise ConfigError(
                f"eps {eps!r} is above 1, the whole range of a pixel",
                hint=f'did you mean "{eps}/255"?',
            )
    for number, least in (("limit", 1), ("batch_size", 1), ("seed", 0)):
        if getattr(config, number) < least:
            raise ConfigError(
                f"{number} is {getattr(config, number)}", hint=f"take a whole number from {least}"
            )
    return config
