"""What a page says of the attacked classifier, so that no two networks look alike. No torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.leaderboard.notes import arguments_text
from superdef_bench.results.facts import PIPELINE
from superdef_bench.results.rows import score, with_interval
from superdef_bench.results.schema import Results
from superdef_bench.results.table import Table, plain_lines, to_markdown
from superdef_bench.results.text import NOT_RECORDED

_SHORT = 12  # digits of a hash


def classifier_title(results: Results) -> str:
    """Return the name of the classifier with what tells it from another one of that name."""
    model = results.model
    kind, digest = ("weights", model.weights) if model.weights else ("code", model.fingerprint)
    parts = [model.architecture, f"{kind} sha256 {digest[:_SHORT]}"]
    return f"{model.name} ({', '.join(filter(None, parts))})"


def classifier_section(results: Results) -> Iterator[str]:
    """Say what the attacked classifier is."""
    yield "## Classifier"
    yield ""
    yield from to_markdown(classifier_table(results))


def classifier_table(results: Results) -> Table:
    """Return what the attacked classifier is, a line for each fact."""
    model, clean = results.model, results.clean()
    arguments = _arguments(results)
    parameters = model.parameters if model.parameters is not None else _counted(results)
    facts = {
        "plugin": str(arguments.get("plugin", NOT_RECORDED)),
        "architecture": model.architecture or NOT_RECORDED,
        "arguments": arguments_text(arguments) or "none",
        "weights file": model.file or NOT_RECORDED,
        "sha256 of that file": model.file_sha256 or NOT_RECORDED,
        "sha256 of parameters and buffers": model.weights or NOT_RECORDED,
        "sha256 of code, arguments and weights": model.fingerprint,
        "parameters": NOT_RECORDED if parameters is None else f"{parameters:,}",
        "clean accuracy": f"{with_interval(score(clean))} on {clean.n:,} images" if clean else "–",
    }
    lines = plain_lines([[what, value] for what, value in facts.items()])
    return Table("classifier", "The attacked classifier.", ["classifier", model.name], lines)


def _arguments(results: Results) -> Mapping[str, Any]:
    """Return plugin and arguments; of older results those that the config gives."""
    if results.model.arguments is not None:
        return results.model.arguments
    chosen = results.config.get("model")
    if not isinstance(chosen, dict) or not isinstance(chosen.get("arguments"), dict):
        return {}
    return {"plugin": chosen.get("plugin", NOT_RECORDED), **chosen["arguments"]}


def _counted(results: Results) -> int | None:
    """Return the parameters of the undefended pipeline, which is the classifier alone."""
    rows = (c for c in results.cost if c.defense == UNDEFENDED and c.scope == PIPELINE)
    return next((row.params for row in rows), None)
