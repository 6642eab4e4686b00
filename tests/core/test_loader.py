"""The plugin loader: three sources, provenance, and every way it can go wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench import InputTransform, load_defense, use_plugins
from superdef_bench.core.errors import ConfigError, PluginError
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.shipped import shipped
from tests.support.commands import Answer

DEFENSE = """
from superdef_bench import InputTransform, hookimpl

class Mine(InputTransform):
    \"\"\"My defense.\"\"\"
    def __init__(self, *, strength: float = 0.5, kind: str = "soft") -> None:
        super().__init__()
        if strength < 0:
            raise ValueError("strength must not be negative")
    def transform(self, x):
        return x

@hookimpl
def register_defenses():
    return {"mine": Mine}
"""


def test_a_file_in_a_named_folder_is_a_plugin_with_its_origin(
    plugin_folder: Callable[..., Path],
) -> None:
    folder = plugin_folder(DEFENSE)
    plugin = load_plugins([folder]).get("defense", "mine")
    assert (plugin.source, plugin.summary) == (str(folder), "My defense.")
    assert plugin.defaults == {"strength": 0.5, "kind": "soft"}
    assert load_plugins().get("defense", "jpeg").source == "built-in"


def test_a_folder_may_be_text_and_stand_alone(plugin_folder: Callable[..., Path]) -> None:
    folder = plugin_folder(DEFENSE)
    for given in ([folder], [str(folder)], str(folder)):
        assert use_plugins(given).get("defense", "mine").source == str(folder)
        assert isinstance(load_defense("mine"), InputTransform)


def test_the_variable_names_folders_too(
    plugin_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plugin_folder(DEFENSE)
    monkeypatch.setenv("SUPERDEF_BENCH_PLUGINS_DIR", str(folder))
    assert load_plugins().get("defense", "mine").source == str(folder)
    # Named twice, loaded once.
    assert load_plugins([folder]).get("defense", "mine").source == str(folder)


def test_the_working_directory_is_not_loaded_by_magic(
    plugin_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin_folder(DEFENSE).rename(tmp_path / "plugins")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="unknown defense 'mine'"):
        load_plugins().get("defense", "mine")


def test_shelves_are_walked_folders_are_plugins_and_underscores_are_left_out(
    tmp_path: Path,
) -> None:
    shelf = tmp_path / "all" / "defenses" / "deep"
    (shelf / "pack").mkdir(parents=True)
    (shelf / "_hidden.py").write_text("raise RuntimeError")
    (shelf / "pack" / "__init__.py").write_text("from .part import register_defenses\n")
    (shelf / "pack" / "part.py").write_text(DEFENSE)
    plugin = load_plugins([tmp_path / "all"]).get("defense", "mine")
    assert plugin.file == shelf / "pack"


def test_a_name_claimed_twice_names_both_owners(plugin_folder: Callable[..., Path]) -> None:
    folder = plugin_folder(DEFENSE.replace('"mine"', '"jpeg"'))
    with pytest.raises(PluginError, match=r"'jpeg' is claimed twice: by jpeg\.py.*by mine\.py"):
        load_plugins([folder])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_of_that_name", "mine.py could not be loaded: ModuleNotFoundError"),
        ("def broken(:", "mine.py could not be loaded: SyntaxError"),
        (
            DEFENSE.replace("register_defenses", "register_defences"),
            "mine.py: there is no hook 'register_defences'\nhint: did you mean 'register_defenses'",
        ),
        (DEFENSE.replace("@hookimpl", ""), "mine.py registers nothing\nhint: mark its register_"),
        (DEFENSE.replace("register_defenses()", "register_defenses(extra)"), "extra"),
        (DEFENSE.replace('{"mine": Mine}', "[Mine]"), "must return a mapping"),
    ],
)
def test_a_broken_file_is_an_error_with_its_path(
    plugin_folder: Callable[..., Path], source: str, message: str
) -> None:
    with pytest.raises(PluginError) as error:
        load_plugins([plugin_folder(source)])
    assert message in str(error.value)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_plugins([tmp_path / "nowhere"])
    (tmp_path / "file.py").touch()
    with pytest.raises(ConfigError, match="is a file"):
        load_plugins([tmp_path / "file.py"])


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({"strenght": 1}, "takes no argument 'strenght'", "did you mean 'strength'"),
        ({"strength": -1}, "strength must not be negative", ""),
        ({"strength": "much"}, "'strength' of defense 'mine' is 'much'", "it takes a number"),
        ({"strength": float("nan")}, "is nan", "it takes a number"),
        ({"strength": True}, "is True", "it takes a number"),
    ],
)
def test_arguments_are_checked(
    plugin_folder: Callable[..., Path], arguments: dict[str, object], message: str, hint: str
) -> None:
    plugin = load_plugins([plugin_folder(DEFENSE)]).get("defense", "mine")
    with pytest.raises(ConfigError, match=message) as error:
        plugin.build(**arguments)
    assert hint in error.value.hint


def test_a_required_argument_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="'imagefolder' needs the argument 'path'"):
        load_plugins().get("dataset", "imagefolder").build()


def test_list_shows_kind_name_source_and_arguments(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(DEFENSE)
    answer = run_cli("list", "defenses", "--json", "--plugins-dir", folder)
    listed = {entry["name"]: entry for entry in json.loads(answer.out)["plugins"]}
    assert answer.code == 0
    assert listed["mine"]["source"] == str(folder)
    assert listed["mine"]["arguments"] == {"strength": 0.5, "kind": "soft"}
    assert {entry["kind"] for entry in listed.values()} == {"defense"}
    assert len(listed) == len(json.loads(run_cli("list", "defense", "--json").out)["plugins"]) + 1
    wrong = run_cli("list", "defence")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == "error: unknown kind 'defence'\nhint: did you mean 'defense'?\n"


def test_built_ins_come_from_the_repository_in_an_editable_install(repository: Path) -> None:
    assert shipped("plugins") == repository / "plugins"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Install the wheel of the package and the example distribution into a folder."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    options = ["--no-build-isolation", "--no-compile", "--target", str(folder)]
    sources = [str(repository), str(repository / "tests" / "example_distribution")]
    done = subprocess.run([*pip, *options, *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def installed(site: Path, code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code against the installed packages, with no repository around."""
    lines = ["import sys", f"sys.path[:] = [{str(site)!r}, *[p for p in sys.path if p]]", code]
    return subprocess.run(
        [sys.executable, "-P", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_an_installed_distribution_is_found_by_its_entry_point(site: Path, tmp_path: Path) -> None:
    code = """
from superdef_bench.plugins import load_plugins
plugin = load_plugins().get("defense", "soften")
print(plugin.source, "|", plugin.summary)
from superdef_bench.testing import assert_contract
assert_contract(plugin)
"""
    done = installed(site, code, tmp_path)
    assert done.stdout == "superdef-bench-example 1.2.3 | Average over a 3x3 window.\n", done.stderr


def test_the_wheel_works_with_no_repository_around(site: Path, tmp_path: Path) -> None:
    code = """
import superdef_bench, superdef_bench.plugins as plugins
print(superdef_bench.__file__)
print(plugins.shipped("plugins"))
import sys
from superdef_bench.cli import main
sys.argv = "superdef-bench run quickstart --limit 4 -d jpeg -a fgsm -o out".split()
main()
"""
    done = installed(site, code, tmp_path)
    assert done.returncode == 0, done.stderr
    package, directory, *_ = done.stdout.splitlines()
    assert package == str(site / "superdef_bench" / "__init__.py")
    assert directory == str(site / "superdef_bench" / "_plugins")
    assert (tmp_path / "out" / "quickstart.md").exists()
    assert (site / "superdef_bench" / "py.typed").exists()


def test_the_wheel_holds_what_a_site_is_made_of(
    site: Path, tmp_path: Path, repository: Path
) -> None:
    results = str(repository / "leaderboards/super-resolution-x2.json")
    code = f"""
from superdef_bench.cli import main
sys.argv = ["superdef-bench", "leaderboard", {results!r}, "--html", "out"]
main()
"""
    done = installed(site, code, tmp_path)
    assert done.stdout == "out/index.html\n", done.stderr
    page = (tmp_path / "out/index.html").read_text()
    assert "<style>:root" in page
    assert '<script>"use strict";' in page


def test_the_wheel_finds_every_shipped_weight(site: Path, tmp_path: Path, repository: Path) -> None:
    code = """
import superdef_bench
from superdef_bench.weights import SHIPPED, load_weights
for path in sorted(SHIPPED.glob("*.safetensors")):
    print(path.name, len(load_weights(path)) > 0)
for model in ("signs_resnet8", "cifar10_jpeg_resnet20"):
    superdef_bench.load_model(model)
for defense in ("edsr", "rcan", "superdef", "superdef_no_kd", "mustafa"):
    superdef_bench.load_defense(defense)
"""
    done = installed(site, code, tmp_path)
    assert done.returncode == 0, done.stderr
    shipped = (repository / "superdef_bench/nn/checkpoints").glob("*.safetensors")
    assert done.stdout.split("\n")[:-1] == [f"{path.name} True" for path in sorted(shipped)]


def test_all_sources_of_a_distribution_that_is_a_package_count(site: Path, tmp_path: Path) -> None:
    package, facts = tmp_path / "lib/halves", tmp_path / "lib/halves-0.1.dist-info"
    package.mkdir(parents=True)
    facts.mkdir()
    (package / "__init__.py").write_text(
        "from superdef_bench import hookimpl\nfrom halves.half import Half\n\n\n"
        "@hookimpl\ndef register_defenses():\n    return {'half': Half}\n"
    )
    (package / "half.py").write_text("class Half:\n    pass\n")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: halves\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text("[superdef_bench]\nhalves = halves\n")
    code = f"""
sys.path.insert(0, {str(tmp_path / "lib")!r})
from superdef_bench.core.fingerprint import sources
from superdef_bench.core.loader import load_plugins
found = sources(load_plugins().get("defense", "half").file)
print(sorted(name for name in found if name.startswith("halves/")))
"""
    done = installed(site, code, tmp_path)
    assert done.stdout == "['halves/__init__.py', 'halves/half.py']\n", done.stderr


def test_a_broken_distribution_is_a_warning_that_names_it(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "bad_plugin-0.1.dist-info").mkdir(parents=True)
    (broken / "bad_plugin.py").write_text("raise RuntimeError('out of order')\n")
    (broken / "bad_plugin-0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: bad-plugin\nVersion: 0.1\n"
    )
    (broken / "bad_plugin-0.1.dist-info" / "entry_points.txt").write_text(
        "[superdef_bench]\nbad = bad_plugin\n"
    )
    code = f"""
sys.path.insert(0, {str(broken)!r})
from superdef_bench.plugins import load_plugins
registry = load_plugins()
print(registry.broken, registry.get("defense", "soften").name)
"""
    done = installed(site, code, tmp_path)
    expected = "{'bad-plugin 0.1': 'RuntimeError: out of order'} soften\n"
    assert done.stdout == expected, done.stderr
    assert "plugins of bad-plugin 0.1 are left out: RuntimeError: out of order" in done.stderr


FAMILY = """
from superdef_bench import ConfigError, InputTransform, hookimpl

class Mine(InputTransform):
    def __init__(self, *, strength: float = 0.5) -> None:
        super().__init__()
    def transform(self, x):
        return x

def library(name):
    if name == "Crash":
        raise RuntimeError("no such luck")
    if name != "Soft":
        raise ConfigError(f"unknown defense {name!r} of library")
    return Mine

@hookimpl
def register_defenses():
    return {"library:": library}
"""


def test_a_name_that_ends_in_a_colon_is_a_family(plugin_folder: Callable[..., Path]) -> None:
    registry = load_plugins([plugin_folder(FAMILY)])
    plugin = registry.get("defense", "library:Soft")
    assert (plugin.name, plugin.defaults) == ("library:Soft", {"strength": 0.5})
    assert type(plugin.build(strength=1.0)).__name__ == "Mine"
    with pytest.raises(ConfigError, match="takes no"):
        plugin.build(steps=1)
    with pytest.raises(ConfigError, match="unknown defense 'Hard' of library"):
        registry.get("defense", "library:Hard")
    with pytest.raises(PluginError, match="defense library:Crash raised RuntimeError"):
        registry.get("defense", "library:Crash")
    with pytest.raises(ConfigError, match="unknown defense 'library:'"):
        registry.get("defense", "library:")
    assert registry.plugins["defense"]["library:"].needs_arguments
