"""The labels that a targeted benchmark wants to reach."""

from dataclasses import replace

import torch
from torch import Tensor

from superdef_bench.benchmark import Benchmark
from superdef_bench.images import Images
from superdef_bench.rng import Random


def choose_targets(benchmark: Benchmark, images: Images) -> Images:
    """Return the images with the targets that the config asks for, never an image's label.

    `random`: uniform over the other classes, keyed by image. `next`: the class after the label.
    `least_likely`: the other class of lowest logit on the bare classifier.
    """
    config, num_classes = benchmark.config, benchmark.task.num_classes
    if config.target == "none":
        return images
    if config.target == "least_likely":
        return replace(images, target=_least_likely(benchmark, images))
    ahead = torch.ones_like(images.y)
    if config.target == "random":
        random = Random(config.seed, "target", images.ids)
        ahead = random.integers(1, num_classes, 1)[:, 0]
    return replace(images, target=(images.y + ahead) % num_classes)


@torch.no_grad()
def _least_likely(benchmark: Benchmark, images: Images) -> Tensor:
    batches = images.split(benchmark.config.batch_size)
    logits = torch.cat([benchmark.bare(batch.x) for batch in batches])  # (N, K)
    return logits.scatter(1, images.y[:, None], torch.inf).argmin(dim=1)
