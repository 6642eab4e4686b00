"""Did-you-mean hints for names."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, more: str = "") -> str:
    """Return a hint with the nearest known name, or with the first twenty of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?" + (
            f" ({len(names)} available: {more})" if more else ""
        )
    shown = ", ".join(names[:20]) + (f", and {len(names) - 20} more" if len(names) > 20 else "")
    return (f"known: {shown}" if names else "there are none") + (f" ({more})" if more else "")
