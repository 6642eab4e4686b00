"""The hooks a plugin may implement: each returns a mapping of names to factories.

A factory is usually a class; its keyword arguments are what a config may set. A name that ends in
a colon is a family, such as `library:`: its factory takes what a config writes behind the colon,
and returns the factory of that one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from torch import nn

    from superdef_bench.core.types import Attack, Dataset, Defense, Recipe

hookspec = pluggy.HookspecMarker("superdef_bench")
hookimpl = pluggy.HookimplMarker("superdef_bench")


@hookspec
def register_attacks() -> "Mapping[str, Callable[..., Attack]]":  # type: ignore[empty-body]  # a spec
    """Return the attacks of this plugin."""


@hookspec
def register_defenses() -> "Mapping[str, Callable[..., Defense]]":  # type: ignore[empty-body]  # a spec
    """Return the defenses of this plugin."""


@hookspec
def register_models() -> "Mapping[str, Callable[..., nn.Module]]":  # type: ignore[empty-body]  # a spec
    """Return the classifiers of this plugin; they map images in [0, 1] to logits."""


@hookspec
def register_datasets() -> "Mapping[str, Callable[..., Dataset]]":  # type: ignore[empty-body]  # a spec
    """Return the datasets of this plugin."""


@hookspec
def register_recipes() -> "Mapping[str, Callable[..., Recipe]]":  # type: ignore[empty-body]  # a spec
    """Return the training recipes of this plugin."""
