"""Examples of a bank in one file of torch.save, and back under their keys."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import ConfigError, DataError, did_you_mean
from superdef_bench.core.fingerprint import tensors as digest
from superdef_bench.core.threats import parse_eps
from superdef_bench.io.files import written_whole
from superdef_bench.run.bank.check import CleanImages, checked, read_kept
from superdef_bench.run.bank.index import Holding, Index, Kept, example_file
from superdef_bench.run.bank.origin import (
    IMAGES,
    SCHEMA,
    SCHEMA_KEY,
    Origin,
    check_schema,
    parse_origin,
    write_origin,
)
from superdef_bench.run.bank.sign import Signer, harness_fingerprint
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.bank.tensor_file import ADVERSARIAL, TensorFile, read_tensor_file
from superdef_bench.run.cells import Plan, example_key
from superdef_bench.run.claim import BANK, claim

FORMAT = "superdef-bench examples"
_LABELS, _IMAGES, _BY_BATCH = "labels", "images", "batch_dependent"
_ANOTHER = "take the export of a run of the same config, or import it into a new folder"
_MOST = 2**31 - 1  # of what is counted: steps are 32 bits in a record
_EFFORT = ("first_step", "forwards", "backwards", "seconds")


@dataclass(frozen=True)
class Part:
    """The examples of one file of the bank.

    Attributes:
        origin: What made them.
        stored: Its tensors, as the bank keeps them.
    """

    origin: Origin
    stored: Mapping[str, Tensor]


def choose(index: Index, attack: str, *, eps: str = "", source: str = "") -> Holding:
    """Return the examples of an attack.

    Args:
        index: What the bank holds.
        attack: Name of its row.
        eps: Radius; the largest where empty.
        source: The defense, or other classifier, that they were made on; the bare one where empty.

    Raises:
        ConfigError: The bank has none of that name, source or radius.
        DataError: It has several, of other settings.
    """
    found = [held for held in index.holdings if _is(held.origin.attack, attack)]
    if not found:
        raise ConfigError(
            f"the bank holds no examples that are known to be of attack {attack!r}",
            hint=did_you_mean(attack, {held.origin.attack for held in index.holdings}),
        )
    on = [held for held in found if (not source) == held.origin.bare]
    on = [held for held in on if not source or _is(held.origin.source, source)]
    if not on:
        known = " or ".join(sorted({held.origin.made_on for held in found}))
        raise ConfigError(
            f"the bank holds no examples of {attack!r} on {source or 'the bare classifier'!r}",
            hint=f"it holds those on: {known}",
        )
    radius = parse_eps(eps) if eps else max(held.origin.radius or 0.0 for held in on)
    at = [held for held in on if (held.origin.radius or 0.0) == radius]
    if not at:
        known = " or ".join(dict.fromkeys(held.origin.eps for held in on))
        hint = f"take {known}" if known else "leave --eps out: the attack has no ball"
        raise ConfigError(f"the bank holds no examples of {attack!r} at eps {eps!r}", hint=hint)
    if len(at) > 1:
        raise DataError(
            f"the bank holds {len(at)} sets of {attack!r} that differ in arguments, seed or code",
            hint="run the one config that is meant into a folder of its own",
        )
    return at[0]


def _is(name: str, asked: str) -> bool:
    return asked in (name, name.partition(" (")[0])


def export(held: Holding, path: Path) -> int:
    """Write examples into one file; return how many.

    Args:
        held: What `choose` found.
        path: File of `torch.save`, which `torch.load` reads with `weights_only`.

    Raises:
        DataError: A file of the bank is damaged or lacking, or `path` cannot be written.
    """
    parts = [_read(file) for file in _longest(held)]
    shared = parts[0].origin.shared
    content: dict[str, Any] = {
        ADVERSARIAL: torch.cat([part.stored[_IMAGES] for part in parts]),
        _LABELS: torch.tensor([label for part in parts for label in part.origin.labels]),
        **{name: torch.cat([part.stored[name] for part in parts]) for name in _EFFORT},
        "format": FORMAT,
        SCHEMA_KEY: SCHEMA,
        **shared,
        "ids": [name for part in parts for name in part.origin.ids],
        "digests": [each for part in parts for each in part.origin.digests],
        "parts": [
            {
                "key": part.origin.key,
                "start": part.origin.start,
                "count": len(part.origin.ids),
                _BY_BATCH: bool(part.stored[_BY_BATCH]),
                "sha256": digest(part.stored),
            }
            for part in parts
        ],
    }
    packed = io.BytesIO()
    torch.save(content, packed)
    with written_whole(path) as file:
        file.write(packed.getbuffer())
    return len(content["ids"])


def _longest(held: Holding) -> Iterator[Kept]:
    """Yield the files that hold each image once: a run of fewer images left shorter ones."""
    end = 0
    for file in held.files:
        assert file.origin is not None
        if file.origin.start > end:
            raise DataError(
                f"the bank lacks images {end + 1:,} to {file.origin.start:,} of "
                f"{held.origin.attack!r}",
                hint="run the config again into the folder",
            )
        if file.origin.start == end:
            yield file
            end += len(file.origin.ids)


def _read(file: Kept) -> Part:
    assert file.origin is not None
    try:
        stored = read_kept(file)
        checked(stored, file.origin, None)
    except ValueError as error:
        raise DataError(
            f"examples {file.path} are damaged: {error}",
            hint="run the config into a new folder, and export from there",
        ) from error
    return Part(file.origin, stored)


def read_export(path: Path) -> list[Part]:
    """Read what `export` wrote, and hold it to all that it says of itself.

    Raises:
        DataError: It is no such file, of another schema, damaged, contradicts itself, or was made
            by other code than this.
    """
    file = read_tensor_file(path)
    if file.facts.get("format") != FORMAT:
        raise DataError(
            f"{path} holds examples, but not what made them: a bank cannot keep those",
            hint=f"superdef-bench verify submission {path} --config CONFIG scores them",
        )
    check_schema(file.facts, f"export {path}")
    try:
        parts = list(_parts(file))
    except (ValueError, TypeError, KeyError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(
            f"export {path} is damaged: {why}", hint="superdef-bench bank export writes it again"
        ) from error
    if any(part.origin.harness != harness_fingerprint() for part in parts):
        raise DataError(
            f"export {path} was made by other code or libraries: a run here would not look for it",
            hint="export and import with the same version of superdef-bench and torch",
        )
    return parts


def _parts(file: TensorFile) -> Iterator[Part]:
    facts, found = file.facts, file.tensors
    count = len(found[ADVERSARIAL]) if found[ADVERSARIAL].ndim else 0
    for name in (_LABELS, *_EFFORT):
        if tuple(found[name].shape) != (count,):
            raise ValueError(f"{name} has shape {tuple(found[name].shape)}, not ({count},)")
        if not bool(((found[name] >= -1) & (found[name] <= _MOST)).all()):  # records hold no others
            raise ValueError(f"{name} has numbers that no attack counts")
    shared = {
        name: facts[name] for name in Origin.model_fields if name not in IMAGES and name in facts
    }
    listed = facts["parts"]
    counts = [part["count"] for part in listed]
    if not all(type(each) is int and each > 0 for each in counts) or sum(counts) != count:
        raise ValueError(f"its parts are not of its {count} images")
    if not len(facts["ids"]) == len(facts["digests"]) == count:
        raise ValueError(f"its ids and digests are not as many as its {count} images")
    begin = 0
    for part in listed:
        here = slice(begin, begin + part["count"])
        told = {
            **shared,
            "key": part["key"],
            "start": part["start"],
            "ids": facts["ids"][here],
            "labels": found[_LABELS][here].tolist(),
            "digests": facts["digests"][here],
        }
        origin = parse_origin(told)
        # Copies: a file may let two names share memory, which the bank's files cannot.
        stored = {name: found[name][here].clone() for name in _EFFORT}
        stored[_IMAGES] = found[ADVERSARIAL][here].clone()
        stored[_BY_BATCH] = torch.tensor(part[_BY_BATCH] is True)
        checked(stored, origin, None)
        if part["sha256"] != digest(stored):
            raise ValueError("its tensors are not what was written")
        yield Part(origin, stored)
        begin = here.stop


def check_fits(parts: Sequence[Part], benchmark: Benchmark, plan: Plan, path: Path) -> None:
    """Raise DataError unless a run would take examples for its own.

    Args:
        parts: What `read_export` found.
        benchmark: That of the run folder.
        plan: Its cells.
        path: The export, for messages.
    """
    origin, task = parts[0].origin, benchmark.task
    wanted = (
        ("class names, or another order of them", origin.class_names, list(task.class_names)),
        ("a shape", origin.shape, list(task.input_shape)),
        ("a dataset", origin.dataset_sha256, task.sha256),
        ("a seed", origin.seed, benchmark.config.seed),
    )
    for what, theirs, ours in wanted:
        if theirs != ours:
            raise _otherwise(path, f"for {what} that the run does not have", theirs, ours)
    _check_attack(origin, benchmark, path)
    clean, signer = CleanImages(benchmark), Signer(benchmark, plan)
    for part in parts:
        try:
            checked(part.stored, part.origin, clean.of(part.origin))
            wanted_key = signer.key(part.origin.made_by, clean.shard(part.origin))
            if wanted_key not in (None, part.origin.key):
                raise DataError("it attacks more of the images, or in other batches")
        except (DataError, ValueError) as error:
            raise DataError(
                f"export {path} does not fit the run: {error}", hint=_ANOTHER
            ) from error


def _check_attack(origin: Origin, benchmark: Benchmark, path: Path) -> None:
    """Raise DataError where the run has the attack with another ball or other settings."""
    attack = next((each for each in benchmark.attacks if each.name == origin.attack), None)
    sources = [s for s in benchmark.sources if (s.rung, s.name) == (origin.rung, origin.source)]
    if attack is None or not sources:
        return  # another config may run into the folder, and have them
    radii = {threat: text for text, threat in attack.threats}
    if origin.threat not in radii:
        theirs = f"{origin.norm} {origin.eps}"
        raise _otherwise(path, "at an eps that the run does not have", theirs, [*radii.values()])
    if example_key(benchmark, attack, sources[0], origin.threat) != origin.made_by:
        raise _otherwise(path, "by other arguments, weights or plugins than the run's")


def _otherwise(path: Path, how: str, theirs: object = None, ours: object = None) -> DataError:
    between = "" if theirs is None else f": {str(theirs)[:60]}, not {str(ours)[:60]}"
    return DataError(f"export {path} was made {how}{between}", hint=_ANOTHER)


def put(parts: Sequence[Part], run: Path) -> int:
    """Put examples into the bank of a run folder, which is made; return how many files are new.

    Raises:
        DataError: The folder is being written by another process, or cannot be written.
    """
    new = 0
    with claim(run) as claimed:
        bank = Bank(run / BANK)
        for part in parts:
            claimed.check()
            file = example_file(run / BANK, part.origin.key)
            if bank.get(part.origin.key) is None:
                bank.put(part.origin.key, dict(part.stored))
                new += 1
            write_origin(file, part.origin)
    return new
