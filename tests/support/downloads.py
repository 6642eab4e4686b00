"""A small web server, and an environment from which no request leaves this machine."""

import hashlib
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CLOSED = "http://127.0.0.1:1/"  # nobody listens there


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def offline(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Make `folder` the data folder, and every server but this machine one that refuses."""
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(folder))
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, CLOSED)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


@contextmanager
def serve(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder over HTTP; give its address and a list of what was asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.path)

        def log_error(self, *_: object) -> None:
            pass

    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/", asked
        running.shutdown()
