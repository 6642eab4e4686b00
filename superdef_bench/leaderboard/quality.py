"""The leaderboard of restored photographs. No torch."""

import csv
import io
from collections.abc import Iterator

from superdef_bench.leaderboard.again import commands
from superdef_bench.leaderboard.changes import changes_section
from superdef_bench.results.schema import QualityResults, QualityRow
from superdef_bench.results.table import spelt
from superdef_bench.results.text import escape, fenced, grid

# PSNR on Set5, Set14 and BSD100 of networks trained on DIV2K for far longer than ours, as listed
# by Sun et al. (SAFMN, ICCV 2023); parameters and GMAC are counted by us.
PUBLISHED = {
    2: (
        ("bicubic", (33.66, 30.24, 29.56), None, None),
        ("EDSR baseline 16x64", (37.99, 33.57, 32.16), 1_369_883, 316.2),
        ("EDSR 32x256", (38.11, 33.92, 32.32), 40_729_627, 9_387.0),
        ("RCAN 10x20x64", (38.27, 34.12, 32.41), 15_444_667, 3_527.0),
    )
}
_SETS = {"Set5": 5, "Set14": 14, "BSD100": 100}  # and how many photographs they have


def quality_files(results: QualityResults) -> dict[str, bytes]:
    """Return the files of a leaderboard of photographs by suffix: `.md` and `.csv`."""
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, list(QualityRow.model_fields), extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(spelt(results.document["quality"]))
    text = "\n".join(_lines(results)).rstrip() + "\n"
    return {".md": text.encode(), ".csv": stream.getvalue().encode()}


def _lines(results: QualityResults) -> Iterator[str]:
    provenance, scale = results.provenance, results.scale
    sets = list(dict.fromkeys(row.dataset for row in results.quality))
    counts = {row.dataset: row.n for row in results.quality}
    yield f"# {escape(results.name)}"
    yield ""
    yield "<!-- generated, do not edit; regenerate with the commands below -->"
    yield ""
    yield f"Photographs restored to {scale} times their size; PSNR in dB and SSIM, both on luma"
    yield f"of images rounded to 8 bits, without {scale} pixels on each side."
    yield ""
    for name in sets:
        sha256 = results.sets[name][:16]
        yield f"- {escape(name)}: {counts[name]} photographs, sha256 `{escape(sha256)}`"
    versions = ", ".join(f"{name} {value}" for name, value in provenance.versions.items())
    yield f"- {escape(versions)}"
    yield ""
    yield from fenced(commands(results))
    head = ["network", *map(escape, sets), "parameters", "GMAC"]
    found = {(row.network, row.dataset): row for row in results.quality}
    lines = []
    for network, facts in results.networks.items():
        cells = [found.get((network, name)) for name in sets]
        numbers = [f"{c.psnr:.2f} / {c.ssim:.4f}" if c else "–" for c in cells]
        lines.append([escape(network), *numbers, *_cost(facts.params, facts.gmac)])
    standard = [name for name in sets if _SETS.get(name) == counts[name]]
    rows = PUBLISHED.get(scale, ()) if standard else ()
    for network, values, params, work in rows:
        published = dict(zip(_SETS, values, strict=True))
        numbers = [f"{published[s]:.2f} / –" if s in standard else "–" for s in sets]
        lines.append([f"*published:* {network}", *numbers, *_cost(params, work)])
    yield from grid(head, lines)
    yield "GMAC for an output of 1280x720 pixels, counted on convolutions."
    if rows:
        yield "*Published* rows are not measured here: PSNR as listed by Sun et al. (SAFMN, ICCV"
        yield "2023), of networks trained on DIV2K (Agustsson and Timofte, CVPRW 2017)."
    yield ""
    yield from changes_section(results)


def _cost(params: int | None, work: float | None) -> list[str]:
    return [f"{params:,}" if params else "–", f"{work:,.1f}" if work else "–"]
