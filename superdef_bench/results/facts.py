"""What stands in a results file beside its rows: what was attacked, how, where, and what changed.

Models, which check what they name and keep what else a later version wrote. No torch.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from superdef_bench.core.threats import (
    ADAPTIVE,
    GOALS,
    LARGEST_INTEGER,
    MASKING,
    NORMS,
    RUNGS,
    TARGETS,
    Access,
    AttackKind,
    DefenseKind,
    Layout,
    is_among,
)

SCHEMA = 2
Outcome = Literal["pass", "suspect", "fail"]
Verdict = Outcome | Literal[""]
Scope = Literal["defense", "pipeline"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFENSE, PIPELINE = SCOPES


if TYPE_CHECKING:  # texts to a checker, to the loader these texts and no others
    RungWord: TypeAlias = str
    RungOfRow: TypeAlias = str
    NormWord: TypeAlias = str
    TargetWord: TypeAlias = str
    GoalOfRow: TypeAlias = str
    KindWord: TypeAlias = str
    AccessWord: TypeAlias = str
else:
    RungWord = Literal[tuple(map(str, RUNGS))]
    RungOfRow = Literal[("", *map(str, RUNGS), ADAPTIVE, MASKING)]
    NormWord, TargetWord, GoalOfRow = Literal[NORMS], Literal[TARGETS], Literal[("", *GOALS)]
    KindWord, AccessWord = Literal[tuple(map(str, AttackKind))], Literal[tuple(map(str, Access))]


Whole = Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
Positive = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# Whoever unpacks them checks their letters: a pattern over long text costs more than the rest.
Base64 = Annotated[str, Field(json_schema_extra={"pattern": "^[A-Za-z0-9+/]*={0,2}$"})]
Scale = Literal[2, 3, 4]
Versions = Annotated[
    dict[str, str], Field(description="Python and libraries; any library may stand here.")
]


def _names_plugins(arguments: dict[str, Any]) -> dict[str, Any]:
    if "plugin" in arguments:
        return arguments
    chain = arguments.get("chain", [arguments])
    if not isinstance(chain, list):
        raise ValueError("the chain in arguments is no list")
    for link in chain:
        if not isinstance(link, dict) or "plugin" not in link:
            raise ValueError("arguments name no plugin")
    return arguments


def _names_plugin(arguments: dict[str, Any]) -> dict[str, Any]:
    if "plugin" not in arguments:
        raise ValueError("arguments of an attack name no plugin")
    return arguments


Arguments = Annotated[
    dict[str, Any],
    AfterValidator(_names_plugins),
    Field(
        description="A plugin and its arguments, whatever they are called.",
        json_schema_extra={
            "properties": {
                "plugin": {"type": "string"},
                "chain": {"type": "array", "items": {"type": "object"}},
            }
        },
    ),
]
Pair = Annotated[list[Whole | float | None], Field(min_length=2, max_length=2)]


class Model(BaseModel):
    """Part of a file. What it names is checked; what else a later version wrote is kept."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="allow",
        allow_inf_nan=False,
        protected_namespaces=(),
    )


class Machine(Model):
    """Where it ran; further facts may stand here."""

    processor: str
    cores: Count | None
    memory_gib: Whole | float | None
    device: str
    gpu: str = "no GPU"


class Settings(Model):
    """What an attack makes of its arguments, as far as it says so.

    Attributes:
        steps: Gradient steps per restart.
        step_size: Length of a step at each eps.
        queries: The most of one image.
    """

    steps: Positive | None = None
    step_size: list[Amount] | None = None
    restarts: Positive | None = None
    loss: str | None = None
    queries: Positive | None = None


class Attack(Model):
    """An attack as the benchmark ran it."""

    arguments: Annotated[Arguments, AfterValidator(_names_plugin)]
    kind: KindWord
    access: AccessWord
    norm: NormWord
    eps: Annotated[list[Amount], Field(min_length=1)]
    rungs: list[RungWord]
    limit: Positive | None
    counted: bool
    settings: Settings | None = None
    defenses: DefenseKind | Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    less_in_strength: bool | None = None

    def runs_against(self, row: str, *, stochastic: bool) -> bool:
        """Whether it runs against a defense, by its row and its kind."""
        return is_among(self.defenses, row, stochastic=stochastic)

    def amount(self, argument: str) -> int:
        """Return a whole number among its arguments, such as its steps; 0 where it has none."""
        value = self.arguments.get(argument)
        return value if isinstance(value, int) and 0 <= value <= LARGEST_INTEGER else 0

    def spends(self, what: Literal["steps", "restarts", "queries"]) -> int:
        """Return how many it says it takes, else what its argument says, else 0."""
        said: int | None = getattr(self.settings, what, None)
        return said or self.amount(what)

    @property
    def loss(self) -> str:
        """What it says it maximises, else what its argument says, else nothing."""
        said = self.settings.loss if self.settings else None
        given = self.arguments.get("loss")
        return said or (given if isinstance(given, str) else "")


class MaskingCheck(Model):
    """A question to the gradient of a defense, answered."""

    check: str
    outcome: Outcome
    n: Count
    p: Share
    adjusted: Share
    evidence: str


class Masking(Model):
    """How the gradient of a defense was judged."""

    verdict: Verdict = ""
    checks: list[MaskingCheck] = Field(default_factory=list)


class Records(Model):
    """Records of a run, found in its folder or made."""

    reused: Count
    computed: Count


class Provenance(Model):
    """How results were made."""

    command: str
    folder: str
    versions: Versions
    machine: Machine
    threads: Positive | None = None
    reference_ms: Amount | None = None
    batch_size: Positive
    layouts: dict[str, Layout] = Field(default_factory=dict)
    seconds: Amount
    records: Records


class Defense(Model):
    """A defense as the benchmark ran it; what another run made, and was added, says which."""

    arguments: Arguments
    differentiable: bool
    stochastic: bool
    stages: Count
    replaces: bool
    attack_view: bool = False
    limit: Positive | None
    suspicion: str
    missing: list[str]
    masking: Masking = Masking()
    provenance: Provenance | None = None


class Source(Model):
    """What examples to replay were made on."""

    name: str
    rung: RungWord
    gradient: Literal["exact", "bpda"]
    same: bool = False


class NotApplicable(Model):
    """A rung that a defense gives nothing to."""

    defense: str
    rung: RungWord
    why: str


class Setting(Model):
    """A setting that is another one than in the version before."""

    what: str
    before: str | None
    after: str | None


class Move(Model):
    """A row whose numbers are others: each a pair, before and after."""

    row: str
    n: Pair
    clean: Pair | None = None
    gray_box: Pair | None = None
    adaptive: Pair | None = None
    rank: Pair | None = None
    masking: Annotated[list[str | None], Field(min_length=2, max_length=2)] | None = None
    psnr: Pair | None = None
    ssim: Pair | None = None


class Changes(Model):
    """What tables show otherwise than the version before; since is the sha256 of its file."""

    since: Sha256
    settings: list[Setting]
    added: list[str]
    removed: list[str]
    moved: list[Move]


class DatasetFacts(Model):
    """The images."""

    name: str
    split: str
    # A plugin's own may be any text; `check` says so, a run goes on.
    sha256: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
    images: Positive
    classes: Positive
    shape: Annotated[list[Positive], Field(min_length=3, max_length=3)]


class Resized(Model):
    """The undefended classifier on the same clean images at another size."""

    shape: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    sha256: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
    n: Positive
    correct: Count
    accuracy: Share
    ci_low: Share
    ci_high: Share

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if abs(self.accuracy * self.n - self.correct) > 1e-3 * self.n:
            raise ValueError("accuracy is not that of correct of n")
        if not self.ci_low <= self.accuracy <= self.ci_high:
            raise ValueError("accuracy is outside of its interval")
        return self


class ModelFacts(Model):
    """The attacked classifier.

    Attributes:
        weights: sha256 of its parameters and buffers.
        architecture: Name of its class.
        file: Name of the file that its weights came from, where its plugin says so.
        file_sha256: Of that file.
        parameters: How many it has.
    """

    name: str
    fingerprint: Sha256
    weights: str | None = None
    arguments: Arguments | None = None
    architecture: str | None = None
    file: str | None = None
    file_sha256: Sha256 | None = None
    parameters: Count | None = None


class ThreatFacts(Model):
    """What attackers may do."""

    norm: NormWord
    eps: Annotated[list[Amount], Field(min_length=1)]
    topk: Positive
    target: str
    eightbit: bool
