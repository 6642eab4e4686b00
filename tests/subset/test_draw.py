"""What is drawn for a subset: as many of each class, by the seed, and whole groups."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from superdef_bench import DataError
from superdef_bench.subset.draw import Pool, draw


def pool(groups: Mapping[str, Mapping[int, int]], names: str = "abc") -> Pool:
    """Return images of groups: how many of each class each has."""
    rows = [
        (f"{group}/{label}/{number}", label, group)
        for group, counts in groups.items()
        for label, count in counts.items()
        for number in range(count)
    ]
    ids, labels, of = zip(*rows, strict=True)
    return Pool("films", ids, labels, of, names)


def alone(count: int, classes: int = 3) -> Pool:
    return pool({f"{c}-{n}": {c: 1} for c in range(classes) for n in range(count)})


def groups_in(source: Pool, places: Sequence[int]) -> set[str]:
    return {source.groups[place] for place in places}


WANTED = {"validation": 4, "train": 10}


def test_every_part_has_as_many_of_each_class_and_no_image_twice() -> None:
    source = alone(20)
    found = draw(source, [0, 2], WANTED, 0)
    for part, count in WANTED.items():
        labels = [source.labels[place] for place in found[part]]
        assert Counter(labels) == {0: count, 2: count}
        assert labels == [0, 2] * count
    places = [place for part in found.values() for place in part]
    assert len(set(places)) == len(places)


def test_the_seed_decides_and_nothing_else() -> None:
    source = alone(20)
    first, again, other = (draw(source, [0, 1], WANTED, seed) for seed in (0, 0, 1))
    assert first == again
    assert all(set(first[part]) != set(other[part]) for part in WANTED)


def test_groups_are_in_one_part_and_even_where_they_have_several_classes() -> None:
    films = {f"film {n}": {n % 3: 5, (n + 1) % 3: 2} for n in range(18)}
    for seed in range(20):
        source = pool(films)
        found = draw(source, [0, 1, 2], {"test": 6, "validation": 4, "train": 15}, seed)
        test, validation, train = (groups_in(source, found[p]) for p in found)
        assert not test & validation
        assert not test & train
        assert not validation & train


def test_groups_that_only_fit_in_one_way_are_found() -> None:
    source = pool({"a": {0: 3}, "b": {0: 3}, "c": {0: 2}, "d": {0: 2}})
    for seed in range(20):
        found = draw(source, [0], {"validation": 4, "train": 6}, seed)
        assert groups_in(source, found["validation"]) == {"c", "d"}


def test_groups_that_are_taken_elsewhere_are_left_out() -> None:
    source = pool({"x": {0: 9}, "y": {0: 9}, "z": {0: 9}})
    for seed in range(5):
        found = draw(source, [0], {"validation": 9, "train": 9}, seed, taken={"y"})
        parts = [groups_in(source, places) for places in found.values()]
        assert set.union(*parts) == {"x", "z"}


def test_too_few_images_name_the_class_and_those_that_have_enough() -> None:
    source = pool({"x": {0: 30, 1: 13}, "y": {2: 20}})
    with pytest.raises(DataError) as error:
        draw(source, [0, 1, 2], WANTED, 0)
    assert error.value.message == (
        "class 'b' of films has 13 images, wanted 14 (4 validation + 10 train)"
    )
    assert (
        error.value.hint == "take fewer, or name classes with --class: 'a', 'c' have enough there"
    )
    with pytest.raises(DataError, match="has 30 images, wanted 99") as error:
        draw(source, [0], {"test": 99}, 0)
    assert error.value.hint == "take fewer: no class has so many there"


def test_groups_too_large_to_be_shared_out_are_named_with_what_they_leave() -> None:
    source = pool({"long": {0: 20}, "short": {0: 3}})
    message = "class 'a' of films: 3 images for validation where groups are kept together, wanted 4"
    with pytest.raises(DataError, match=message) as error:
        draw(source, [0], WANTED, 0)
    assert "those of a group go into one part" in error.value.hint
