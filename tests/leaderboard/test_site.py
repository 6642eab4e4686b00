"""The static site as files: whole pages, names as text, nothing that leaves them."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from superdef_bench.core.visible import visible
from superdef_bench.leaderboard.curves import over_draws
from superdef_bench.leaderboard.publish import files, load, publish
from superdef_bench.leaderboard.site import write_site
from superdef_bench.leaderboard.site.page import environment
from superdef_bench.leaderboard.site.picture import inline
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import QualityResults, Results
from superdef_bench.results.table import Cell, Line, Table
from superdef_bench.results.text import percent
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, example
from tests.support.hostile import EVIL, hostile

_VOID = {"meta", "link", "input"}
_ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and the texts of each kind."""

    def __init__(self, page: Path | str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page if isinstance(page, str) else page.read_text())
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a site of the golden results, hostile ones, and restored photographs."""
    folder = tmp_path_factory.mktemp("boards")
    evil = Results.of({**hostile(), "name": "evil 'n' <b>"})
    publish(load_results(GOLDEN), folder)
    quality = load(_ROOT / "leaderboards/super-resolution-x2.json")
    boards = {folder / b.name: b for b in (load_results(GOLDEN), evil, quality)}
    return write_site(boards, folder / "site").parent


def pages(site: Path) -> list[Path]:
    found = sorted(site.glob("*.html"))
    assert len(found) == 4
    return found


def test_every_page_is_whole_and_its_policy_names_all_that_may_run(site: Path) -> None:
    for path in pages(site):
        page = Page(path)
        (policy,) = (str(meta["content"]) for meta in page.all("meta") if meta.get("http-equiv"))
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        for kind in ("style", "script"):
            (text,) = page.texts[kind]
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}';" in policy
        assert not [
            a for _, a in page.elements if "style" in a or any(k.startswith("on") for k in a)
        ]


def test_nothing_on_a_page_is_elsewhere(site: Path) -> None:
    for path in pages(site):
        for _, attributes in Page(path).elements:
            for key in ("src", "href", "srcset", "action", "data"):
                target = attributes.get(key)
                if target is None or target == "data:," or target.startswith("#"):
                    continue
                assert key == "href"
                file = re.sub(r"%([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), target)
                assert (site / file).exists(), target
        assert not {"img", "iframe", "object", "base", "embed"} & {
            n for n, _ in Page(path).elements
        }


def test_ids_are_unique_and_what_refers_to_them_finds_them(site: Path) -> None:
    for path in pages(site):
        page = Page(path)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in page.elements:
            used = [attributes.get("aria-labelledby")]
            used += re.findall(r"url\(#([^)]*)\)", attributes.get("clip-path") or "")
            if (attributes.get("href") or "").startswith("#"):
                used.append(str(attributes["href"])[1:])
            assert set(used) - {None} <= set(ids)


def test_tables_are_tables_to_a_reader_of_screens(site: Path) -> None:
    for path in pages(site):
        page = Page(path)
        tables = page.all("table")
        assert tables
        assert all(head.get("scope") in ("row", "col") for head in page.all("th"))
        assert len(page.all("caption")) == len(tables)
        assert all(form.get("hidden", "") is None for form in page.all("form"))
        assert page.all("html") == [{"lang": "en"}]
        assert all(d.get("aria-label") for d in page.all("div") if d.get("role") == "img")


def test_the_table_of_attacks_holds_every_row_but_probes(site: Path) -> None:
    page = Page(site / "example.html")
    rows = [row for row in page.all("tr") if "data-rung" in row]
    assert len(rows) == len([r for r in example()["accuracy"] if r["rung"] != "masking"])
    assert {row["data-rung"] for row in rows} == {
        *("Clean", "Gray box", "White box", "BPDA", "Adaptive")
    }


def test_the_page_shows_the_numbers_of_the_ranking(site: Path) -> None:
    text = " ".join(Page(site / "example.html").texts["td"])
    for standing in rank(load_results(GOLDEN)):
        for score in (standing.clean, standing.gray, standing.adaptive):
            assert score
            assert percent(score.accuracy) in text


def test_the_files_to_download_are_those_of_the_results(site: Path) -> None:
    board = site.parent
    for suffix in ("json", "csv"):
        assert (site / f"example.{suffix}").read_bytes() == (
            board / f"example.{suffix}"
        ).read_bytes()


def test_names_are_text_on_the_site(site: Path) -> None:
    page = Page(site / "evil 'n' <b>.html")
    texts = "".join(text for found in page.texts.values() for text in found)
    assert visible("jpeg" + EVIL) in texts
    for path in pages(site):
        names = {name for name, _ in Page(path).elements}
        assert not names & {"img", "b"}
        assert Page(path).all("script") == [{}]


def test_names_are_text_on_the_markdown_page() -> None:
    page = files(Results.of(hostile()))[".md"].decode()
    outside = re.sub(r"^(`{3,})(?:sh|toml)\n.*?^\1$", "", page, flags=re.M | re.S)
    assert "````sh\n" in page
    assert "jpeg&lt;img" in outside
    assert "<img" not in outside
    assert "<b>" not in outside
    assert "](javascript" not in outside.replace(r"\](javascript", "")
    assert "\n# t" not in outside
    for line in outside.splitlines():
        if line.startswith("|"):
            assert re.search(r"(?<!\\)\|\\?\[a", line) is None


def test_the_name_of_a_benchmark_is_no_html_in_its_pictures() -> None:
    document = json.loads(GOLDEN.read_text())
    results = Results.of({**document, "name": "a) <img src=x onerror=alert(1)>"})
    page = files(results)[".md"].decode()
    assert page.count("](<") + page.count("](a") >= 2
    assert "<img" not in page


def test_what_is_no_html_is_escaped() -> None:
    cells = [Cell(EVIL, doubt=EVIL), Cell(EVIL, 1.0)]
    line = Line(cells, {"rung": EVIL}, hideable=EVIL)
    hostile_table = Table("k", EVIL, [EVIL, EVIL], [line, line, Line(cells, {"rung": '">'})], EVIL)
    source = '{% from "table.html" import sheet %}{{ sheet(table, linked=true) }}'
    page = Page(environment().from_string(source).render(table=hostile_table))
    assert not {"img", "b", "script"} & {name for name, _ in page.elements}
    assert {row["data-rung"] for row in page.all("tr") if "data-rung" in row} == {
        visible(EVIL),
        '">',
    }
    assert [link["href"] for link in page.all("a")] == [quote(f"{EVIL}.html")] * 3
    for kind in ("span", "th", "td", "a", "strong", "option"):
        assert visible(EVIL) in map(str.strip, page.texts[kind])
    assert f" hide {visible(EVIL)}" in "".join(page.texts["label"])


def test_a_table_is_sorted_by_what_its_cells_stand_for() -> None:
    lines = [Line([Cell("a", doubt="fail"), Cell("> 8", 1e9), Cell("x" * 13)]) for _ in range(2)]
    lines.append(Line([Cell("b"), Cell("–"), Cell("x" * 41)]))
    source = '{% from "table.html" import sheet %}{{ sheet(table) }}'
    page = Page(environment().from_string(source).render(table=Table("k", "", "abc", lines)))
    assert [head.get("data-sort") for head in page.all("th")[:3]] == ["text", "number", "text"]
    known = {"class": "number", "data-value": "1e+09"}
    assert page.all("td") == [known, {}, known, {}, {"class": "number"}, {"class": "long"}]
    assert page.all("strong") == [{"class": "doubt"}] * 2
    assert page.all("select") == []


def test_only_what_draws_comes_through_a_picture() -> None:
    svg = b"""<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"
      xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10" onload="hit()">
      <metadata><a href="http://x">no</a></metadata><script>hit()</script>
      <image xlink:href="http://x/y.png"/><style>* {}</style>
      <defs><path id="m" d="M 0 0"/></defs><g id="unused" onclick="hit()">
      <use xlink:href="#m" style="fill: #000000; stroke: #ffffff; behavior: url(http://x)"/>
      <use xlink:href="http://x#m"/><text style="font: 9px 'X'">&lt;b&gt;</text></g></svg>"""
    assert inline(svg, "p0") == (
        '<svg viewBox="0 0 10 10" width="14"><defs><path id="p0-m" d="M 0 0"></path></defs>'
        '<g><use href="#p0-m" fill="currentColor" stroke="none"></use><use></use>'
        '<text font-size="9px">&lt;b&gt;</text></g></svg>'
    )


def test_a_picture_is_called_what_stands_beneath_it(site: Path) -> None:
    page = Page(site / "example.html")
    names = [div["aria-label"] for div in page.all("div") if div.get("role") == "img"]
    assert names == page.texts["figcaption"]
    assert len(names) == len(page.all("svg")) > 1


def test_pictures_that_show_the_same_are_not_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load_results(GOLDEN)
    publish(results, tmp_path)
    file = tmp_path / "example.svg"
    file.write_bytes(file.read_bytes().replace(b"adaptive</text>", b"ADAPTIVE</text>"))
    write_site({tmp_path / "example": results}, tmp_path / "site")
    assert "ADAPTIVE" in (tmp_path / "site/example.html").read_text()
    changed = Results.of(
        {**example(), "name": "example", "threat": {**example()["threat"], "norm": "l2"}}
    )
    write_site({tmp_path / "example": changed}, tmp_path / "site")
    assert "ADAPTIVE" not in (tmp_path / "site/example.html").read_text()


def test_the_command_writes_a_site_and_nothing_else(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "example.json").write_bytes(GOLDEN.read_bytes())
    answer = run_cli("leaderboard", source / "example.json", "--html", tmp_path / "site")
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'site/index.html'}\n")
    assert [path.name for path in source.iterdir()] == ["example.json"]
    for words in (["--check"], ["-o", tmp_path]):
        refused = run_cli("leaderboard", source / "example.json", "--html", "site", *words)
        assert refused.code == 2
        assert "--html writes a site and nothing else" in refused.err


def test_a_cell_of_photographs_that_moved_is_shown(tmp_path: Path) -> None:
    document = json.loads((_ROOT / "leaderboards/super-resolution-x2.json").read_text())
    document["changes"] = {
        "since": "0" * 64,
        "settings": [],
        "added": ["a, b"],
        "removed": [],
        "moved": [{"row": "c, d", "psnr": [30.0, 31.5], "n": [5, 5]}],
    }
    write_site({tmp_path / document["name"]: QualityResults.of(document)}, tmp_path)
    page = Page(tmp_path / f"{document['name']}.html")
    assert "0" * 64 in page.texts["code"]
    assert "new rows: a, b" in page.texts["li"]
    assert "30.00 → 31.50 (+1.50)" in page.texts["td"]


def test_one_row_and_one_attack_make_a_page(tmp_path: Path) -> None:
    document = example()
    document["defenses"] = {"none": document["defenses"]["none"]}
    kept = [row for row in document["accuracy"] if row["defense"] == "none"]
    document["accuracy"] = [row for row in kept if row["attack"] in ("none", "worst", "pgd")]
    document["cost"] = []
    write_site({tmp_path / "example": Results.of(document)}, tmp_path / "site")
    page = Page(tmp_path / "site/example.html")
    assert "Cost of one image" not in " ".join(page.texts["h2"])
    document["accuracy"] = []
    write_site({tmp_path / "example": Results.of(document)}, tmp_path / "site")
    assert Page(tmp_path / "site/example.html").all("table")


def test_a_curve_of_one_point_is_drawn(tmp_path: Path) -> None:
    document = json.loads((_ROOT / "leaderboards/signs-ladder.json").read_text())
    document["accuracy"] = [
        row for row in document["accuracy"] if row["attack"] not in ("eot_k", "eot_2k")
    ]
    results = Results.of(document)
    (draws,) = over_draws(results, rank(results))
    assert len(draws.x) == 1
    write_site({tmp_path / results.name: results}, tmp_path)
    assert "draws per gradient" in (tmp_path / "signs-ladder.html").read_text()
