"""Attacks by foolbox: `cw`, `ddn`, `deepfool`."""

from superdef_bench import hookimpl

from .carlini_wagner import CarliniWagner
from .ddn import Ddn
from .deepfool import DeepFool


@hookimpl
def register_attacks() -> dict[str, type[CarliniWagner] | type[Ddn] | type[DeepFool]]:
    return {"cw": CarliniWagner, "ddn": Ddn, "deepfool": DeepFool}
