"""The page of restored photographs. No torch."""

from superdef_bench.leaderboard.site.accuracy import changes_part, downloads
from superdef_bench.leaderboard.site.page import code, element, facts, page, section
from superdef_bench.leaderboard.site.tables import Cell, Line, Table, render
from superdef_bench.results.schema import QualityResults


def quality_page(results: QualityResults) -> bytes:
    """Return the page of networks that restore photographs."""
    document = results.document
    scale, sets = results.scale, results.sets
    changed = list(changes_part(results))
    return page(
        results.name,
        element("h1", results.name),
        element("p", f"Photographs restored to {scale} times their size."),
        facts({name: f"sha256 {sha256[:16]}" for name, sha256 in sets.items()}),
        downloads(results),
        section("quality", "Quality", render(_table(results))),
        section("changes", "Since the version before", *changed) if changed else "",
        section("again", "Measure it again", code([results.provenance.command])),
    )


def _table(results: QualityResults) -> Table:
    lines = []
    for row in results.rows:
        known = results.networks[row.network]
        cells = [
            Cell(row.network),
            Cell(row.dataset),
            Cell(f"{row.psnr:.2f}", row.psnr),
            Cell(f"{row.ssim:.4f}", row.ssim),
            Cell(str(row.n), row.n),
            Cell(f"{known.params:,}", known.params),
            Cell("–" if known.gmac is None else f"{known.gmac:,.1f}", known.gmac),
        ]
        lines.append(Line(cells, {"set": row.dataset}))
    caption = (
        "PSNR in dB and SSIM, on luma of images rounded to 8 bits, borders left out; GMAC for an "
        "output of 1280x720 pixels."
    )
    head = ["network", "set", "PSNR", "SSIM", "photographs", "parameters", "GMAC"]
    return Table("networks", caption, head, lines)
