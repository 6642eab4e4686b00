"""Networks and stages that several plugins share."""

from superdef_bench.nn.catalogue import architecture, build_network, unusual_size
from superdef_bench.nn.edsr import EDSR
from superdef_bench.nn.jpeg import jpeg_round_trip
from superdef_bench.nn.precision import Dtype
from superdef_bench.nn.rcan import RCAN
from superdef_bench.nn.resnet import ResNet
from superdef_bench.nn.restoration import Denoise, SuperResolution, load_network, network_facts
from superdef_bench.nn.superdef import SuperDef
from superdef_bench.nn.wavelet import wavelet_denoise
from superdef_bench.transform import Output

__all__ = [
    "EDSR",
    "RCAN",
    "Denoise",
    "Dtype",
    "Output",
    "ResNet",
    "SuperDef",
    "SuperResolution",
    "architecture",
    "build_network",
    "jpeg_round_trip",
    "load_network",
    "network_facts",
    "unusual_size",
    "wavelet_denoise",
]
