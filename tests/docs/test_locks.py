"""What is installed is pinned twice: by version, and by the hash of each file."""

import re
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_VERSIONS, _HASHES = (
    (_ROOT / f"requirements.{kind}").read_text() for kind in ("lock", "hashes.lock")
)
_PIN = re.compile(r"^[a-z0-9._-]+==[^\\\n]+", re.M)


def pins(text: str) -> list[str]:
    return [pin.strip() for pin in _PIN.findall(text)]


def test_both_locks_pin_the_same_versions() -> None:
    assert len(pins(_VERSIONS)) > 100
    assert pins(_HASHES) == pins(_VERSIONS)


def test_every_pin_has_hashes_and_no_lock_names_a_place() -> None:
    for block in re.split(r"\n(?=\S)", _HASHES.strip())[1:]:
        head, *hashes = block.split(" \\\n")
        assert _PIN.fullmatch(head), head
        assert hashes, head
        for each in hashes:
            assert re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}", each), head
    for text in (_VERSIONS, _HASHES):
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text


def test_make_asks_pip_for_hashes_where_it_is_told_to() -> None:
    for words, asked in (([], False), (["HASHES=1"], True)):
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", "ready", *words],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("--require-hashes -r requirements.hashes.lock" in done.stdout) is asked
        assert ("venv --clear" in done.stdout) is asked
