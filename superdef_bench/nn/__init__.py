"""Networks and stages that several plugins share."""

from superdef_bench.nn.resnet import ResNet
from superdef_bench.nn.wavelet import wavelet_denoise

__all__ = ["ResNet", "wavelet_denoise"]
