"""A service that classifies drawn signs, in a process of its own; some of its paths misbehave.

`python -m tests.support.classifier_service` prints its port and serves until it is ended.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE, Popen
from typing import Any, ClassVar

import torch

from superdef_bench.core.loader import load_model

TOKEN = "s3same-open"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = load_model("signs_resnet8")
    seen: ClassVar[Counter[str]] = Counter()

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, answer: object, status: int = 200, **headers: str) -> None:
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/seen":
            self._say(self.seen)
        elif self.path in ("/v2/models/signs", "/vague/v2/models/signs"):
            tensor = {"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}
            scores = {"name": "scores", "datatype": "FP32", "shape": [-1, 20]}
            several = [scores, scores] if self.path.startswith("/vague") else [scores]
            self._say({"name": "signs", "inputs": [tensor], "outputs": several, "versions": ["1"]})
        else:
            self._say({"error": "no such model"}, 404)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        question = json.loads(self.rfile.read(length))
        way = self.path
        self.seen[way] += 1
        self.seen[f"token {self.headers.get('Authorization', '')}"] += 1
        if way == "/busy" and self.seen[way] % 3:
            self._say({"error": "busy"}, 503, Retry_After="0")
        elif way in ("/always-busy", "/busy-for-good"):
            self._say({"error": "busy"}, 429, Retry_After="0")
        elif way == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"predic')
            self.close_connection = True
        elif way == "/dripping":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            for _ in range(10):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.1)
            self.close_connection = True
        elif way == "/slow":
            time.sleep(2)
            self._say({})
        elif way == "/broken":
            self.close_connection = True
        elif way == "/elsewhere":
            self._say({}, 302, Location="/classify")
        elif way == "/page":
            self._say("<html>Sign in</html>")
        elif way == "/list":
            self._say([1])
        elif way == "/v2/models/signs/infer":
            given = question["inputs"][0]
            scores = self._scores(torch.tensor(given["data"]).reshape(given["shape"]))
            output = {"name": "scores", "datatype": "FP32", "shape": list(scores.shape)}
            self._say({"outputs": [{**output, "data": scores.flatten().tolist()}]})
        else:
            self._say(self._predictions(way, torch.tensor(question["instances"])))

    def _predictions(self, way: str, images: torch.Tensor) -> dict[str, Any]:
        scores = self._scores(images)
        if way == "/probabilities":
            scores = scores.softmax(dim=1)
        elif way == "/few":
            scores = scores[:, :7]
        elif way == "/nan":
            scores[0, 0] = torch.nan
        elif way == "/short":
            scores = scores[:-1]
        elif way == "/words":
            return {"predictions": ["stop"] * len(images)}
        elif way == "/classes":
            return {"classes": scores.argmax(dim=1).tolist()}
        return {"predictions": scores.tolist()}

    @torch.no_grad()
    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)


@contextmanager
def service() -> Iterator[str]:
    """Run the service; yields its address."""
    with Popen([sys.executable, "-m", __name__], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
