"""Input transformations, gradient views and draws."""

import copy

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import InputTransform, Protected, Random
from superdef_bench.core.transform import resize
from superdef_bench.testing import toy_images, toy_model, toy_task


class Identity(InputTransform):
    def transform(self, x: Tensor) -> Tensor:
        return x


class Double(InputTransform):
    def transform(self, x: Tensor) -> Tensor:
        return resize(x, (2 * x.shape[-2], 2 * x.shape[-1]))


class Round(InputTransform):
    differentiable = False

    def transform(self, x: Tensor) -> Tensor:
        return (x * 7).round() / 7


class Noise(InputTransform):
    stochastic = True

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return (x + 0.1 * random.normal(*x.shape[1:])).clamp(0, 1)


class Mirror(InputTransform):
    """Backward through a stand-in that is not the identity."""

    differentiable = False

    def transform(self, x: Tensor) -> Tensor:
        return (x * 7).round() / 7

    def bpda_surrogate(self, x: Tensor) -> Tensor:
        return 3 * x


def gradient(view: nn.Module, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(view(leaf)[..., 0].sum(), leaf)[0]


def protect(*stages: InputTransform) -> Protected:
    model: nn.Module = toy_model()
    for stage in reversed(stages):
        model = stage.protect(model, toy_task())
    assert isinstance(model, Protected)
    return model.eval()


def test_bpda_through_identities_is_the_exact_gradient_bit_for_bit() -> None:
    x, _ = toy_images()
    protected = protect(Identity(), Identity())
    assert torch.equal(protected.view("bpda")(x), protected.view("exact")(x))
    assert torch.equal(gradient(protected.view("bpda"), x), gradient(protected.view("exact"), x))


def test_bpda_forward_is_exact_and_backward_is_its_surrogate() -> None:
    x, _ = toy_images()
    rounded = (x * 7).round() / 7
    for stage, factor in ((Round(), 1.0), (Mirror(), 3.0)):
        view = protect(stage).view("bpda")
        assert torch.equal(view(x), toy_model()(rounded))
        torch.testing.assert_close(gradient(view, x), factor * gradient(toy_model(), rounded))
    assert gradient(protect(Round()).view("exact"), x).abs().max() == 0


class Slow(Mirror):
    """A process of which attacks get another one."""

    def attack_view(self) -> InputTransform:
        return Round()


def test_an_attack_view_stands_in_where_an_attack_goes_around_alone() -> None:
    x, _ = toy_images()
    protected = protect(Identity(), Slow())
    assert protected.has_attack_view
    assert not protect(Identity(), Mirror()).has_attack_view
    assert torch.equal(protected.view("exact")(x), toy_model()((x * 7).round() / 7))
    seen = protected.view("bpda")
    assert [type(stage) for stage in seen.transforms] == [Identity, Round]
    # Round goes back through the identity, Mirror through three times that.
    torch.testing.assert_close(gradient(seen, x), gradient(toy_model(), (x * 7).round() / 7))
    assert [type(s) for s in seen.view("exact").transforms] == [Identity, Slow]
    assert not seen.transforms[1].training


class Codec(InputTransform):
    """Leaves torch on its way."""

    differentiable = False

    def transform(self, x: Tensor) -> Tensor:
        return torch.from_numpy((x.detach().numpy() * 7).round() / 7)


def test_a_hidden_gradient_is_zero_whether_or_not_weights_ask_for_theirs() -> None:
    x, _ = toy_images()
    for trained in (False, True):
        model = toy_model().requires_grad_(trained)
        view = Codec().protect(model, toy_task()).eval()
        assert torch.equal(gradient(view, x), torch.zeros_like(x))


def test_what_protect_returns_is_a_module_like_any_other() -> None:
    x, _ = toy_images()
    protected = protect(Round(), Double())
    again = copy.deepcopy(protected).to("cpu").eval()
    again.load_state_dict(protected.state_dict())
    assert torch.equal(again(x), protected(x))
    assert len(list(again.parameters())) == len(list(toy_model().parameters()))


def test_a_plugin_with_the_old_name_of_the_method_still_goes_back_through_it() -> None:
    class Old(InputTransform):
        differentiable = False

        def transform(self, x: Tensor) -> Tensor:
            return (x * 7).round() / 7

        def surrogate(self, x: Tensor) -> Tensor:
            return 3.0 * super().surrogate(x)

    class Older(Old):
        pass

    class OnANewOne(Mirror):
        def surrogate(self, x: Tensor) -> Tensor:
            return 2.0 * super().surrogate(x)

    x, _ = toy_images()
    exact = gradient(toy_model(), (x * 7).round() / 7)
    for stage, factor in ((Old(), 3.0), (Older(), 3.0), (OnANewOne(), 6.0)):
        torch.testing.assert_close(gradient(protect(stage).view("bpda"), x), factor * exact)
        assert torch.equal(stage.surrogate(x), stage.bpda_surrogate(x))


def test_the_old_name_counts_wherever_it_is_defined() -> None:
    class Twice:
        def surrogate(self, x: Tensor) -> Tensor:
            return 2.0 * x

    class Mixed(Twice, Round):
        pass

    on_itself = Round()
    setattr(on_itself, "surrogate", Twice().surrogate)  # noqa: B010  # a method, as a plugin may
    x, _ = toy_images()
    exact = gradient(toy_model(), (x * 7).round() / 7)
    for stage in (Mixed(), on_itself):
        torch.testing.assert_close(gradient(protect(stage).view("bpda"), x), 2.0 * exact)


def test_chains_keep_the_backward_of_each_stage() -> None:
    x, _ = toy_images()
    rounded = (x * 7).round() / 7
    leaf = rounded.clone().requires_grad_()
    logits = toy_model()(Double()(leaf))
    expected = torch.autograd.grad(logits[:, 0].sum(), leaf)[0]
    got = gradient(protect(Round(), Double()).view("bpda"), x)
    # The default `bpda_surrogate` of the second stage is the same bicubic enlargement.
    torch.testing.assert_close(got, expected)


def test_resize_back_keeps_the_size_of_the_input() -> None:
    x, _ = toy_images()
    stage = Double()
    assert stage(x).shape[-1] == 64
    stage.output = "resize_back"
    assert stage(x).shape == x.shape
    assert gradient(protect(stage).view("bpda"), x).shape == x.shape


def test_bicubic_is_the_one_of_pil() -> None:
    import numpy as np
    from PIL import Image

    x, _ = toy_images(1)
    for size in (64, 20):
        ours = resize(x, (size, size))[0]
        theirs = [
            np.asarray(
                Image.fromarray(plane.numpy()).resize((size, size), Image.Resampling.BICUBIC)
            )
            for plane in x[0]
        ]
        assert float((ours - torch.from_numpy(np.stack(theirs))).abs().max()) < 1e-5


def test_passes_are_counted_per_image_and_draw() -> None:
    x, ids = toy_images()
    view = protect(Noise()).view("exact")
    leaf = x.clone().requires_grad_()
    with view.draws(ids, 3, "attack"):
        torch.autograd.grad(view(leaf).sum(), leaf)
    view(x)
    assert (view.passes.forwards, view.passes.backwards) == (4 * len(x), 3 * len(x))
    assert protect(Noise()).view("exact").passes.forwards == 0


def test_logits_inside_draws_have_a_draw_axis() -> None:
    x, ids = toy_images()
    for protected in (protect(Noise()), protect(Identity()), Protected((), toy_model())):
        with protected.draws(ids, 3, "score"):
            assert protected(x).shape == (3, len(x), 10)
        assert protected(x).shape == (len(x), 10)


def defended(ids: Tensor, x: Tensor, n: int, purpose: str = "score") -> Tensor:
    view = protect(Noise()).view("exact", seed=5)
    with view.draws(ids, n, purpose):  # type: ignore[arg-type]  # parametrised
        return view.defend(x).unflatten(0, (n, len(x)))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_draws_belong_to_the_image_not_to_its_batch(size: int) -> None:
    x, ids = toy_images(64)
    whole = defended(ids, x, 2)
    parts = [
        defended(key, image, 2) for key, image in zip(ids.split(size), x.split(size), strict=True)
    ]
    assert torch.equal(whole, torch.cat(parts, dim=1))


def test_every_call_takes_the_next_draws_and_purposes_never_share_one() -> None:
    x, ids = toy_images()
    view = protect(Noise()).view("exact", seed=5)
    with view.draws(ids, 1, "score"):
        first, second = view.defend(x), view.defend(x)
    both = defended(ids, x, 2)
    assert torch.equal(both[0], first)
    assert torch.equal(both[1], second)
    assert not torch.equal(first, second)
    assert not torch.equal(first, defended(ids, x, 1, "attack")[0])


def test_a_bpda_surrogate_gets_the_draw_of_the_forward_pass() -> None:
    seen = []

    class Recorder(InputTransform):
        stochastic = True
        differentiable = False

        def transform(self, x: Tensor, *, random: Random) -> Tensor:
            seen.append(random.uniform(4))
            return x

        def bpda_surrogate(self, x: Tensor, *, random: Random) -> Tensor:
            seen.append(random.uniform(4))
            return x

    x, ids = toy_images()
    view = protect(Recorder()).view("bpda")
    with view.draws(ids, 1, "attack"):
        gradient(view, x)
    assert torch.equal(seen[0], seen[1])


def test_gradients_come_back_contiguous() -> None:
    x, _ = toy_images()
    model = protect(Identity()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no memory_format
    leaf = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    found = []
    leaf.register_hook(lambda g: found.append(g.is_contiguous()))
    model(leaf).sum().backward()
    assert found == [True]
