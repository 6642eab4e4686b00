"""Plugin files that import what stands beside them, and what of it shows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from superdef_bench.core.errors import PluginError
from superdef_bench.core.fingerprint import sources
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.plugins import Plugin
from superdef_bench.core.source_files import load_source
from tests.support.commands import Answer

PLUGIN = """
import dataclasses
{how}
from superdef_bench import InputTransform, hookimpl

@dataclasses.dataclass
class Facts:
    word: "str" = WORD

class Mine(InputTransform):
    def __init__(self):
        super().__init__()
        self.word = Facts().word
    def transform(self, x):
        return x

@hookimpl
def register_defenses():
    return {{"{name}": Mine}}
"""

NO_FILES: Mapping[str, str] = MappingProxyType({})


def shelf(folder: Path, name: str, how: str, files: Mapping[str, str] = NO_FILES) -> Path:
    """Write a folder with a plugin and what it imports."""
    for path, text in files.items():
        file = folder / f"{path}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(PLUGIN.format(how=how, name=name))
    return folder


def plugin(folder: Path, name: str = "mine") -> Plugin:
    return load_plugins([folder]).get("defense", name)


@pytest.mark.parametrize(
    ("how", "files"),
    [
        ("from helper import WORD", {"helper": "WORD = 'beside'"}),
        ("import helper; WORD = helper.WORD", {"helper": "WORD = 'beside'"}),
        ("from _helper import WORD", {"_helper": "WORD = 'beside'"}),
        ("from helper import WORD", {"helper": "from other import WORD", "other": "WORD='beside'"}),
        (
            "from pack import WORD",
            {"pack/__init__": "from .part import WORD", "pack/part": "WORD='beside'"},
        ),
        (
            "from pack.part import WORD",
            {"pack/__init__": "", "pack/part": "from pack.deep import WORD",
             "pack/deep": "WORD = 'beside'"},
        ),
        (
            "import pack.part as part; WORD = part.WORD",
            {"pack/__init__": "", "pack/part": "WORD = 'beside'"},
        ),
        ("from bare.part import WORD", {"bare/_": "", "bare/part": "WORD='beside'"}),
        (
            "def late():\n    import helper\n    return helper.WORD\nWORD = late()",
            {"helper": "WORD = 'beside'"},
        ),
    ],
)  # fmt: skip
def test_a_plugin_imports_a_file_or_a_package_beside_it(
    tmp_path: Path, how: str, files: dict[str, str]
) -> None:
    folder = shelf(tmp_path / "my_plugins", "mine", how, files)
    assert plugin(folder).build().word == "beside"


def test_each_folder_has_its_own_helper(tmp_path: Path) -> None:
    first = shelf(
        tmp_path / "a" / "own", "one", "from helper import WORD", {"helper": "WORD = 'a'"}
    )
    second = shelf(
        tmp_path / "b" / "own", "two", "from helper import WORD", {"helper": "WORD = 'b'"}
    )
    registry = load_plugins([first, second])
    words = [registry.get("defense", name).build().word for name in ("one", "two")]
    assert words == ["a", "b"]


def test_a_library_is_hidden_for_its_own_folder_only_and_never_the_standard_one(
    tmp_path: Path,
) -> None:
    how = "import json, pluggy; WORD = f'{json.dumps(1)} {hasattr(pluggy, \"HookspecMarker\")}'"
    folder = shelf(tmp_path / "own", "mine", how, {"pluggy": "", "json": "dumps = None"})
    other = shelf(tmp_path / "other", "pluggy", "import pluggy; WORD = pluggy.__version__")
    registry = load_plugins([folder, other])
    assert registry.get("defense", "mine").build().word == "1 False"
    assert registry.get("defense", "pluggy").build().word[0].isdigit()


def test_a_package_that_is_called_like_its_library_imports_the_library(tmp_path: Path) -> None:
    package = tmp_path / "shelf" / "foolbox"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import foolbox\nPGD = foolbox.attacks.LinfPGD\n")
    import foolbox

    assert load_source(package).PGD is foolbox.attacks.LinfPGD


def test_helpers_are_in_the_keys(tmp_path: Path) -> None:
    def found(name: str, word: str) -> dict[str, str]:
        files = {
            "helper": "from pack.part import WORD",
            "pack/__init__": "",
            "pack/part": f"WORD = {word!r}",
            "_unused": "",
        }
        folder = shelf(tmp_path / name / "own", "mine", "from helper import WORD", files)
        return dict(sources(plugin(folder).file))

    one, two = found("one", "a"), found("two", "b")
    files = {"mine.py", "helper.py", "pack/__init__.py", "pack/part.py"}
    assert files <= one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} == {"pack/part.py"}
    assert "_unused.py" not in one


RAISES = {
    "missing": "from helper import nothing_such as WORD",
    "nowhere": "from pack.nowhere import WORD",
    "relative": "from .helper import WORD",
    "shown": "import helper; WORD = 1; raise RuntimeError(repr(helper.Thing) + repr(helper))",
    "pickled": "import helper, pickle; WORD = pickle.dumps(helper.local())",
    "built": "import helper; WORD = helper.Thing; int(helper.Thing)",
}


@pytest.mark.parametrize("way", RAISES)
def test_no_internal_name_shows(tmp_path: Path, run_cli: Callable[..., Answer], way: str) -> None:
    helper = "class Thing: pass\ndef local():\n    class Inner: pass\n    return Inner()\n"
    files = {"helper": helper, "pack/__init__": ""}
    folder = shelf(tmp_path / "my_plugins", "mine", RAISES[way], files)
    answer = run_cli("check", "mine", "--plugins-dir", folder)
    assert answer.code == 2
    first, hint = answer.err.splitlines()
    assert first.startswith(f"error: plugin {folder}/mine.py could not be loaded: ")
    assert hint == "hint: mend the file, or take it out of the folder"
    assert "superdef_bench" not in first.replace("superdef_bench.core", "")
    assert "folder_" not in first


def test_a_class_is_called_after_its_file(tmp_path: Path) -> None:
    folder = shelf(tmp_path / "colours", "mine", "WORD = ''")
    assert repr(plugin(folder).factory) == "<class 'colours/mine.Mine'>"
    jpeg = load_plugins().get("defense", "jpeg").factory
    assert f"{jpeg.__module__}.{jpeg.__qualname__}" == "plugins/defenses/jpeg.Jpeg"


def test_a_helper_that_raises_is_an_error_of_who_imports_it(tmp_path: Path) -> None:
    folder = shelf(tmp_path / "own", "mine", "from _helper import WORD", {"_helper": "1 / 0"})
    with pytest.raises(PluginError, match=r"mine\.py could not be loaded: ZeroDivisionError"):
        load_plugins([folder])
