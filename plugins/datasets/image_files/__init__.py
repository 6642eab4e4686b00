"""Image files on disk: `imagefolder`, and `nips2017` in the layout of its competition."""

from superdef_bench import hookimpl

from .folder import ImageFolder
from .nips2017 import Nips2017


@hookimpl
def register_datasets() -> dict[str, object]:
    return {"imagefolder": ImageFolder, "nips2017": Nips2017}
