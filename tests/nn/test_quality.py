"""PSNR and SSIM against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from superdef_bench import Random
from superdef_bench.nn.quality import psnr, ssim
from superdef_bench.testing import toy_images


def test_both_are_those_of_scikit_image() -> None:
    x, ids = toy_images(4)
    disturbed = (x + 0.1 * Random(0, "noise", ids).normal(*x.shape[1:])).clamp(0, 1)
    ratios, similarities = psnr(disturbed, x), ssim(disturbed, x)
    for number in range(4):
        image, reference = (t[number].permute(1, 2, 0).double().numpy() for t in (disturbed, x))
        expected = peak_signal_noise_ratio(reference, image, data_range=1)
        assert float(ratios[number]) == pytest.approx(expected, abs=1e-3)
        expected = structural_similarity(
            reference,
            image,
            data_range=1,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert float(similarities[number]) == pytest.approx(expected, abs=1e-4)


def test_equal_images_and_small_ones() -> None:
    x, _ = toy_images(2)
    assert torch.isinf(psnr(x, x)).all()
    assert np.allclose(ssim(x, x), 1)
    assert torch.isnan(ssim(x[..., :8, :8], x[..., :8, :8])).all()
