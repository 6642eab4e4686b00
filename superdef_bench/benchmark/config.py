"""A frozen, checked config, from TOML or a results file. Unknown keys are errors."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

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
    check_key,
    choice_of,
    defense_of,
    rungs_of,
    sources_of,
    table_of,
    whole,
    with_none,
    word,
    word_of,
)
from superdef_bench.benchmark.mistakes import Document, Mistakes
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

_LARGEST = 4096  # pixels of a side
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
        undefended_at: A size at which the undefended classifier is also measured, on clean images.
        models: Rows of `[models]`, for what is selected; no part of results.
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
    undefended_at: Annotated[int, whole(1, _LARGEST)] | None = None
    models: Mapping[str, Choice] = Field(default_factory=dict, exclude=True)

    @model_validator(mode="after")
    def _check_radii(self) -> Self:
        for choice in self.attacks:
            _check_radius(choice, self.norm, self.eps)
        return self

    def select(
        self,
        *,
        defenses: Sequence[str] = (),
        attacks: Sequence[str] = (),
        rungs: Sequence[str] = (),
        model: str | None = None,
        dataset: str | None = None,
        norm: str | None = None,
        eps: Sequence[str] = (),
        eightbit: bool = False,
        **numbers: int | None,
    ) -> "Config":
        """Keep the named parts; add a name that the config lacks with its plugin's defaults.

        Args:
            defenses: Names to keep; all where empty. `none` always stays.
            attacks: Names to keep, presets for all of theirs; all where empty.
            rungs: Rungs to keep; all where empty.
            model: Row of `[models]`, else a plugin with its defaults, to attack instead.
            dataset: Plugin whose images, with its defaults, to take instead.
            norm: Norm of the benchmark's ball instead; another one needs `eps` too.
            eps: Radii of the benchmark's ball instead, ascending.
            eightbit: Score after rounding, whatever the config says.
            numbers: `limit`, `batch_size` and `seed` to use instead.

        Raises:
            ConfigError: A name or a value cannot be used.
        """
        changed: dict[str, Any] = {k: v for k, v in numbers.items() if v is not None}
        if model is not None:
            changed["model"] = self.models.get(model) or choice_of("model", model)
        if dataset is not None:
            changed["dataset"] = choice_of("dataset", dataset)
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
        chosen = Config.model_validate({**dict(self), **changed})
        radii = [eps] if isinstance(eps, str) else list(eps)
        return chosen._with_ball(norm, radii) if norm is not None or eps else chosen

    def _with_ball(self, norm: str | None, eps: Sequence[str]) -> "Config":
        """Return the config with another ball; a row that has its own keeps it.

        A row whose own radius is the one that ranks has it to say that the others are left out: it
        takes the new one that ranks.
        """
        if norm is not None:
            word_of(norm, NORMS, "norm", "--norm")
        if norm not in (None, self.norm) and not eps:
            raise ConfigError(
                f"norm is {norm}, and the radii of the config are for {self.norm}",
                hint='give radii, too: --eps "0.5"',
            )
        radii = tuple(eps) or self.eps
        rows = []
        for row in self.attacks:
            changed: dict[str, Any] = {}
            if row.norm is None and row.eps == self.eps[-1:]:
                changed = {"eps": radii[-1:]}
            elif row.norm is None and row.eps:
                changed = {"norm": self.norm}
            rows.append(AttackChoice.model_validate({**dict(row), **changed}))
        ball = {"norm": norm or self.norm, "eps": radii, "attacks": tuple(rows)}
        return Config.model_validate({**dict(self), **ball})


def _check_radius(row: AttackChoice, norm: Norm, eps: Sequence[str]) -> None:
    """Raise ConfigError for a row that lacks its radius, or has one that no image has room for."""
    if row.norm and row.norm != norm and not row.eps:
        raise ConfigError(
            f"attack {row.name!r} has norm {row.norm} but no eps",
            hint=f'write {{ norm = "{row.norm}", eps = "0.5" }}',
        )
    largest = (row.eps or eps)[-1]
    if (row.norm or norm) == "linf" and parse_eps(largest) > 1:
        raise ConfigError(
            f"eps {largest!r} is above 1, the whole range of a pixel",
            hint=f'did you mean "{largest}/255"?' if "/" not in largest else "take 1 or less",
        )


def _check_named(row: AttackChoice, defenses: Sequence[str]) -> None:
    """Raise ConfigError for an attack against a row that the config lacks."""
    for name in row.defenses if isinstance(row.defenses, tuple) else ():
        word_of(name, defenses, "defense", f"defenses of attack {row.name!r}")


def shipped_configs(below: Literal["", "presets"] = "") -> dict[str, Path]:
    """Return the files of the shipped configs, or of the attack lists, by name."""
    folder = shipped("configs") / below
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def attacks_named(name: str) -> dict[str, AttackChoice]:
    """Return the attacks that a name means: those of a shipped list, or a plugin as it is."""
    known = name in shipped_configs("presets")
    return _preset(name) if known else {name: AttackChoice(name=name, plugin=name)}


def _preset(name: object) -> dict[str, AttackChoice]:
    """Return the attacks of a shipped list."""
    known = shipped_configs("presets")
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"unknown preset {shown(name)}", hint=did_you_mean(str(name), known))
    document = read_toml(known[name], most=_MOST_BYTES)
    return {key: attack_of(key, value) for key, value in document["attacks"].items()}


def find_config(name: str) -> Path:
    """Return the file that a path, or the name of a shipped config, means; never a folder's."""
    path = Path(name)
    return path if path.exists() and not path.is_dir() else shipped_configs().get(name, path)


Check = Callable[[Config, Mistakes], None]


def load_config(path: Path, *, check: Check | None = None) -> Config:
    """Read a benchmark from a TOML file.

    Args:
        path: The file.
        check: See `parse`.

    Raises:
        ConfigError: The file is missing, is no TOML, or says something unknown or wrong.
    """
    try:
        document = read_toml(path, most=_MOST_BYTES)
    except OSError as error:
        hint = did_you_mean(path.stem, shipped_configs(), more="shipped configs")
        raise ConfigError(f"config {path} cannot be read: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise ConfigError(
            f"config {path} is no TOML: {error}", hint="see docs/config.md"
        ) from error
    return parse(document, path.stem, file=path, check=check)


_THREAT = ("norm", "eps", "topk", "target")
_TABLES = ("run", "threat", "transfer", "models", "attacks", "defenses")
# A run folder has files and folders of these names, beside those that bear the name of the config.
_TAKEN = ("bank", "cost", "manifest", "records", "results", "show")
_ROWS = ("name", "sources", "attacks", "defenses", "models")
_RUN = {"presets", *Config.model_fields} - {*_ROWS, *_THREAT}
_KEYS = {"run": _RUN, "threat": _THREAT, "transfer": ("surrogates",)}
ABSENT = Choice(name="", plugin="")  # in place of what a config lacks, or says wrongly


def check_name(name: str) -> None:
    """Raise ConfigError for the name of what a run folder holds."""
    if name.lower() in _TAKEN:
        raise ConfigError(
            f"a benchmark cannot be called {name!r}: its run folder has a file of that name",
            hint="rename the config",
        )


def parse(
    document: Mapping[str, Any],
    name: str,
    *,
    file: Path | None = None,
    check: Check | None = None,
) -> Config:
    """Return the benchmark that a parsed TOML document describes.

    Args:
        document: The document.
        name: Of the benchmark.
        file: Where it stands, for messages.
        check: Where something is wrong, finds what else is in the parts that are right, so that
            all is told together. `ABSENT` stands in for a plugin that is missing.

    Raises:
        ConfigError: It says something unknown or wrong; several things as `MistakesError`.
    """
    mistakes = Mistakes(Document(name, file))
    with mistakes.at():
        check_name(name)
    tables = _tables(document, mistakes)
    run = tables["run"]
    presets = run.pop("presets", [])
    models = _rows(tables, "models", choice_of, mistakes)
    plugins = {key: _plugin(run, key, models, mistakes) for key in ("model", "dataset")}
    values = _values(tables, mistakes)
    defenses = _rows(tables, "defenses", defense_of, mistakes)
    all_defenses = tuple(defenses.values())
    with mistakes.at("defenses"):
        all_defenses = with_none(all_defenses)
    attacks = {**_of_presets(presets, mistakes), **_rows(tables, "attacks", attack_of, mistakes)}
    norm, eps = (values.get(key, Config.model_fields[key].default) for key in ("norm", "eps"))
    # One that was refused has no default that a row could be held against.
    refused = {"norm", "eps"} & tables["threat"].keys() - values.keys()
    for row in () if refused else attacks.values():
        with mistakes.at(*(("attacks", row.name) if row.norm or row.eps else ("threat", "eps"))):
            _check_radius(row, norm, eps)
    for row in attacks.values():
        with mistakes.at("attacks", row.name, "defenses"):
            _check_named(row, [choice.name for choice in all_defenses])
    rows: dict[str, Any] = {
        "name": name,
        **plugins,
        "models": models,
        "sources": (),
        "attacks": tuple(attacks.values()),
        "defenses": all_defenses,
    }
    with mistakes.at("transfer", "surrogates"):
        surrogates = tables["transfer"].get("surrogates", [])
        rows["sources"] = sources_of(surrogates, models, all_defenses)
    if mistakes and check is not None:
        check(Config.model_construct(**rows), mistakes)
    mistakes.settle()
    return Config.model_validate({**values, **rows})


def _tables(document: Mapping[str, Any], mistakes: Mistakes) -> dict[str, dict[str, Any]]:
    """Return the tables of a document, each without the keys that are unknown in it."""
    for key in document:
        with mistakes.at(key):
            check_key(key, _TABLES, "the config")
    tables: dict[str, dict[str, Any]] = {key: {} for key in _TABLES}
    for name in _TABLES:
        with mistakes.at(name):
            tables[name] = table_of(document, name)
    for name, keys in _KEYS.items():
        for key in list(tables[name]):
            with mistakes.at(name, key):
                if (name, key) == ("run", "surrogates"):
                    raise ConfigError("[run] has 'surrogates'", hint="write them below [transfer]")
                check_key(key, keys, f"[{name}]")
                continue
            del tables[name][key]
    return tables


def _plugin(
    run: dict[str, Any], key: str, models: Mapping[str, Choice], mistakes: Mistakes
) -> Choice:
    """Return the plugin that `[run] dataset` or `[run] model` means, and take it out."""
    value = run.pop(key, None)
    if key == "model" and isinstance(value, str) and value in models:
        return models[value]
    with mistakes.at("run", *([] if value is None else [key])):
        if value is None:
            raise ConfigError(f"[run] has no {key!r}", hint=f'add {key} = "signs"')
        return choice_of(key, value)
    return ABSENT


def _values(tables: Mapping[str, Mapping[str, Any]], mistakes: Mistakes) -> dict[str, Any]:
    """Return what `[run]` and `[threat]` say that can be used."""
    least = {"name": "", "dataset": ABSENT, "model": ABSENT, "attacks": (), "defenses": ()}
    good: dict[str, Any] = {}
    for table in ("run", "threat"):
        for key, value in tables[table].items():
            with mistakes.at(table, key):
                good[key] = getattr(Config.model_validate({**least, key: value}), key)
    return good


Row = TypeVar("Row", bound=Choice)


def _rows(
    tables: Mapping[str, Mapping[str, Any]],
    table: str,
    row_of: Callable[[str, object], Row],
    mistakes: Mistakes,
) -> dict[str, Row]:
    """Return the rows of a table that can be used."""
    rows: dict[str, Row] = {}
    for key, value in tables[table].items():
        with mistakes.at(table, key):
            rows[key] = row_of(key, value)
    return rows


def _of_presets(names: object, mistakes: Mistakes) -> dict[str, AttackChoice]:
    found: dict[str, AttackChoice] = {}
    with mistakes.at("run", "presets"):
        if not isinstance(names, list):
            raise ConfigError(
                f"presets is {shown(names)}", hint='write presets = ["mustafa_attacks"]'
            )
        for name in names:
            found |= _preset(name)
    return found
