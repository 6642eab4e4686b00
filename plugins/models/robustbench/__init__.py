"""The model zoo of RobustBench, through its own loader."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from torch import Tensor, nn

from superdef_bench import DataError, Download, data_directory, hookimpl
from superdef_bench.nn import check_name, from_file, guarded, read_checkpoint, say_unpinned

_LEAST = 0.9  # of the parameters must come from the file; some models fold or add a few
_Dataset = Literal["cifar10", "cifar100", "imagenet"]
_Threat = Literal["Linf", "L2", "corruptions"]


def robustbench_model(
    *, name: str, dataset: _Dataset = "cifar10", threat_model: _Threat = "Linf"
) -> nn.Module:
    """Any model of RobustBench (Croce et al., NeurIPS Datasets and Benchmarks 2021).

    Downloaded once, into `models/<dataset>/<threat model>` of the data folder, as RobustBench
    lays it out. Files are read as data only; code in them is refused. The zoo has no hashes: a line
    on stderr says which a download has.

    Args:
        name: As RobustBench spells it, such as `Wong2020Fast`.
        dataset: What it was trained on.
        threat_model: The part of the zoo it stands in.

    Raises:
        ConfigError: The zoo has no such model.
        DataError: The download fails, or the file is damaged, code, or of another architecture.
    """
    zoo = _zoo(name, dataset, threat_model)
    with guarded():
        from robustbench.utils import load_model
    folder = data_directory() / "models"
    path = folder / dataset / threat_model / f"{name}.pt"
    contents = []
    for file, key in _files(path, zoo[name]["gdrive_id"]).items():
        if not file.exists():
            _download(name, key, file)
            say_unpinned(f"{file.name} of RobustBench", file)
        contents.append(read_checkpoint(file))
    try:
        with guarded(hub=folder / "torchvision"):
            model: nn.Module = load_model(
                name, model_dir=folder, dataset=dataset, threat_model=threat_model
            )
    except OSError as error:
        raise _no_download(name, error, "they come from the web; go online once") from error
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        detail = " ".join(" ".join(str(error).splitlines()[:2]).split())[:160]
        raise _another(path, name, detail) from error
    if not contents:
        say_unpinned(f"what RobustBench loads as {name}")
    else:
        taken, count = _taken(model, contents)
        # RobustBench drops strictness for some models, and would leave a network untrained.
        if taken < _LEAST * count:
            raise _another(path, name, f"it gave {taken} of {count} parameters")
    return from_file(model, path).eval() if len(contents) == 1 else model.eval()


def _zoo(
    name: str, dataset: str = "cifar10", threat_model: str = "Linf"
) -> Mapping[str, Mapping[str, Any]]:
    """Return a part of the zoo; ConfigError if it has no model of that name."""
    from .autoattack_alias import install_alias

    install_alias()
    with guarded():
        from robustbench.model_zoo import model_dicts
        from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel
    zoo: Mapping[str, Mapping[str, Any]]
    zoo = model_dicts[BenchmarkDataset(dataset)].get(ThreatModel(threat_model), {})
    check_name(f"RobustBench model for {dataset} {threat_model}", name, zoo)
    return zoo


def _downloads(name: str, dataset: str = "cifar10", threat_model: str = "Linf") -> list[Download]:
    """Return the files of a model that are not there yet."""
    folder = data_directory() / "models"
    path = folder / dataset / threat_model / f"{name}.pt"
    files = _files(path, _zoo(name, dataset, threat_model)[name]["gdrive_id"])
    if not files:
        return [Download(f"weights of {name}", "", folder / "torchvision" / "checkpoints")]
    return [
        Download(f"weights of {name}", _address(key), file)
        for file, key in files.items()
        if not file.exists()
    ]


# Names are looked up before the images of a benchmark are downloaded.
robustbench_model.check_values = _zoo  # type: ignore[attr-defined]  # read by the benchmark
robustbench_model.downloads = _downloads  # type: ignore[attr-defined]  # as above


def _files(path: Path, drive: str | list[str] | None) -> dict[Path, str]:
    """Return the files of a model and their keys on Google Drive; none for other places."""
    if isinstance(drive, list):
        return {Path(f"{path}_m{number}.pt"): key for number, key in enumerate(drive)}
    return {path: drive} if drive else {}


def _address(key: str) -> str:
    return f"https://drive.google.com/uc?id={key}"


def _another(path: Path, name: str, detail: str) -> DataError:
    return DataError(
        f"checkpoint {path} is not of {name}: {detail}",
        hint="delete the file; the next run gets it again",
    )


def _no_download(name: str, error: Exception, hint: str) -> DataError:
    reason = " ".join(str(error).split())[:120]
    return DataError(
        f"the weights of {name} cannot be downloaded: {type(error).__name__}: {reason}", hint=hint
    )


def _download(name: str, key: str, file: Path) -> None:
    """Get a file from Google Drive as RobustBench does; half a file never gets its name."""
    from robustbench.utils import download_gdrive_new

    file.parent.mkdir(parents=True, exist_ok=True)
    hint = f"get {_address(key)} (size not known beforehand) with a browser and save it as {file}"
    with TemporaryDirectory(dir=file.parent, prefix=".download-") as place:
        part = Path(place) / file.name
        try:
            with guarded():
                download_gdrive_new(key, part)
        except Exception as error:  # gdown and requests raise many kinds
            raise _no_download(name, error, hint) from error
        part.replace(file)


def _taken(model: nn.Module, contents: Any) -> tuple[int, int]:
    """Return how many parameter tensors of a model stand in files, and how many it has."""
    known = {_mark(tensor) for tensor in _tensors(contents)}
    marks = [_mark(parameter.detach()) for parameter in model.parameters()]
    return sum(mark in known for mark in marks), len(marks)


def _mark(tensor: Tensor) -> tuple[tuple[int, ...], float]:
    return tuple(tensor.shape), float(tensor.float().double().sum())


def _tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors(value)


@hookimpl
def register_models() -> dict[str, object]:
    return {"robustbench": robustbench_model}
