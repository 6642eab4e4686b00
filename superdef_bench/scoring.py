"""Ask a protected classifier what it sees in adversarial images. Only this decides success."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from superdef_bench.benchmark import BuiltDefense
from superdef_bench.checks import check_defended, check_logits
from superdef_bench.errors import CellError, ContractError
from superdef_bench.images import Images
from superdef_bench.quality import psnr, ssim
from superdef_bench.transform import resize
from superdef_bench.types import fooled


@dataclass
class Scores:
    """What a protected classifier says of images, per image.

    Attributes:
        prediction: Class, -1 where it failed, `(N,)`.
        rank: Classes with a higher logit than the label; K where it failed, `(N,)`.
        broken: Whether it is wrong or reaches its target, `(N,)`.
        psnr: Of the image that the classifier saw against the clean one, in dB, `(N,)`.
        ssim: Likewise.
        errors: Why an image failed, None where it did not.
    """

    prediction: Tensor
    rank: Tensor
    broken: Tensor
    psnr: Tensor
    ssim: Tensor
    errors: list[str | None]


def score(
    defense: BuiltDefense,
    attacked: Tensor,
    images: Images,
    num_classes: int,
    *,
    topk: int,
    batch_size: int,
) -> Scores:
    """Classify `attacked`, `(N, C, H, W)`, with the whole defense, on a fresh draw.

    A batch that raises is run again image by image; images that still raise, or give NaN, count
    as broken.

    Raises:
        CellError: The defense returned what its contract forbids.
    """
    parts = []
    for batch in _batches(attacked, images, batch_size):
        try:
            parts.append(_score(defense, *batch, num_classes, topk))
        except ContractError as error:
            raise CellError(error.message, hint=error.hint) from error
        except Exception:
            parts += [_score_one(defense, *row, num_classes, topk) for row in _batches(*batch, 1)]
    return Scores(
        prediction=torch.cat([p.prediction for p in parts]),
        rank=torch.cat([p.rank for p in parts]),
        broken=torch.cat([p.broken for p in parts]),
        psnr=torch.cat([p.psnr for p in parts]),
        ssim=torch.cat([p.ssim for p in parts]),
        errors=[error for p in parts for error in p.errors],
    )


def _batches(attacked: Tensor, images: Images, size: int) -> Iterator[tuple[Tensor, Images]]:
    return zip(attacked.split(size), images.split(size), strict=True)


def _score_one(
    defense: BuiltDefense, attacked: Tensor, image: Images, num_classes: int, topk: int
) -> Scores:
    try:
        return _score(defense, attacked, image, num_classes, topk)
    except ContractError as error:
        raise CellError(error.message, hint=error.hint) from error
    except Exception as error:
        nothing = torch.full((1,), torch.nan)
        return Scores(
            prediction=torch.tensor([-1]),
            rank=torch.tensor([num_classes]),
            broken=torch.tensor([True]),
            psnr=nothing,
            ssim=nothing,
            errors=[f"{type(error).__name__}: {error}"],
        )


@torch.no_grad()
def _score(
    defense: BuiltDefense, attacked: Tensor, images: Images, num_classes: int, topk: int
) -> Scores:
    owner, count = f"defense {defense.name!r}", len(attacked)
    view, before = defense.protected.view("exact"), attacked.clone()
    with view.draws(images.ids, 1, "score"):
        defended = view.defend(attacked)
        check_defended(owner, defended, *attacked.shape[:2])
        logits = check_logits(owner, view.classify(defended, count), count, num_classes)
    if not torch.equal(attacked, before):
        raise ContractError(f"{owner} changed its input images", hint="clone them first")
    failed = ~torch.isfinite(logits).all(dim=1)
    prediction = logits.argmax(dim=1)
    label = logits.gather(1, images.y[:, None])
    clean = images.x
    same_size = resize(defended, (clean.shape[-2], clean.shape[-1])).clamp(0.0, 1.0)
    broken = fooled(logits, images.y, target=images.target, topk=topk)
    errors = ["logits are NaN or infinite" if f else None for f in failed.tolist()]
    return Scores(
        prediction=torch.where(failed, -1, prediction).cpu(),
        rank=torch.where(failed, num_classes, (logits > label).sum(dim=1)).cpu(),
        broken=(failed | broken).cpu(),
        psnr=psnr(same_size, clean).cpu(),
        ssim=ssim(same_size, clean).cpu(),
        errors=errors,
    )
