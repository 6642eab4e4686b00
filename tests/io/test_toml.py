"""TOML that is written is what a reader of TOML finds, whatever stands in it."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superdef_bench.io.documents import to_toml

_TEXT = st.text(max_size=8)  # which has no half of a character
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_TEXT, st.dictionaries(_TEXT, _VALUES, max_size=3), max_size=3))
def test_what_is_written_is_read(document: dict[str, dict[str, object]]) -> None:
    assert tomllib.loads(to_toml(document)) == document


def test_a_config_looks_as_people_write_it() -> None:
    document: dict[str, dict[str, object]] = {
        "run": {"model": "signs_resnet8", "limit": 8},
        "attacks": {"pgd": {"steps": 2, "eps": ["8/255"]}, "my pgd": {}},
    }
    assert to_toml(document) == (
        '[run]\nmodel = "signs_resnet8"\nlimit = 8\n\n'
        '[attacks]\npgd = { steps = 2, eps = ["8/255"] }\n"my pgd" = {}\n'
    )


def test_what_hides_is_spelt_out() -> None:
    text = to_toml({"run": {"path": 'a"b\\c\n\u202e\x7f\U0001f600'}})
    assert text == '[run]\npath = "a\\"b\\\\c\\U0000000a\\U0000202e\\U0000007f\U0001f600"\n'


@pytest.mark.parametrize("value", [None, float("inf"), float("nan"), "\ud800", [None]])
def test_what_toml_has_no_form_for_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="has no form in TOML"):
        to_toml({"run": {"key": value}})
