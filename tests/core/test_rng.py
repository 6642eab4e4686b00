"""Counter-based randomness."""

import pytest
import torch

from superdef_bench.core.rng import Random, image_id, philox


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(
    counter: tuple[int, int, int, int], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    assert tuple(int(word) for word in philox((c0, c1, c2, c3), key)) == expected


def draw(ids: torch.Tensor, batch: int) -> torch.Tensor:
    parts = []
    for part in ids.split(batch):
        random = Random(3, "stream", part)
        first, second = random.normal(3, 8, 8), random.uniform(3, 8, 8)
        parts.append(torch.stack([first, second, random.integers(0, 9, 3, 8, 8).float()], 1))
    return torch.cat(parts)


def test_noise_is_bitwise_equal_for_any_batch_size_and_order() -> None:
    ids = torch.tensor([image_id(f"image {i}") for i in range(64)])
    whole = draw(ids, 64)
    assert torch.equal(whole, draw(ids, 1))
    assert torch.equal(whole, draw(ids, 7))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole[order], draw(ids[order], 64))


def test_a_packed_subset_goes_on_with_its_own_numbers() -> None:
    ids = torch.arange(10)
    whole, index = Random(0, "a", ids), torch.tensor([7, 2])
    whole.normal(4)
    packed = whole.take(index)
    assert torch.equal(packed.normal(4), whole.normal(4)[index])


def test_seed_stream_call_draw_and_fork_give_different_numbers() -> None:
    ids = torch.arange(4)
    random = Random(0, "a", ids)
    drawn = [
        random.uniform(16),
        random.uniform(16),
        Random(1, "a", ids).uniform(16),
        Random(0, "b", ids).uniform(16),
        Random(0, "a", ids, draws=torch.ones(4, dtype=torch.int64)).uniform(16),
        random.fork("restart 1").uniform(16),
        Random(0, "a", ids + 2**40).uniform(16),
    ]
    for i, first in enumerate(drawn):
        for second in drawn[i + 1 :]:
            assert (first == second).float().mean() < 0.05
    assert torch.equal(random.fork("x").uniform(4), random.fork("x").uniform(4))


def test_distributions_have_the_right_moments_and_ranges() -> None:
    random = Random(0, "moments", torch.arange(100))
    normal, uniform = random.normal(2000), random.uniform(2000, low=-1.0, high=3.0)
    assert abs(float(normal.mean())) < 0.01
    assert abs(float(normal.std()) - 1) < 0.01
    assert abs(float(normal.pow(4).mean()) - 3) < 0.06
    assert float(uniform.min()) >= -1
    assert float(uniform.max()) < 3
    assert abs(float(uniform.mean()) - 1) < 0.01
    counts = random.integers(2, 7, 2000).flatten().bincount(minlength=7)
    assert counts[:2].sum() == 0
    assert (counts[2:] / 40_000 - 1).abs().max() < 0.03


def test_integers_needs_a_range() -> None:
    with pytest.raises(ValueError, match="low < high"):
        Random(0, "a", torch.arange(2)).integers(3, 3)
