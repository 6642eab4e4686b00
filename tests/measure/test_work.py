"""What a pass takes, counted: closed forms, loops, and a second counter."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import InputTransform, load_model
from superdef_bench.core.transform import Protected
from superdef_bench.measure.networks import networks_of
from superdef_bench.measure.work import Ledger, Work, work_of

CPU = torch.device("cpu")


class Convolved(InputTransform):
    """One convolution, `times` over; on `values` it looks at a pixel first."""

    def __init__(self, times: int = 1, *, values: bool = False) -> None:
        super().__init__()
        self.times, self.values = times, values
        self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)

    def transform(self, x: Tensor) -> Tensor:
        if self.values and float(x[0, 0, 0, 0]) < 0:
            return x
        for _ in range(self.times):
            x = self.conv(x)
        return x


def work(transform: InputTransform, side: int = 16, n: int = 1) -> dict[str, Work]:
    classifier = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    with torch.no_grad():
        classifier(transform(torch.zeros(1, 3, side, side)))
    return work_of(Protected([transform], classifier), (n, 3, side, side), device=CPU)


def test_one_convolution_has_the_work_that_its_sizes_say() -> None:
    found = work(Convolved())
    image, weights, pixels = 4 * 3 * 16 * 16, 4 * 3 * 3 * 9, 16 * 16
    own = found["defense"]
    assert own.params == 3 * 3 * 9
    assert own.gmac == pytest.approx(3 * 3 * 9 * pixels / 1e9)
    assert own.ops == 1
    assert own.moved == 2 * image + weights
    assert own.fused == own.moved + 2 * image
    assert own.memory == 2 * image + weights
    whole = found["pipeline"]
    assert whole.params == own.params + 5 * 3 * pixels + 5
    assert whole.gmac == pytest.approx(own.gmac + 5 * 3 * pixels / 1e9)
    assert whole.ops == own.ops + 1  # to flatten is a view
    assert whole.moved == own.moved + image + 4 * (5 * 3 * pixels + 5 + 5)


@pytest.mark.parametrize("values", [False, True])
def test_iterations_are_counted_one_by_one(values: bool) -> None:
    once, many = (work(Convolved(k, values=values))["defense"] for k in (1, 7))
    looks = 1 if values else 0  # at a pixel: torch is run on real images then
    assert many.gmac == pytest.approx(7 * once.gmac)
    assert many.ops - looks == 7 * (once.ops - looks)
    assert many.params == once.params


def test_a_double_size_quadruples_the_work_of_the_classifier() -> None:
    model = load_model("signs_resnet8")
    (bicubic,) = networks_of(["bicubic_x2"], 2, CPU).values()
    bare = work_of(Protected([], model), (1, 3, 32, 32), device=CPU)
    behind = work_of(Protected([bicubic], model), (1, 3, 32, 32), device=CPU)
    assert behind["defense"].gmac == bare["defense"].gmac == 0
    assert behind["pipeline"].gmac == pytest.approx(4 * bare["pipeline"].gmac, rel=1e-3)
    assert (bare["defense"].ops, bare["defense"].params, bare["defense"].fused) == (0, 0, 0)


def test_a_batch_has_the_work_of_its_images_and_reads_weights_once() -> None:
    (superdef,) = networks_of(["superdef"], 2, CPU).values()
    protected = Protected([superdef], load_model("signs_resnet8"))
    one, four = (work_of(protected, (n, 3, 32, 32), device=CPU)["defense"] for n in (1, 4))
    assert one.of_batch(1) == one
    assert one.of_batch(4).gmac == pytest.approx(four.gmac)
    for name in ("ops", "moved", "fused", "memory", "params"):
        assert getattr(one.of_batch(4), name) == getattr(four, name), name


def test_what_is_alive_at_once_is_released_when_torch_releases_it() -> None:
    kilobyte = torch.zeros(256)
    with Ledger() as ledger:
        tally = ledger.part()
        first = kilobyte + 1
        for _ in range(5):
            first = first + 1  # the one before is alive while this one is made
        view = first.view(2, 128)
        del first
        again = ledger.part()
        second = view * 2
    assert tally.peak == 2 * 1024
    assert again.peak == 2 * 1024
    assert tally.ops == 6
    assert tally.moved == 6 * 2 * 1024
    assert len(second) == 2


@pytest.mark.parametrize("word", ["superdef", "edsr", "rcan", "RCAN:2x3x16"])
def test_a_second_counter_agrees(word: str) -> None:
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis
    (network,) = networks_of([word], 2, CPU, untrained=True).values()
    ours = work_of(Protected([network], nn.Identity()), (1, 3, 32, 32), device=CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted = analysis(network, torch.zeros(1, 3, 32, 32))
        counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        kinds = counted.by_operator()
    theirs = sum(kinds[kind] for kind in ("conv", "linear", "matmul") if kind in kinds) / 1e9
    assert ours["defense"].gmac == pytest.approx(theirs, rel=0.015)
    # What it counts beside those is small in networks of convolutions.
    assert ours["defense"].gmac == pytest.approx(counted.total() / 1e9, rel=0.015)


def test_the_classifiers_agree_with_the_second_counter_too() -> None:
    analysis = pytest.importorskip("fvcore.nn").FlopCountAnalysis
    model = load_model("signs_resnet8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted = analysis(model, torch.zeros(1, 3, 32, 32)).unsupported_ops_warnings(False)
        total = counted.total() / 1e9
    ours = work_of(Protected([], model), (1, 3, 32, 32), device=CPU)["pipeline"].gmac
    assert ours == pytest.approx(total, rel=0.015)
