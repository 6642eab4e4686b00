"""The static site in a real Chromium: sorting, filters, and what leaves the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from superdef_bench.core.visible import visible
from superdef_bench.leaderboard.publish import load
from superdef_bench.leaderboard.site import write_site
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.browser import NAMES, Browser, find_browser
from tests.support.documents import GOLDEN
from tests.support.hostile import EVIL, hostile

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(
        not find_browser(),
        reason=f"none of {', '.join(NAMES)} is on PATH (apt-get install chromium)",
    ),
]
_ROOT = Path(__file__).parents[2]
_LADDER = _ROOT / "leaderboards/signs-ladder.json"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    evil = Results.of({**hostile(), "name": "evil"})
    ladder, quality = load(_LADDER), load(_ROOT / "leaderboards/super-resolution-x2.json")
    boards = {_LADDER.parent / b.name: b for b in (load_results(GOLDEN), evil, ladder, quality)}
    write_site(boards, folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def url(site: Path, name: str) -> str:
    return f"file://{quote(str(site / name))}"


def column(browser: Browser, table: str, place: int, *, visible: bool = True) -> list[str]:
    found: list[str] = browser.run(
        f"[...document.querySelectorAll('#{table} tbody tr')]"
        f".filter(row => !{json.dumps(visible)} || row.offsetHeight > 0)"
        f".map(row => row.cells[{place}].textContent)"
    )
    return found


def head(browser: Browser, table: str, title: str) -> str:
    """Give the focus to the button of a column and return how it is to be called again."""
    found = f"[...document.querySelectorAll('#{table} thead th')]"
    return f"{found}.find(head => head.textContent.trim() === {title!r})"


def numbers(cells: list[str]) -> list[float]:
    return [float(cell.removeprefix("≤ ").split()[0].replace(",", "")) for cell in cells]


def test_a_header_sorts_both_ways_by_number_and_says_so(browser: Browser, site: Path) -> None:
    browser.open(url(site, "signs-ladder.html"))
    before = numbers(column(browser, "order-table", 4))
    button = head(browser, "order-table", "adaptive")
    browser.run(f"{button}.querySelector('button').focus()")
    browser.press_enter()
    assert browser.run(f"{button}.getAttribute('aria-sort')") == "descending"
    down = numbers(column(browser, "order-table", 4))
    assert down == sorted(before, reverse=True)
    browser.press_enter()
    assert browser.run(f"{button}.getAttribute('aria-sort')") == "ascending"
    up = numbers(column(browser, "order-table", 4))
    assert up == sorted(before)
    assert up != sorted(up, key=str)  # as text 12.1 comes before 9.0
    name = head(browser, "order-table", "defense")
    browser.run(f"{name}.querySelector('button').click()")
    assert browser.run("document.querySelectorAll('#order-table [aria-sort]').length") == 1
    names = column(browser, "order-table", 0)
    assert names == sorted(names)


def test_what_has_no_number_comes_last_either_way(browser: Browser, site: Path) -> None:
    browser.open(url(site, "example.html"))
    button = head(browser, "every-table", "PSNR")
    for _ in range(2):
        browser.run(f"{button}.querySelector('button').click()")
        cells = column(browser, "every-table", 9)
        gaps = [place for place, cell in enumerate(cells) if cell == "–"]
        assert gaps
        assert gaps == list(range(len(cells) - len(gaps), len(cells)))


def test_filters_hide_rows_and_count_the_rest(browser: Browser, site: Path) -> None:
    browser.open(url(site, "signs-ladder.html"))
    total = len(column(browser, "every-table", 0))
    sheet = "document.querySelector('#attacks .sheet')"
    browser.run(f"{sheet}.querySelector('input[type=search]').focus()")
    browser.type("rcan pgd")
    shown = column(browser, "every-table", 0)
    assert 0 < len(shown) < total
    told = browser.run(f"{sheet}.querySelector('output').value")
    assert told == f"{len(shown)} of {total} rows"
    browser.run(
        f"(rung => {{ rung.value = 'White box'; "
        "rung.dispatchEvent(new Event('input', {bubbles: true})); })"
        f"({sheet}.querySelector('select[data-facet=rung]'))"
    )
    assert set(column(browser, "every-table", 1)) == {"White box"}
    assert set(column(browser, "every-table", 0)) == {"rcan (4x4x32, native)"}
    hidden = column(browser, "every-table", 0, visible=False)
    assert len(hidden) == total


def test_unranked_rows_can_be_hidden(browser: Browser, site: Path) -> None:
    browser.open(url(site, "evil.html"))
    before = column(browser, "order-table", 1)
    assert "–" in before
    browser.run("document.querySelector('#ranking input[type=checkbox]').click()")
    assert column(browser, "order-table", 1) == [cell for cell in before if cell != "–"]


@pytest.mark.parametrize("name", ["index.html", "signs-ladder.html", "super-resolution-x2.html"])
def test_no_request_leaves_a_page_and_its_policy_is_kept(
    browser: Browser, site: Path, name: str
) -> None:
    browser.open(url(site, name))
    browser.run("document.querySelectorAll('th button, input, select').forEach(e => e.click())")
    assert browser.requests
    assert [asked for asked in browser.requests if not asked.startswith(("file:", "data:"))] == []
    assert browser.complaints == []
    assert browser.run("document.fonts.size") == 0


def test_a_request_that_leaves_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "leaky.html").write_text("<img src='http://127.0.0.1:9/x.png'>")
    browser.open(url(tmp_path, "leaky.html"))
    assert "http://127.0.0.1:9/x.png" in browser.requests


def test_names_that_want_to_run_are_shown(browser: Browser, site: Path) -> None:
    browser.open(url(site, "evil.html"))
    assert browser.run("document.images.length") == 0
    names = set(column(browser, "every-table", 0))
    assert any(name.startswith(visible("jpeg" + EVIL)) for name in names)
    shown = browser.run("document.body.innerText")
    assert shown.count('<img src=x onerror="hit()">') > 20
    # Had it run, there would be an error: nothing is called hit.
    assert browser.complaints == []


def test_a_phone_scrolls_tables_and_not_the_page(browser: Browser, site: Path) -> None:
    size: dict[str, Any] = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    try:
        for name in ("index.html", "super-resolution-x2.html", "evil.html", "example.html"):
            browser.open(url(site, name))
            assert browser.run("document.documentElement.scrollWidth") == 390, name
        wide = "document.querySelector('#attacks .scroll')"
        assert browser.run(f"{wide}.scrollWidth > {wide}.clientWidth")
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


def test_dark_and_light_have_ink_on_paper(browser: Browser, site: Path) -> None:
    def colours(scheme: str) -> tuple[float, float, float]:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.call("Emulation.setEmulatedMedia", features=[feature])
        browser.open(url(site, "example.html"))
        script = (
            "['body', 'body', 'figure svg text'].map((where, place) => "
            "getComputedStyle(document.querySelector(where))"
            "[['backgroundColor', 'color', 'fill'][place]])"
        )
        paper, ink, label = (
            sum(map(float, found[4:-1].split(","))) / 765 for found in browser.run(script)
        )
        return paper, ink, label

    paper, ink, label = colours("light")
    assert paper > 0.9 > 0.3 > ink == label
    paper, ink, label = colours("dark")
    assert paper < 0.2 < 0.8 < ink == label


def test_without_a_script_the_tables_are_there(browser: Browser, site: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(url(site, "example.html"))
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.run("document.querySelectorAll('th button').length") == 0
    assert browser.run("document.querySelector('#order-table').offsetHeight") > 100
    assert browser.run("document.querySelector('.controls').offsetHeight") == 0
