"""What ends a command: never a traceback, never a false 0, never a 1 that means nothing."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.results.load import load_results
from tests.support.commands import Answer, with_rows
from tests.support.counts import count

pytestmark = pytest.mark.faults

PREAMBLE = """
import os, sys, threading, time, torch
from superdef_bench import InputTransform, hookimpl

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no")

class Stop(BaseException):
    pass

class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.equal, torch.isfinite):
            return True
        return super().__torch_function__(func, types, args, kwargs or {{}})

def act(x):
    {body}
    return x
"""

OFFER = """
@hookimpl
def register_attacks():
    return {"evil": Evil}
"""

ATTACK = (
    """
class Evil:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "gradient"

    def __call__(self, model, x, y, threat, context):
        return act(x)
"""
    + OFFER
)

MANY = """
class _Attack:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "gradient"

    def __call__(self, model, x, y, threat, context):
        return globals()[type(self).__name__](x)

class _Defense(InputTransform):
    def transform(self, x):
        return globals()[type(self).__name__](x)

_NAMES = [name for name in globals() if name.startswith("evil")]

@hookimpl
def register_attacks():
    return {name: type(name, (_Attack,), {}) for name in _NAMES}

@hookimpl
def register_defenses():
    return {name: type(name, (_Defense,), {}) for name in _NAMES}
"""

RAISES = {
    "raise SystemExit(0)": "SystemExit: 0",
    "sys.exit()": "SystemExit",
    "raise GeneratorExit": "GeneratorExit",
    "raise Mute": "Mute, whose message cannot be read",
    "raise Stop('mine')": "Stop: mine",
    "raise MemoryError": "MemoryError",
    "raise RecursionError('deep')": "RecursionError: deep",
}


def test_whatever_a_plugin_raises_fails_its_cells_and_exits_with_1(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    bodies = {f"evil{number}": body for number, body in enumerate(RAISES)}
    acts = [f"def {name}(x):\n    {body}\n" for name, body in bodies.items()]
    source = PREAMBLE.format(body="pass") + "".join(acts) + MANY
    chosen = "\n".join(f"{name} = {{}}" for name in bodies)
    path = config(with_rows(chosen, chosen))
    answer = run_cli("run", path, "--plugins-dir", plugin_folder(source))
    assert answer.code == 1, answer.err
    assert "Traceback" not in answer.err
    failures = load_results(Path("runs/tiny")).failures
    for name, body in bodies.items():
        told = {f.error for f in failures if name in (f.attack, f.defense)}
        assert f"attack {name!r} raised {RAISES[body]}" in told, told
        assert f"defense {name!r} failed on every image: {RAISES[body]}" in told, told
    assert all("evil" in failure.attack + failure.defense for failure in failures)
    count("plugins that raise anything", tried=2 * len(RAISES))


def test_a_tensor_that_answers_for_itself_is_looked_through(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    body = "return (x + 0.5).as_subclass(Liar)"
    folder = plugin_folder(PREAMBLE.format(body=body) + ATTACK)
    text = with_rows(attacks="evil = {}")
    answer = run_cli("run", config(text), "--plugins-dir", folder)
    assert answer.code == 1
    assert "attack 'evil' returned pixels in [" in " ".join(answer.err.split())


FACTORIES = {
    "import": "sys.exit(0)",
    "register": "@hookimpl\ndef register_attacks():\n    sys.exit(0)",
    "build": "class Evil:\n    def __init__(self):\n        sys.exit(0)\n"
    + ATTACK.split("\n\n")[-1],
    "property": ATTACK.replace('norms = frozenset({"linf"})', "norms = property(lambda s: 1 / 0)"),
}


@pytest.mark.parametrize("where", list(FACTORIES))
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_plugin_that_ends_the_program_while_it_is_loaded_is_an_error(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[..., Path],
    where: str,
    command: str,
) -> None:
    folder = plugin_folder(PREAMBLE.format(body="pass") + FACTORIES[where])
    text = config(with_rows(attacks="evil = {}"))
    words = ("run", text) if command == "run" else ("check", "attack:evil")
    answer = run_cli(*words, "--plugins-dir", folder)
    broken = command == "check" and where in ("build", "property")
    assert answer.code == (1 if broken else 2), answer
    told = " ".join((answer.out + answer.err).split())
    assert "ZeroDivisionError" in told if where == "property" else "SystemExit: 0" in told
    assert "Traceback" not in told


def test_what_nobody_foresaw_is_one_line_and_exit_2(
    run_cli: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr("superdef_bench.cli.plugins_table.print_plugins", fail)
    answer = run_cli("list")
    assert answer.code == 2
    assert answer.err == (
        "error: KeyError: 'unforeseen'\n"
        "hint: this should not happen, here or in a plugin; SUPERDEF_DEBUG=1 shows where it did\n"
    )
    monkeypatch.setenv("SUPERDEF_DEBUG", "1")
    answer = run_cli("list")
    assert answer.code == 2
    assert "Traceback (most recent call last)" in answer.err


def start(*words: str, cwd: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "superdef_bench", *words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_any_moment_ends_in_its_code_and_a_line(
    tmp_path: Path, quiet_environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    traceback = hung = 0
    # The imports say on stderr how far they are: the signal comes at each of these.
    moments = ["superdef_bench.core.visible", "typer", "rich", "torch._C", "pluggy"]
    for moment in moments:
        process = start("list", cwd=tmp_path, environment=quiet_environment)
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.rstrip().endswith(f" {moment}"):
                break
        process.send_signal(number)
        try:
            _, rest = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            hung += 1
            continue
        lines = [line for line in rest.splitlines() if not line.startswith("import time:")]
        traceback += any("Traceback" in line for line in lines)
        assert process.returncode == code, (moment, lines)
        assert len(lines) == 1
        assert lines[0].startswith("error: stopped: "), moment
    count("signals while importing", tried=len(moments), hung=hung, traceback=traceback)
    assert (hung, traceback) == (0, 0)


def test_threads_of_a_plugin_do_not_keep_the_process(
    tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    forever = "threading.Thread(target=lambda: time.sleep(600)).start()\n"
    (folder / "evil.py").write_text(PREAMBLE.format(body="pass") + ATTACK + forever)
    words = ["list", "attack", "--json", "--plugins-dir", str(folder)]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "superdef_bench", *words],
        env=quiet_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"evil"' in done.stdout
    assert time.monotonic() - begin < 110
