"""A frozen, checked config, from TOML or a results file. Unknown keys are errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from superdef_bench.benchmark.choices import (
    MOST_AT_ONCE,
    MOST_CLASSES,
    MOST_DRAWS,
    MOST_IMAGES,
    MOST_SECONDS,
    AttackChoice,
    Choice,
    DefenseChoice,
    Frozen,
    Images,
    Limits,
    Radii,
    Rungs,
    Seed,
    SourceChoice,
    Truth,
    attack_of,
    check_keys,
    choice_of,
    defense_of,
    rungs_of,
    sources_of,
    table_of,
    whole,
    with_none,
    word,
)
from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.shipped import shipped
from superdef_bench.core.threats import (
    NO_TARGET,
    NORMS,
    RUNGS,
    TARGETS,
    UNDEFENDED,
    Norm,
    Target,
    parse_eps,
)
from superdef_bench.io.documents import read_toml, shown

_MOST_BYTES = 2**18  # of a config; the largest that is shipped has five thousand


class Config(Frozen):
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
    limit: Images = 128
    batch_size: Annotated[int, whole(1, MOST_AT_ONCE)] = 64
    seed: Seed = 0
    rungs: Rungs = RUNGS
    norm: Annotated[Norm, word(NORMS, "[threat]")] = "linf"
    eps: Radii = ("2/255", "8/255")
    topk: Annotated[int, whole(1, MOST_CLASSES)] = 1
    target: Annotated[Target, word(TARGETS, "[threat]")] = NO_TARGET
    eightbit: Truth = False
    attacks: tuple[AttackChoice, ...]
    defenses: tuple[DefenseChoice, ...]
    limits: Limits = Field(default_factory=dict)
    sources: tuple[SourceChoice, ...] = ()
    eot: Annotated[int, whole(1, MOST_DRAWS)] = 16
    draws: Annotated[int, whole(20, 255)] = 20
    masking: Annotated[int, whole(0, MOST_IMAGES)] = 64
    cell_seconds: Annotated[int, whole(1, MOST_SECONDS)] | None = None

    @model_validator(mode="after")
    def _check_radii(self) -> Self:
        for choice in self.attacks:
            if choice.norm and choice.norm != self.norm and not choice.eps:
                raise ConfigError(
                    f"attack {choice.name!r} has norm {choice.norm} but no eps",
                    hint=f'write {{ norm = "{choice.norm}", eps = "0.5" }}',
                )
            norm, eps = choice.norm or self.norm, (choice.eps or self.eps)[-1]
            if norm == "linf" and parse_eps(eps) > 1:
                raise ConfigError(
                    f"eps {eps!r} is above 1, the whole range of a pixel",
                    hint=f'did you mean "{eps}/255"?',
                )
        return self

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
            changed["defenses"] = tuple(
                ours.get(n) or DefenseChoice(name=n, plugin=n) for n in named
            )
        if attacks:
            own = {choice.name: choice for choice in self.attacks}
            picked: dict[str, AttackChoice] = {}
            for name in attacks:
                meant = {name: own[name]} if name in own else attacks_named(name)
                picked |= {key: own.get(key, row) for key, row in meant.items()}
            changed["attacks"] = tuple(picked.values())
        if rungs:
            changed["rungs"] = rungs_of(list(rungs), "--rung")
        if eightbit:
            changed["eightbit"] = True
        return Config.model_validate({**dict(self), **changed})


def _shipped(below: str = "") -> dict[str, Path]:
    folder = shipped("configs") / below
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def attacks_named(name: str) -> dict[str, AttackChoice]:
    """Return the attacks that a name means: those of a shipped list, or a plugin as it is."""
    known = name in _shipped("presets")
    return _preset(name) if known else {name: AttackChoice(name=name, plugin=name)}


def _preset(name: object) -> dict[str, AttackChoice]:
    """Return the attacks of a shipped list."""
    known = _shipped("presets")
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"unknown preset {shown(name)}", hint=did_you_mean(str(name), known))
    document = read_toml(known[name], most=_MOST_BYTES)
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
        document = read_toml(path, most=_MOST_BYTES)
    except OSError as error:
        hint = did_you_mean(path.stem, _shipped(), more="shipped configs")
        raise ConfigError(f"config {path} cannot be read: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise ConfigError(
            f"config {path} is no TOML: {error}", hint="see docs/config.md"
        ) from error
    try:
        return parse(document, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


_THREAT = ("norm", "eps", "topk", "target")
_TABLES = ("run", "threat", "transfer", "models", "attacks", "defenses")
# A run folder has files and folders of these names, beside those that bear the name of the config.
_TAKEN = ("bank", "cost", "manifest", "records", "results", "show")
_RUN = {"presets", *Config.model_fields} - {"name", "sources", "attacks", "defenses", *_THREAT}


def check_name(name: str) -> None:
    """Raise ConfigError for the name of what a run folder holds."""
    if name.lower() in _TAKEN:
        raise ConfigError(
            f"a benchmark cannot be called {name!r}: its run folder has a file of that name",
            hint="rename the config",
        )


def parse(document: Mapping[str, Any], name: str) -> Config:
    """Return the benchmark that a parsed TOML document describes.

    Raises:
        ConfigError: It says something unknown or wrong.
    """
    check_name(name)
    check_keys(document, _TABLES, "the config")
    tables = {key: table_of(document, key) for key in _TABLES}
    run, threat, transfer = tables["run"], tables["threat"], tables["transfer"]
    if "surrogates" in run:
        raise ConfigError("[run] has 'surrogates'", hint="write them below [transfer]")
    check_keys(run, _RUN, "[run]")
    check_keys(threat, _THREAT, "[threat]")
    check_keys(transfer, ("surrogates",), "[transfer]")
    for key in ("model", "dataset"):
        if key not in run:
            raise ConfigError(f"[run] has no {key!r}", hint=f'add {key} = "signs"')
    models = {key: choice_of(key, value) for key, value in tables["models"].items()}
    model = run["model"]
    chosen = models.get(model) if isinstance(model, str) else None
    defenses = with_none(defense_of(k, v) for k, v in tables["defenses"].items())
    presets = run.pop("presets", [])
    if not isinstance(presets, list):
        raise ConfigError(
            f"presets is {shown(presets)}", hint='write presets = ["mustafa_attacks"]'
        )
    attacks = {key: choice for name in presets for key, choice in _preset(name).items()}
    for key, value in tables["attacks"].items():
        attacks[key] = attack_of(key, value)
    rows = {
        "name": name,
        "dataset": choice_of("dataset", run["dataset"]),
        "model": chosen or choice_of("model", model),
        "attacks": tuple(attacks.values()),
        "defenses": defenses,
        "sources": sources_of(transfer.get("surrogates", []), models, defenses),
    }
    return Config.model_validate({**run, **threat, **rows})
