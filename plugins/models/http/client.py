"""Requests to a service: not too many a second, again where they failed, and never without end."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as TooSlowError

from superdef_bench import UnavailableError

_BUSY = (429, 502, 503, 504)  # statuses after which the same request may do
_WAIT, _MOST_WAIT = 0.25, 60.0  # seconds before the second try; they double
_MOST_BYTES = 2**26  # of an answer
_CHUNK = 2**16
_SHOWN = 80  # characters of an answer that a message quotes
_asked: Counter[str] = Counter()  # images of this process, by address


class Client:
    """Sends requests to one service.

    Args:
        url: Its address.
        headers: Of each request.
        rate: Requests per second, at most; 0 for no limit.
        timeout: Seconds for an answer, from the request to its last byte.
        retries: How often a request is sent again.
        budget: Images that this process may ask for; 0 for no limit.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        rate: float,
        timeout: float,
        retries: int,
        budget: int,
    ) -> None:
        self.url = url
        self._pause, self._next = (1 / rate if rate else 0.0), 0.0
        self._timeout, self._retries, self._budget = timeout, retries, budget
        self._pool = urllib3.PoolManager(
            headers={"Content-Type": "application/json", **headers},
            timeout=urllib3.Timeout(total=timeout),
            retries=False,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # connections are not copied, and the pace is one for all

    def spend(self, images: int) -> None:
        """Count images that are about to be asked for.

        Raises:
            UnavailableError: They are more than the budget has left.
        """
        if self._budget and _asked[self.url] + images > self._budget:
            raise UnavailableError(
                f"the budget of {self._budget:,} images at {self.url} is spent",
                hint="raise budget, or give attacks fewer images and queries; what is done is kept",
            )
        _asked[self.url] += images

    def get(self, path: str) -> dict[str, Any]:
        """Return what the service answers at a path below its address."""
        return self._object(path, *self._answer("GET", path, None))

    def post(self, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return its answer to a question, both JSON.

        Raises:
            UnavailableError: It is not there, too slow, refuses, or says what is no JSON object.
        """
        return self._object(path, *self._answer("POST", path, json.dumps(question).encode()))

    def _answer(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Return status and content, of the last try if all fail alike."""
        for tried in range(1, self._retries + 2):
            last, wait = tried > self._retries, _WAIT * 2 ** (tried - 1)
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + self._pause
            try:
                status, content, after = self._try(method, path, body)
            except HTTPError as error:
                if last:
                    raise self._silent(error, tried) from error
            else:
                if last or status not in _BUSY:
                    return status, content
                wait = after if after is not None else wait
            time.sleep(min(wait, _MOST_WAIT))
        raise AssertionError("the last try returns or raises")

    def _try(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, float | None]:
        """Return status, content, and the seconds after which to come again, if it says so."""
        until = time.monotonic() + self._timeout
        answer = self._pool.request(
            method, self.url + path, body=body, preload_content=False, redirect=False
        )
        try:
            content = b""
            while chunk := answer.read1(_CHUNK):
                content += chunk
                if len(content) > _MOST_BYTES:
                    raise UnavailableError(
                        f"{self.url} answers with more than {_MOST_BYTES:,} bytes",
                        hint="does the address belong to the classifier?",
                    )
                if time.monotonic() > until:
                    raise TooSlowError
            after = answer.headers.get("Retry-After", "")
            return answer.status, content, float(after) if after.isdecimal() else None
        except BaseException:
            answer.close()  # what is left of it would be taken for the next answer
            raise
        finally:
            answer.release_conn()

    def _object(self, path: str, status: int, content: bytes) -> dict[str, Any]:
        if status != 200:
            raise UnavailableError(
                f"{self.url}{path} answers {status}: {_quoted(content)}",
                hint="look at the service's log; url, protocol, model and token are arguments",
            )
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise UnavailableError(
                f"{self.url} answers with no JSON: {_quoted(content)}",
                hint="does the address belong to the classifier?",
            ) from error
        if not isinstance(found, dict):
            raise UnavailableError(f"{self.url} answers with no JSON object: {_quoted(content)}")
        return found

    def _silent(self, error: HTTPError, tried: int) -> UnavailableError:
        tries = "one try" if tried == 1 else f"{tried} tries"
        if isinstance(error, NewConnectionError):
            what = f"is not there ({tries})"
        elif isinstance(error, TooSlowError):
            what = f"gave no answer within {self._timeout:g} s ({tries})"
        else:
            what = f"broke off ({tries}): {type(error).__name__}"
        return UnavailableError(
            f"{self.url} {what}",
            hint="is the service up, and the url right? timeout and retries are arguments",
        )


def _quoted(content: bytes) -> str:
    text = " ".join(content[: 4 * _SHOWN].decode(errors="replace").split())
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
