"""Super-resolution networks as defenses: enlarge the image before it is classified.

`edsr`, `rcan`, `superdef`, and its control `superdef_no_kd`.
"""

from superdef_bench import hookimpl
from superdef_bench.nn import Denoise, Dtype, Output, SuperResolution, load_network, unusual_size


class _Trained(SuperResolution):
    """A super-resolution network by the name of its recipe; `SuperResolution` has the options.

    Args:
        scale: 2, 3 or 4.
        weights: File of weights; empty for the shipped ones.
    """

    kind: str
    remark = ""

    def __init__(
        self,
        *,
        scale: int = 2,
        output: Output = "native",
        denoise: Denoise = "none",
        sigma: float = 0.04,
        tile: int = 0,
        self_ensemble: bool = False,
        dtype: Dtype = "float32",
        weights: str = "",
    ) -> None:
        network = load_network(self.kind, scale=scale, weights=weights)
        # A row says what it is a reconstruction of, and a size that is not the usual one.
        self.qualifier = ", ".join(filter(None, (self.remark, unusual_size(network))))
        super().__init__(
            network,
            output=output,
            denoise=denoise,
            sigma=sigma,
            tile=tile,
            self_ensemble=self_ensemble,
            dtype=dtype,
        )


class Edsr(_Trained):
    """EDSR, residual blocks without batch norm (Lim et al., CVPRW 2017).

    The network of Mustafa et al. (IEEE TIP 2020), without their wavelet stage unless asked.
    `weights` also takes a checkpoint in the layout of its public repository.
    """

    kind = "edsr"


class Rcan(_Trained):
    """RCAN, residual groups with channel attention (Zhang et al., ECCV 2018).

    The teacher of SuperDef. `weights` also takes a checkpoint in the layout of its public
    repository.
    """

    kind = "rcan"


class SuperDefDefense(_Trained):
    """SuperDef, a small student distilled from RCAN by its answers alone; a reconstruction.

    The thesis that names it (Amjad, 2021) published neither size nor settings of the student.
    Loss and weights follow FAKD (Gao et al., ICIP 2020) without its feature term.
    """

    kind = "superdef"
    remark = "reconstruction"


class SuperDefWithoutTeacher(_Trained):
    """The student of SuperDef trained without a teacher: its control; a reconstruction.

    Same network, photographs and steps: what SuperDef adds to it is due to distillation.
    """

    kind = "superdef_no_kd"
    remark = "reconstruction"


@hookimpl
def register_defenses() -> dict[str, type[_Trained]]:
    return {
        "edsr": Edsr,
        "rcan": Rcan,
        "superdef": SuperDefDefense,
        "superdef_no_kd": SuperDefWithoutTeacher,
    }
