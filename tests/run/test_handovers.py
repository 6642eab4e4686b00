"""Plugins that change what they are handed: it is put back, named, and no other row moves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from superdef_bench.core.errors import CellError
from superdef_bench.core.handover import HandOver
from superdef_bench.core.watch import Watch
from superdef_bench.results.load import load_results
from tests.support.commands import Answer, records, with_rows
from tests.support.counts import count

pytestmark = pytest.mark.faults

ATTACKS = """
import torch
from torch import nn
from superdef_bench import InputTransform, hookimpl

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.norm = nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 64, 20)

    def forward(self, x):
        return self.head(self.norm(self.convolution(x)).relu().flatten(1))

class Evil:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "gradient"

    def __call__(self, model, x, y, threat, context):
        net = model.classifier
        self.act(model, net, net.convolution, net.norm, x)
        return x

@hookimpl
def register_attacks():
    return {kind.__name__: kind for kind in Evil.__subclasses__()}

@hookimpl
def register_models():
    return {"small": Small}
"""

ONE = """
class {name}(Evil):
    def act(self, model, net, convolution, norm, x):
        {body}
"""

# Each changes what other rows see; the words are what the error must say of it.
CHANGES = {
    "convolution.weight.data.mul_(0.5)": "weights (classifier.",
    "convolution.weight.detach().numpy()[0, 0, 0, 0] += 1e-3": "weights (classifier.",
    "convolution.weight.data = convolution.weight.data * 0.5": "weights (classifier.",
    "convolution.weight = nn.Parameter(convolution.weight * 0.5)": "parameters of classifier.",
    "norm.running_mean.add_(0.1)": "running_mean",
    "net.train(); model(x)": "the training mode of classifier",
    "net.register_forward_hook(lambda m, i, o: -o)": "hooks of classifier",
    "convolution.forward = lambda x: x": "forward of classifier.",
    "norm.eps = 1.0": "eps of classifier.",
    "net.extra = nn.Linear(1, 1)": "modules of classifier",
    "type(net).forward = lambda self, x: x": "the code of",
    "nn.modules.module.register_module_forward_hook(lambda m, i, o: o)": "hooks of all modules",
    "torch.set_grad_enabled(False)": "the grad mode",
    "torch.set_default_dtype(torch.float64)": "the default dtype",
}


def rows(run: Path) -> dict[str, object]:
    """Return verdicts and predictions of all records but those of attacks that misbehave."""
    return {
        f"{row['defense']}/{row['rung']}/{row['attack']}/{row['eps']}/{row['image_id']}": (
            row["bits"],
            row["prediction"],
            row["linf"],
        )
        for row in records(run)
        if not row["attack"].startswith("evil")
    }


def small(attacks: str) -> str:
    """Return a config of the plugin's own network, which takes one size."""
    text = with_rows(attacks).replace("signs_resnet8", "small")
    return text.replace("bicubic_x2", "bit_depth")


def test_an_attack_that_changes_the_classifier_moves_no_other_row(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    names = {f"evil{number}": body for number, body in enumerate(CHANGES)}
    evil = [ONE.format(name=name, body=body) for name, body in names.items()]
    folder = plugin_folder(ATTACKS + "".join(evil))
    attacks = "\n".join(f"{name} = {{}}" for name in names)
    for name, text in (("good", ""), ("bad", attacks)):
        path = config(small(text), name)
        answer = run_cli("run", path, "--plugins-dir", folder)
        assert answer.code == (name == "bad"), answer.err
    failures: dict[str, str] = {}
    for failure in load_results(Path("runs/bad")).failures:
        failures.setdefault(failure.attack, failure.error)
    assert failures.keys() == names.keys()
    for name, body in names.items():
        assert failures[name].startswith(f"attack {name!r} changed "), body
        assert CHANGES[body] in failures[name], (body, failures[name])
    found, undisturbed = rows(Path("runs/bad")), rows(Path("runs/good"))
    wrong = sum(found.get(key) != value for key, value in undisturbed.items())
    count("plugins that change the classifier", tried=len(CHANGES), wrong=wrong)
    assert found == undisturbed


DEFENSE = """
import torch
from superdef_bench import InputTransform, hookimpl

class Evil(InputTransform):
    calls = 0
    {attribute}

    def transform(self, x{random}):
        self.calls += 1
        if self.calls > 8:  # not yet while it is built
            {body}
        return x

@hookimpl
def register_defenses():
    return {{"evil": Evil}}
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("torch.set_default_dtype(torch.float64)", "changed the default dtype"),
        ("torch.rand(1)", "changed the global generators"),
        ("torch.manual_seed(271828)", "changed the global generators"),
    ],
)
def test_a_defense_that_changes_the_process_fails_its_own_cells(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[..., Path],
    body: str,
    words: str,
) -> None:
    folder = plugin_folder(DEFENSE.format(attribute="", random="", body=body))
    text = with_rows(defenses="evil = {}")
    answer = run_cli("run", config(text), "--plugins-dir", folder)
    assert answer.code == 1
    assert f"defense 'evil' {words}" in " ".join(answer.err.split())
    results = load_results(Path("runs/tiny"))
    assert {failure.defense for failure in results.failures} == {"evil"}
    name = "bicubic_x2 (native)"
    assert results.row(defense=name, rung="white_box", attack="fgsm", eps=8 / 255) is not None


def test_a_network_that_counts_its_calls_is_no_offender(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    body = "self.size = tuple(x.shape)"
    folder = plugin_folder(DEFENSE.format(attribute="size = ()", random="", body=body))
    text = with_rows(defenses="evil = {}")
    answer = run_cli("run", config(text), "--plugins-dir", folder)
    assert answer.code == 0, answer.err


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 1).half())
    layers.register_buffer("flags", torch.tensor([True, False, True]))
    return layers.eval()


def test_one_bit_in_any_tensor_is_noticed_and_put_back() -> None:
    network = net()
    watch = Watch()
    watch.add("net", network)
    assert watch.changes() == []
    flips = 0
    for name, tensor in network.state_dict().items():
        if not tensor.numel():
            continue
        raw = tensor.detach().flatten().view(torch.uint8)
        for place in range(0, len(raw), max(1, len(raw) // 8)):
            for bit in (0, 7):
                raw[place] ^= 1 << bit
                assert "net." + name in watch.changes()[0], (name, place, bit)
                assert watch.changes() == []
                flips += 1
    assert flips > 100
    count("bits of networks", tried=flips)


def test_version_counters_miss_what_the_bytes_show() -> None:
    network = net()
    norm, convolution = network[1], network[0]
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(convolution, nn.Conv2d)
    assert norm.running_mean is not None
    watch = Watch()
    watch.add("net", network)
    before = [tensor._version for tensor in network.state_dict().values()]
    norm.running_mean.numpy()[0] = 3.0
    convolution.weight.data.add_(1.0)
    assert [tensor._version for tensor in network.state_dict().values()] == before
    assert watch.changes() == ["weights (net.0.weight, net.1.running_mean)"]
    assert float(norm.running_mean[0]) == 0.0
    norm.train()
    with torch.no_grad():
        norm(torch.rand(2, 5, 4, 4))
    norm.eval()
    assert norm.running_mean._version == before[list(network.state_dict()).index("1.running_mean")]
    changed = "weights (net.1.running_mean, net.1.running_var, net.1.num_batches_tracked)"
    assert watch.changes() == [changed]


def test_two_words_that_change_places_are_noticed() -> None:
    network = nn.Linear(64, 64)
    watch = Watch()
    watch.add("net", network)
    weight = network.weight.data
    for first, second in ((0, 1), (3, 40), (10, 11)):
        weight[:, [first, second]] = weight[:, [second, first]]
        assert watch.changes() == ["weights (net.weight)"]


def test_what_changed_is_put_back_even_where_the_call_failed() -> None:
    network = net()
    guard = HandOver()
    guard.add("net", network)

    def fail() -> None:
        network.train()
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"), guard.to("attack 'a'"):
        fail()
    assert not network.training
    with (
        pytest.raises(CellError, match="attack 'a' changed the training mode of net"),
        guard.to("attack 'a'"),
    ):
        network.train()
    assert not network.training
