"""Rules that end a fit: each on scores that are known, and against its definition."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError
from superdef_bench.prior import Plateau, Static, StopRule, Subsample, Variance
from superdef_bench.prior.stopping import Patience, sub_distance


class Told(Patience):
    """A rule whose scores are given."""

    def __init__(self, scores: Tensor, patience: int) -> None:
        super().__init__(patience)
        self.scores = scores  # (steps, rows)

    def _score(self, step: int, drawn: Tensor, errors: Tensor) -> Tensor:
        return self.scores[step - 1]


def run(rule: StopRule, pictures: Tensor, errors: Tensor | None = None) -> StopRule:
    """Show a rule pictures `(steps, R, C, H, W)`."""
    rule.begin(pictures[0])
    for step, picture in enumerate(pictures, 1):
        rule.see(step, picture, torch.ones(len(picture)) if errors is None else errors[step - 1])
    return rule


def test_the_least_score_is_kept_and_what_comes_after_a_stop_is_not() -> None:
    scores = torch.tensor([[5, 4, 3, 6, 6, 1, 0], [5, 6, 4, 5, 3, 6, 6]]).T.float()
    pictures = torch.arange(7.0)[:, None, None, None, None].expand(7, 2, 1, 2, 2)
    rule = run(Told(scores, patience=2), pictures)
    assert rule.at.tolist() == [3, 5]
    assert rule.best[:, 0, 0, 0].tolist() == [2.0, 4.0]
    assert rule.stopped.tolist() == [True, True]


def test_the_variance_is_that_of_the_window() -> None:
    torch.manual_seed(0)
    pictures, window = torch.rand(40, 2, 3, 4, 4, dtype=torch.float64), 7
    spread = torch.stack(
        [
            part.var(dim=0, correction=0).mean(dim=(1, 2, 3))
            for part in pictures.unfold(0, window, 1).permute(0, 5, 1, 2, 3, 4)
        ]
    )
    rule = run(Variance(window, patience=100), pictures)
    assert rule.at.tolist() == (spread.argmin(dim=0) + window).tolist()
    for row, place in enumerate(rule.at.tolist()):
        assert torch.equal(rule.best[row], pictures[place - 1, row])


def test_noise_sets_two_sub_images_apart_by_its_own_amount() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert float(sub_distance(ramp)) < 1e-12
    noisy = ramp + 0.1 * torch.randn(1, 3, 64, 64)
    # The difference of two means of two pixels each has the variance of a pixel.
    assert float(sub_distance(noisy)) == pytest.approx(0.01, rel=0.1)
    assert float(sub_distance(noisy[..., :63, :61])) == pytest.approx(0.01, rel=0.1)


def test_sub_images_that_come_apart_stop_it() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    pictures = torch.stack(
        [ramp + max(0, n - 60) / 1000 * torch.randn(1, 3, 16, 16) for n in range(200)]
    )
    rule = run(Subsample(30, warm_up=20), pictures)
    assert rule.stopped.all()
    assert 20 <= int(rule.at) <= 70


@pytest.mark.parametrize(("floor", "stops"), [(0.5, True), (0.0, False)])
def test_an_error_that_falls_no_more_stops_it(floor: float, stops: bool) -> None:
    errors = torch.stack([torch.tensor([max(floor, 0.99**n)]) for n in range(400)])
    rule = run(Plateau(50), torch.zeros(400, 1, 1, 2, 2), errors)
    assert bool(rule.stopped) is stops


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Static(0), "steps"),
        (lambda: Variance(0), "window"),
        (lambda: Variance(5, 0), "patience"),
        (lambda: Subsample(5, warm_up=0), "warm_up"),
        (lambda: Plateau(-1), "patience"),
    ],
)
def test_a_number_below_one_is_refused(make: Callable[[], StopRule], word: str) -> None:
    with pytest.raises(ConfigError, match=f"{word} is "):
        make()
