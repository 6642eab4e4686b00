"""The shape of the code: imports one way, small files, no attics."""

import ast
from pathlib import Path

import pytest

# Lower layers first; a module imports from its own layer or below.
LAYERS = [
    {"errors", "suggest", "remedies"},
    {
        "files",
        "rng",
        "fingerprint",
        "statistics",
        "provenance",
        "progress",
        "autoattack",
        "places",
        "pictures",
        "datasets",
    },
    {"types", "images", "results", "records", "bank", "limits", "findings"},
    {
        "transform",
        "hookspecs",
        "weights",
        "quality",
        "ranking",
        "toy",
        "formats",
        "masking",
        "masking_checks",
        "process",
        "strips",
        "pretrained",
        "example_files",
    },
    {
        "fields",
        "plugins",
        "engine",
        "nn",
        *("ledger", "cost", "modes", "ceilings", "timing", "reference"),
        "checks",
        *("plots", "pareto", "cost_section"),
        "markdown",
        "notes",
        "sections",
        "curves",
        "changes",
        "quality_results",
        "versus",
        "arguments",
        "docstrings",
        "flags",
        "foolbox",
    },
    {
        *("choices", "config", "api", "training", "benchmark", "leaderboard", "index", "scaffold"),
        *("comparable", "compare", "compare_cost", "reports", "history"),
        *("cells", "apply", "tasks", "pairs", "chosen", "restoring", "restored_picture", "latency"),
    },
    {
        *("build", "surrogates", "recipes", "probes", "keys", "plan", "attacking", "scoring"),
        *("aggregate", "worst", "targets", "rows", "testing"),
    },
    {"shard", "executors", "document", "completeness", "run_costs"},
    {"runner", "one_image", "agreement", "kept_examples"},
    {"rerun", "derived"},
    {"reproduce"},
    {"plugin_facts"},
    {
        *("site", "tables", "cost_tables", "show", "image_report", "evaluation"),
        *("reproduction_report", "check_report"),
    },
    {"cli"},
    {"__main__"},
]
_RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
_ROOT = Path(__file__).parent.parent
_FILES = sorted((_ROOT / "superdef_bench").rglob("*.py"))
_PLUGINS = sorted((_ROOT / "plugins").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Return the modules a file imports when it is loaded or run, names for checkers apart."""
    found = set()
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add("." * node.level + node.module)
            if node.module == "superdef_bench":
                found |= {f"superdef_bench.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", _FILES, ids=lambda f: str(f.relative_to(_ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    own = file.relative_to(_ROOT / "superdef_bench").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imported(file):
        parts = module.split(".")
        if parts[0] != "superdef_bench" or len(parts) < 2 or parts[1].startswith("__"):
            continue
        assert parts[1] in _RANK, f"{module} has no layer"
        assert _RANK[parts[1]] <= _RANK[own], f"{own} imports {parts[1]}"


@pytest.mark.parametrize("file", _PLUGINS, ids=lambda f: str(f.relative_to(_ROOT)))
def test_plugins_import_public_names_and_no_other_plugin(file: Path) -> None:
    rooms = {
        "superdef_bench",
        "datasets",
        "nn",
        "engine",
        "training",
        "weights",
        "autoattack",
        "example_files",
        "foolbox",
        "pretrained",
    }
    for module in imported(file):
        parts = module.split(".")
        if parts[0] == "superdef_bench" and len(parts) > 1:
            import superdef_bench

            assert parts[1] in rooms or parts[1] in superdef_bench.PUBLIC, module
        assert not module.startswith(("plugins", "superdef_bench_plugins")), module


def test_the_engine_imports_no_attack_library() -> None:
    libraries = {"foolbox", "pyautoattack", "autoattack", "robustbench", "torchattacks", "art"}
    for file in (_ROOT / "superdef_bench" / "engine").glob("*.py"):
        assert not {module.split(".")[0] for module in imported(file)} & libraries


def test_files_are_small_and_have_names() -> None:
    for file in [*_FILES, *_PLUGINS, *sorted((_ROOT / "tests").glob("*.py"))]:
        lines = file.read_text().count("\n")
        assert lines <= 300, f"{file} has {lines} lines"
        assert file.stem not in ("utils", "util", "helpers", "helper", "misc", "common")
    lengths = sorted(file.read_text().count("\n") for file in _FILES)
    assert lengths[len(lengths) // 2] <= 120
