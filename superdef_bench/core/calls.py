"""Calls of plugin code: whatever it raises becomes one error that names the plugin. No torch."""

from types import TracebackType

from superdef_bench.core.errors import SuperdefError

_MOST = 300  # characters of a foreign message


def reason(error: BaseException, *, kind: bool = True) -> str:
    """Return the message of an exception on one line, behind its kind; never raises."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin's exception may fail to say what it is
        return f"{name}, whose message cannot be read"
    text = text if len(text) <= _MOST else f"{text[:_MOST]}..."
    if not text:
        return name
    return f"{name}: {text}" if kind else text


class calling:  # noqa: N801  # read as a word: with calling(...)
    """A block that runs plugin code.

    Errors of this package and Ctrl-C go through. Anything else becomes `error`, also what is no
    `Exception`: a plugin that calls `sys.exit` has failed and does not end the program.

    Args:
        what: Whose code runs, such as `attack 'pgd'`.
        error: What is raised.
        hint: What to do about it.
        verb: What the block did, for the message.
    """

    def __init__(
        self, what: str, error: type[SuperdefError], *, hint: str = "", verb: str = "raised"
    ) -> None:
        self._what, self._error, self._hint, self._verb = what, error, hint, verb

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, SuperdefError | KeyboardInterrupt):
            return
        message = f"{self._what} {self._verb} {reason(error)}"
        raise self._error(message, hint=self._hint) from error
