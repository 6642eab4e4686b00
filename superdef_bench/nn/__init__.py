"""Networks, image stages and their weights."""

from superdef_bench.core.transform import Output
from superdef_bench.io.downloads import check_address, is_encrypted, say_unpinned
from superdef_bench.io.notes import note
from superdef_bench.nn.catalogue import architecture, build_network, unusual_size
from superdef_bench.nn.edsr import EDSR
from superdef_bench.nn.gated import Detector, GatedClassifier, roc_area
from superdef_bench.nn.own_class import (
    as_network,
    check_sha256,
    normalized,
    own_class,
    read_statistics,
)
from superdef_bench.nn.precision import Dtype
from superdef_bench.nn.preprocessing import read_preprocessing
from superdef_bench.nn.pretrained import (
    Normalized,
    check_file,
    check_name,
    fill,
    guarded,
    read_checkpoint,
    read_tensors,
    untrained,
)
from superdef_bench.nn.rcan import RCAN
from superdef_bench.nn.resnet import ResNet
from superdef_bench.nn.restoration import Denoise, SuperResolution, load_network, network_facts
from superdef_bench.nn.soft_jpeg import soft_jpeg
from superdef_bench.nn.stages import jpeg_round_trip, wavelet_denoise
from superdef_bench.nn.superdef import SuperDef
from superdef_bench.nn.weights import (
    SHIPPED,
    from_file,
    load_weights,
    read_provenance,
    save_weights,
)

__all__ = [
    "EDSR",
    "RCAN",
    "SHIPPED",
    "Denoise",
    "Detector",
    "Dtype",
    "GatedClassifier",
    "Normalized",
    "Output",
    "ResNet",
    "SuperDef",
    "SuperResolution",
    "architecture",
    "as_network",
    "build_network",
    "check_address",
    "check_file",
    "check_name",
    "check_sha256",
    "fill",
    "from_file",
    "guarded",
    "is_encrypted",
    "jpeg_round_trip",
    "load_network",
    "load_weights",
    "network_facts",
    "normalized",
    "note",
    "own_class",
    "read_checkpoint",
    "read_preprocessing",
    "read_provenance",
    "read_statistics",
    "read_tensors",
    "roc_area",
    "save_weights",
    "say_unpinned",
    "soft_jpeg",
    "untrained",
    "unusual_size",
    "wavelet_denoise",
]
