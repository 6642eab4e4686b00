"""What integrity costs: the share of the checks in a run."""

import time
from collections.abc import Callable

import pytest

from superdef_bench.core.clock import seconds_of_checks
from tests.support.commands import Answer


@pytest.mark.slow
def test_share_of_checks_in_the_quickstart(run_cli: Callable[..., Answer]) -> None:
    start, before = time.perf_counter(), seconds_of_checks()
    assert run_cli("run", "quickstart").code == 0
    took, checks = time.perf_counter() - start, seconds_of_checks() - before
    print(f"checks took {checks:.2f} s of {took:.1f} s: {100 * checks / took:.2f} %")
    assert checks <= 0.02 * took
