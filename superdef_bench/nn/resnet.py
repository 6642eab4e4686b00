"""Small residual classifiers that take any image size (He et al., CVPR 2016)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from superdef_bench.core.errors import DataError


def _fold(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d), "folded already"
    return fuse_conv_bn_eval(conv, norm)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def fold(self) -> None:
        self.conv1, self.norm1 = _fold(self.conv1, self.norm1), nn.Identity()
        self.conv2, self.norm2 = _fold(self.conv2, self.norm2), nn.Identity()
        if isinstance(self.shortcut, nn.Sequential):
            self.shortcut = _fold(*self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """CIFAR-style ResNet with three stages and global average pooling.

    Args:
        blocks: Residual blocks per stage; 1 gives ResNet-8, 3 gives ResNet-20.
        width: Channels of the first stage; doubled at each further one.
        num_classes: Number of logits.
        channels: Channels of the image.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, blocks: int, num_classes: int, width: int = 16, channels: int = 3
    ) -> None:
        super().__init__()
        # Normalisation lives in the model, so that attacks and defenses see [0, 1].
        self.register_buffer("mean", torch.full((channels, 1, 1), 0.5))
        self.register_buffer("std", torch.full((channels, 1, 1), 0.25))
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(width)
        stages: list[ResidualBlock] = []
        inputs = width
        for stage in range(3):
            outputs = width * 2**stage
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                stages.append(ResidualBlock(inputs, outputs, stride))
                inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, num_classes)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "ResNet":
        """Return the network whose state dict this is, of the size that the shapes tell.

        Raises:
            DataError: It is no state dict of an unfolded ResNet.
        """
        try:
            width, channels = tensors["stem.weight"].shape[:2]
            num_classes = len(tensors["head.weight"])
            count = len({name.split(".")[1] for name in tensors if name.startswith("stages.")})
            network = cls(
                blocks=count // 3, num_classes=num_classes, width=width, channels=channels
            )
            network.load_state_dict(dict(tensors))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:80]
            raise DataError(f"these weights are of no ResNet: {reason}") from error
        return network

    def fold(self) -> "ResNet":
        """Fold every batch norm into its convolution and return the network, for use only.

        Folded and laid out channels_last it is about twice as fast on a CPU.
        """
        self.eval()
        self.stem, self.norm = _fold(self.stem, self.norm), nn.Identity()
        for block in self.stages:
            assert isinstance(block, ResidualBlock)
            block.fold()
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no memory_format

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` in [0, 1] to logits `(N, num_classes)`."""
        out = functional.relu(self.norm(self.stem((x - self.mean) / self.std)))
        return self.head(self.stages(out).mean(dim=(2, 3)))
