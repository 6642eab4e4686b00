"""How a batch lies in memory for a network: by a rule of what the network is made of.

A depthwise convolution reads each channel alone. On channels_last images (each pixel's channels
side by side) a CPU runs it faster (tests/benchmarks/test_layout.py); other networks gain nothing
from the batch's layout. Nothing is timed: the same network has the same layout everywhere.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from superdef_bench.core.threats import CHANNELS_LAST, CONTIGUOUS, Layout


def is_depthwise(module: nn.Module) -> bool:
    """Return whether a module is a convolution with one filter, or several, for each channel."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels


def layout_for(network: nn.Module, images: Tensor) -> Layout:
    """Return the layout in which a network gets its images: `channels_last` where it is depthwise.

    Args:
        network: A classifier.
        images: Some that it takes, `(N, C, H, W)`. One that cannot take them in channels_last, as
            code that asks a feature map for a `view` of it cannot, gets them as they come.
    """
    fits = any(map(is_depthwise, network.modules())) and _takes(network, images)
    return CHANNELS_LAST if fits else CONTIGUOUS


def _takes(network: nn.Module, images: Tensor) -> bool:
    """Return whether a network runs on images in channels_last."""
    try:
        with torch.no_grad():
            network(laid_out(images, CHANNELS_LAST))
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin may raise anything; what it makes of images is asked elsewhere
        return False
    return True


class Layouts:
    """The layouts of the networks of a run: those that it began with, else those that fit.

    Args:
        images: Some that the networks take, `(N, C, H, W)`.
        known: What an earlier run chose, by the titles of networks. Empty for one from before there
            were layouts, whose batches were contiguous; None where nothing was run.

    Attributes:
        chosen: The layout of each network that was asked for, by its title.
    """

    def __init__(self, images: Tensor, known: Mapping[str, Layout] | None) -> None:
        self._images, self._known = images, known
        self.chosen: dict[str, Layout] = {}

    def of(self, title: str, network: nn.Module) -> Layout:
        """Return the layout of a network.

        Args:
            title: What it is in the run, and its name.
            network: A classifier.
        """
        if self._known is None:
            found = layout_for(network, self._images)
        elif self._known:  # a network that the run did not know yet has none there
            found = self._known.get(title) or layout_for(network, self._images)
            # It may be another network by now, under the same name.
            if found == CHANNELS_LAST and not _takes(network, self._images):
                found = CONTIGUOUS
        else:
            found = CONTIGUOUS
        self.chosen[title] = found
        return found


def laid_out(images: Tensor, layout: Layout) -> Tensor:
    """Return images `(N, C, H, W)` in a layout; `contiguous` leaves them as they come."""
    if layout == CONTIGUOUS:
        return images
    return images.contiguous(memory_format=torch.channels_last)


def key_parts(layout: Layout) -> tuple[Layout, ...]:
    """Return what keys say of a layout: of contiguous batches nothing, as ever."""
    return () if layout == CONTIGUOUS else (layout,)
