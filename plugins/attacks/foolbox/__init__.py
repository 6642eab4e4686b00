"""Attacks by foolbox: `cw`, `ddn`, `deepfool`; `foolbox:` and a name: any other of its own."""

from superdef_bench import hookimpl

from .carlini_wagner import CarliniWagner
from .ddn import Ddn
from .deepfool import DeepFool
from .library import foolbox_attack


@hookimpl
def register_attacks() -> dict[str, object]:
    return {"cw": CarliniWagner, "ddn": Ddn, "deepfool": DeepFool, "foolbox:": foolbox_attack}
