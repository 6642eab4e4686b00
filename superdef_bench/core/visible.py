r"""Text shown as it is: what a terminal, a browser or a parser would obey is spelt out.

Names and messages come from plugins, files and other people's results. Outlets, which write
terminal lines, Markdown, CSV, HTML and SVG, show them by `visible` or `one_line`; what is stored,
JSON above all, keeps the true text.
"""

import re

LONGEST = 1000  # characters of a message that are worth reading

# Controls, half of a pair, separators of lines and paragraphs, what turns the direction of text,
# and what has no width; signs of Arabic and Syriac that only count as formats are left alone.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# What joins letters of some scripts, and the parts of an emoji, is no secret between two of them.
_JOINS = "\u0600-\u18af\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
_JOINED = re.compile(f"(?<=[{_JOINS}])[\u200c\u200d](?=[{_JOINS}])")


def visible(text: object, keep: str = "") -> str:
    r"""Return text with whatever hides spelt out in ASCII: `\x1b`, `\u202e`, `\n`.

    Letters of all scripts, marks on them and emoji stay; so does a name that is visible already.

    Args:
        text: Anything; of an object its `str`.
        keep: Controls to leave alone, such as the newline in a text of several lines.
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():  # most of what there is
        return shown
    joined = {found.start() for found in _JOINED.finditer(shown)}

    def spell(found: re.Match[str]) -> str:
        char = found[0]
        return char if char in keep or found.start() in joined else ascii(char)[1:-1]

    return _HIDDEN.sub(spell, shown)


def one_line(text: object) -> str:
    """Return text as one line: spaces, tabs and line ends are a space, the rest is `visible`."""
    return visible(re.sub(r"[ \t\r\n]+", " ", str(text)).strip(" "))


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return text, cut with an ellipsis where it is longer than anybody reads."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
