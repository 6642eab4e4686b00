"""A hand-over to plugin code: what it changes is put back, and its numbers are not kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from superdef_bench.core.errors import CellError, ContractError, SuperdefError
from superdef_bench.core.settings import GENERATORS, Settings
from superdef_bench.core.watch import Watch


class HandOver:
    """Watches networks, and settings of the process, around calls of plugin code.

    A call is what is asked of a plugin for a shard; forward passes inside it are not checked one
    by one.
    """

    def __init__(self) -> None:
        self._watch = Watch()

    @contextmanager
    def to(
        self, owner: str, error: type[SuperdefError] = CellError, *, draws: bool = False
    ) -> Iterator[None]:
        """Run a block of plugin code.

        Args:
            owner: The plugin, for the message.
            error: What is raised if it changed something.
            draws: Whether it may draw from the global generators; they are put back.

        Raises:
            CellError: It changed a network, or a setting of the process; that is put back.
        """
        settings = Settings()
        try:
            yield
        finally:
            changed = [*settings.changes(drawn=not draws), *self._watch.changes()]
        if changed:
            raise error(
                f"{owner} changed {', '.join(changed)}",
                hint="draw from `random`, or from a generator of your own"
                if changed == [GENERATORS]
                else "it is put back, and what came of it is dropped; work on a copy",
            )

    def add(
        self, name: str, network: nn.Module, passes: Callable[[], object] = lambda: None
    ) -> None:
        """Watch a network too.

        Args:
            name: What messages call it.
            network: What no call may change from now on.
            passes: Some passes through it, by which it shows what a pass changes in itself.

        Raises:
            ContractError: A pass changed its weights, hooks or mode, or another network.
        """
        self._watch.add(name, network)
        with self.to(name, ContractError, draws=True):
            try:
                with torch.no_grad():
                    passes()
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: S110  # where its numbers are asked for it says so
                pass
            self._watch.settle(name)
