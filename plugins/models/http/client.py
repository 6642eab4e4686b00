"""Requests to a service: not too many a second, again where they failed, and never without end."""

import json
import time
from collections.abc import Mapping
from typing import Any, Self

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError
from urllib3.exceptions import TimeoutError as TooSlowError

from superdef_bench import DataError

_BUSY = (429, 502, 503, 504)  # statuses after which the same request may do
_WAIT, _MOST_WAIT = 0.25, 60.0  # seconds before the second try; they double
_MOST_BYTES = 2**26  # of an answer
_SHOWN = 80  # characters of an answer that a message quotes


class Client:
    """Sends requests to one service.

    Args:
        url: Its address.
        headers: Of each request.
        rate: Requests per second, at most; 0 for no limit.
        timeout: Seconds to wait for a connection, and for an answer.
        retries: How often a request is sent again.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, rate: float, timeout: float, retries: int
    ) -> None:
        self.url = url
        self._pause, self._next = (1 / rate if rate else 0.0), 0.0
        self._timeout, self._retries = timeout, retries
        self._pool = urllib3.PoolManager(
            headers={"Content-Type": "application/json", **headers},
            timeout=urllib3.Timeout(total=timeout),
            retries=urllib3.Retry(
                total=retries,
                redirect=False,
                allowed_methods=None,  # a question asked twice has the same answer
                status_forcelist=_BUSY,
                raise_on_status=False,
                backoff_factor=_WAIT,
                backoff_max=_MOST_WAIT,
                retry_after_max=int(_MOST_WAIT),
            ),
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # connections are not copied, and the pace is one for all

    def get(self, path: str) -> dict[str, Any]:
        """Return what the service answers at a path below its address."""
        return self._request("GET", path, None)

    def post(self, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return its answer to a question, both JSON.

        Raises:
            DataError: It is not there, too slow, refuses, or says what is no JSON object.
        """
        return self._request("POST", path, json.dumps(question).encode())

    def _request(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + self._pause
        try:
            answer = self._pool.request(method, self.url + path, body=body, preload_content=False)
            try:
                content = answer.read(_MOST_BYTES + 1)
            finally:
                answer.release_conn()
        except HTTPError as error:
            raise DataError(
                f"{self.url} {self._what(error)}",
                hint="is the service up, and the url right? timeout and retries are arguments",
            ) from error
        if answer.status != 200:
            raise DataError(
                f"{self.url}{path} answers {answer.status}: {_quoted(content)}",
                hint="look at the service's log; url, protocol, model and token are arguments",
            )
        if len(content) > _MOST_BYTES:
            raise DataError(f"{self.url} answers with more than {_MOST_BYTES:,} bytes")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self.url} answers with no JSON: {_quoted(content)}",
                hint="does the address belong to the classifier?",
            ) from error
        if not isinstance(found, dict):
            raise DataError(f"{self.url} answers with no JSON object: {_quoted(content)}")
        return found

    def _what(self, error: HTTPError) -> str:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        tries = f"{self._retries + 1} tries" if self._retries else "one try"
        if isinstance(reason, NewConnectionError):
            return f"is not there ({tries})"
        if isinstance(reason, TooSlowError):
            return f"gave no answer within {self._timeout:g} s ({tries})"
        return f"broke off ({tries}): {type(reason).__name__}"


def _quoted(content: bytes) -> str:
    text = " ".join(content[: 4 * _SHOWN].decode(errors="replace").split())
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
