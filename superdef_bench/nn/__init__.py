"""Networks and stages that several plugins share."""

from superdef_bench.nn.catalogue import architecture, build_network
from superdef_bench.nn.edsr import EDSR
from superdef_bench.nn.rcan import RCAN
from superdef_bench.nn.resnet import ResNet
from superdef_bench.nn.superdef import SuperDef
from superdef_bench.nn.wavelet import wavelet_denoise

__all__ = [
    "EDSR",
    "RCAN",
    "ResNet",
    "SuperDef",
    "architecture",
    "build_network",
    "wavelet_denoise",
]
