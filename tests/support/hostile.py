"""Results whose names want to be more than names."""

import json
from typing import Any

from tests.support.documents import GOLDEN

EVIL = '<img src=x onerror="hit()">|[a](javascript:hit())\n# t `x` **b** </script> & \u2028$'


def hostile() -> dict[str, Any]:
    """Return the golden document with every name replaced by one that wants to be more."""
    text = GOLDEN.read_text()
    for name in ("jpeg", "pgd", "signs_resnet8", "no exact gradient", "An Example", "2.11.0"):
        text = text.replace(f'"{name}"', json.dumps(name + EVIL))
    document: dict[str, Any] = json.loads(text)
    document["provenance"]["command"] = f"superdef-bench run '{EVIL}\n```\n<b>'"
    failure = {k: v for k, v in document["accuracy"][1].items() if k != "verdicts"}
    document["failures"] = [{**failure, "error": EVIL}]
    name = "jpeg" + EVIL
    document["defenses"][name]["missing"] = [EVIL]
    check = {"check": EVIL, "outcome": "fail", "n": 4, "p": 0.0, "adjusted": 0.0, "evidence": EVIL}
    document["defenses"][name]["masking"] = {"verdict": "fail", "checks": [check]}
    document["changes"] = {
        "since": "0" * 64,
        "settings": [{"what": EVIL, "before": EVIL, "after": None}],
        "added": [EVIL],
        "removed": [EVIL],
        "moved": [{"row": EVIL, "rank": [1, None], "n": [4, 4]}],
    }
    return document
