"""Ask a protected classifier what it sees in adversarial images. Only this decides success."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from superdef_bench.benchmark import BuiltDefense
from superdef_bench.checks import check_defended, check_logits
from superdef_bench.errors import CellError, ContractError
from superdef_bench.quality import psnr, ssim
from superdef_bench.transform import resize


@dataclass
class Scores:
    """What a protected classifier says of images, per image.

    Attributes:
        prediction: Class, -1 where it failed, `(N,)`.
        rank: Classes with a higher logit than the label; K where it failed, `(N,)`.
        broken: Whether the label is not the prediction, `(N,)`.
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
    images: Tensor,
    clean: Tensor,
    y: Tensor,
    ids: Tensor,
    num_classes: int,
    *,
    batch_size: int,
) -> Scores:
    """Classify images `(N, C, H, W)` with the whole defense, on a fresh draw.

    A batch that raises is run again image by image; images that still raise, or give NaN, count
    as broken.

    Raises:
        CellError: The defense returned what its contract forbids.
    """
    parts = []
    for batch in _batches(images, clean, y, ids, batch_size):
        try:
            parts.append(_score(defense, *batch, num_classes))
        except ContractError as error:
            raise CellError(error.message, hint=error.hint) from error
        except Exception:
            parts += [_score_one(defense, *row, num_classes) for row in _batches(*batch, 1)]
    return Scores(
        prediction=torch.cat([p.prediction for p in parts]),
        rank=torch.cat([p.rank for p in parts]),
        broken=torch.cat([p.broken for p in parts]),
        psnr=torch.cat([p.psnr for p in parts]),
        ssim=torch.cat([p.ssim for p in parts]),
        errors=[error for p in parts for error in p.errors],
    )


def _batches(
    images: Tensor, clean: Tensor, y: Tensor, ids: Tensor, size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    pieces = (images.split(size), clean.split(size), y.split(size), ids.split(size))
    return zip(*pieces, strict=True)


def _score_one(
    defense: BuiltDefense, image: Tensor, clean: Tensor, y: Tensor, ids: Tensor, num_classes: int
) -> Scores:
    try:
        return _score(defense, image, clean, y, ids, num_classes)
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
    defense: BuiltDefense, images: Tensor, clean: Tensor, y: Tensor, ids: Tensor, num_classes: int
) -> Scores:
    owner = f"defense {defense.name!r}"
    view, before = defense.protected.view("exact"), images.clone()
    with view.draws(ids, 1, "score"):
        defended = view.defend(images)
        check_defended(owner, defended, *images.shape[:2])
        logits = check_logits(owner, view.classify(defended, len(images)), len(images), num_classes)
    if not torch.equal(images, before):
        raise ContractError(f"{owner} changed its input images", hint="clone them first")
    failed = ~torch.isfinite(logits).all(dim=1)
    prediction = logits.argmax(dim=1)
    label = logits.gather(1, y[:, None])
    same_size = resize(defended, (clean.shape[-2], clean.shape[-1])).clamp(0.0, 1.0)
    errors = ["logits are NaN or infinite" if f else None for f in failed.tolist()]
    return Scores(
        prediction=torch.where(failed, -1, prediction).cpu(),
        rank=torch.where(failed, num_classes, (logits > label).sum(dim=1)).cpu(),
        broken=(failed | (prediction != y)).cpu(),
        psnr=psnr(same_size, clean).cpu(),
        ssim=ssim(same_size, clean).cpu(),
        errors=errors,
    )
