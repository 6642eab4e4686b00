"""Defenses that mask their gradient, one of each kind, and honest ones, as a plugin file."""

PLANTED = '''
import torch
from torch import nn
from torch.nn import functional
from superdef_bench import InputTransform, hookimpl


class Rounding(InputTransform):
    """Claims a gradient and has none."""
    def transform(self, x):
        return (x * 7).round() / 7


class KWinners(InputTransform):
    """Two random layers that keep their strongest responses (Xiao et al., ICLR 2020)."""
    def __init__(self, kept=0.1, layers=3):
        super().__init__()
        numbers = torch.Generator().manual_seed(0)
        shapes = torch.randn(layers, 768, 192, generator=numbers)
        self.register_buffer("mix", torch.linalg.qr(shapes).Q)
        self.kept = kept

    def transform(self, x):
        patches = functional.unfold(x, 8, stride=8)
        code = 20.0 * (patches - 0.5)
        for layer in self.mix:
            wide = torch.einsum("ij,njp->nip", layer, code)
            least = wide.kthvalue(int(768 * (1 - self.kept)), dim=1, keepdim=True).values
            wide = torch.where(wide > least, wide, 0.0)
            code = torch.einsum("ij,nip->njp", layer, wide)
        wanted, got = (part.std(dim=1, keepdim=True) for part in (patches, code))
        code = code * (wanted / got.clamp_min(1e-6)) + patches.mean(dim=1, keepdim=True)
        back = functional.fold(code, x.shape[-2:], 8, stride=8)
        return back.clamp(0, 1)


class Thermometer(InputTransform):
    """Codes each pixel by how many of eight thresholds it passes (Buckman et al., ICLR 2018)."""
    def transform(self, x):
        levels = torch.linspace(0.0625, 0.9375, 8)
        return (x[..., None] > levels).float().mean(dim=-1)


class Scaled(nn.Module):
    """Logits times a hundred."""
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return 100.0 * self.model(x)


class Overconfident:
    differentiable, stochastic = True, False

    def protect(self, model, task):
        return Scaled(model)


NUMBERS = torch.Generator()  # of its own: who draws from the global one fails at once


class Noisy(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model((x + 0.05 * torch.randn(x.shape, generator=NUMBERS)).clamp(0, 1))


class HiddenNoise:
    """Says that nothing is random."""
    differentiable, stochastic = True, False

    def protect(self, model, task):
        return Noisy(model)


class Vanishing(InputTransform):
    """A steep threshold: flat almost everywhere."""
    def transform(self, x):
        return torch.sigmoid(4000.0 * (x - 0.5))


class Switch(InputTransform):
    """Shows another image to who asks for a gradient."""
    def transform(self, x):
        return x.flip(-1) if torch.is_grad_enabled() else x


@hookimpl
def register_defenses():
    return {
        "rounding": Rounding,
        "k_winners": KWinners,
        "thermometer": Thermometer,
        "overconfident": Overconfident,
        "hidden_noise": HiddenNoise,
        "vanishing": Vanishing,
        "switch": Switch,
    }
'''
KINDS = (
    *("rounding", "k_winners", "thermometer", "overconfident", "hidden_noise"),
    *("vanishing", "switch"),
)
