"""Ask a protected classifier what it sees in adversarial images. Only this decides success."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from superdef_bench.benchmark.built import BuiltDefense
from superdef_bench.core.calls import reason
from superdef_bench.core.checks import check_defended, check_logits, plain_tensor
from superdef_bench.core.errors import CellError, ContractError, InterruptError, UnavailableError
from superdef_bench.core.transform import resize
from superdef_bench.core.types import fooled
from superdef_bench.nn.quality import psnr, ssim
from superdef_bench.run.images import Images


@dataclass
class Scores:
    """What a protected classifier says of images, per image.

    Attributes:
        prediction: Class, the most frequent over draws, -1 where one failed, `(N,)`.
        rank: Classes with a higher logit than the label, the median over draws; K where one
            failed, `(N,)`.
        wrong: Whether each draw is wrong or reaches its target, `(draws, N)`.
        psnr: Of the image that the classifier saw at the first draw against the clean one, in
            dB, `(N,)`.
        ssim: Likewise.
        errors: Why an image failed, None where it did not.
    """

    prediction: Tensor
    rank: Tensor
    wrong: Tensor
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
    draws: int,
) -> Scores:
    """Classify `attacked`, `(N, C, H, W)`, with the whole defense, on fresh draws.

    A batch that raises is run again image by image; images that still raise, or give NaN, count
    as broken.

    Raises:
        CellError: The defense returned what its contract forbids, or a service does not answer.
    """
    parts = []
    for batch in _batches(attacked, images, batch_size):
        try:
            parts.append(_score(defense, *batch, num_classes, topk, draws))
        except (KeyboardInterrupt, InterruptError):
            raise
        except (ContractError, UnavailableError) as error:
            raise CellError(error.message, hint=error.hint) from error
        except BaseException:  # a plugin may raise anything, SystemExit too
            rows = _batches(*batch, 1)
            parts += [_score_one(defense, *row, num_classes, topk, draws) for row in rows]
    return Scores(
        prediction=torch.cat([p.prediction for p in parts]),
        rank=torch.cat([p.rank for p in parts]),
        wrong=torch.cat([p.wrong for p in parts], dim=1),
        psnr=torch.cat([p.psnr for p in parts]),
        ssim=torch.cat([p.ssim for p in parts]),
        errors=[error for p in parts for error in p.errors],
    )


def _batches(attacked: Tensor, images: Images, size: int) -> Iterator[tuple[Tensor, Images]]:
    return zip(attacked.split(size), images.split(size), strict=True)


def _score_one(
    defense: BuiltDefense, attacked: Tensor, image: Images, num_classes: int, topk: int, draws: int
) -> Scores:
    try:
        return _score(defense, attacked, image, num_classes, topk, draws)
    except (KeyboardInterrupt, InterruptError):
        raise
    except (ContractError, UnavailableError) as error:
        raise CellError(error.message, hint=error.hint) from error
    except BaseException as error:  # as above
        nothing = torch.full((1,), torch.nan)
        return Scores(
            prediction=torch.tensor([-1]),
            rank=torch.tensor([num_classes]),
            wrong=torch.ones(draws, 1, dtype=torch.bool),
            psnr=nothing,
            ssim=nothing,
            errors=[reason(error)],
        )


@torch.no_grad()
def _score(
    defense: BuiltDefense, attacked: Tensor, images: Images, num_classes: int, topk: int, draws: int
) -> Scores:
    owner, count, clean = f"defense {defense.name!r}", len(attacked), images.x
    view, before = defense.protected.view("exact"), attacked.clone()
    answers = []

    def checked(made: Tensor, images: int) -> Tensor:
        found = plain_tensor(owner, made)
        check_defended(owner, found, images, attacked.shape[1])
        return found

    for number in range(draws):
        with view.draws(images.ids, 1, "score"):
            seen, logits = view.answer(attacked, checked)
            answers.append(check_logits(owner, plain_tensor(owner, logits), count, num_classes))
        if not number:
            defended = resize(seen, (clean.shape[-2], clean.shape[-1])).clamp(0.0, 1.0)
    logits = torch.stack(answers)  # (draws, N, K)
    if not torch.equal(attacked, before):
        raise ContractError(f"{owner} changed its input images", hint="clone them first")
    nan = ~torch.isfinite(logits).all(dim=2)
    failed = nan.any(dim=0)
    label = logits.gather(2, images.y[None, :, None].expand(draws, -1, -1))
    wrong = nan | fooled(logits, images.y, target=images.target, topk=topk)
    errors = ["logits are NaN or infinite" if f else None for f in failed.tolist()]
    rank = (logits > label).sum(dim=2).median(dim=0).values
    return Scores(
        prediction=torch.where(failed, -1, logits.argmax(dim=2).mode(dim=0).values).cpu(),
        rank=torch.where(failed, num_classes, rank).cpu(),
        wrong=wrong.cpu(),
        psnr=psnr(defended, clean).cpu(),
        ssim=ssim(defended, clean).cpu(),
        errors=errors,
    )
