"""What plugins download before they can be built, asked of them beforehand."""

from collections.abc import Iterable

from superdef_bench.benchmark.choices import Choice
from superdef_bench.core.calls import calling
from superdef_bench.core.errors import PluginError
from superdef_bench.core.plugins import Plugin
from superdef_bench.io.downloads import Download


def downloads_of(rows: Iterable[tuple[Plugin, Choice]]) -> list[Download]:
    """Return what is not there yet of what rows are built of, in their order, each file once.

    Args:
        rows: Plugins, with the choices that name them; their arguments are checked.

    Raises:
        ConfigError: A plugin refuses an argument.
        PluginError: A plugin fails, or tells of something else than downloads.
    """
    found: dict[object, Download] = {}
    for plugin, choice in rows:
        ask = getattr(plugin.factory, "downloads", None)
        if ask is None:
            continue
        hint = f"it comes from {plugin.source}"
        with calling(plugin.title, PluginError, hint=hint):
            told = list(ask(**choice.arguments))
        for download in told:
            if not isinstance(download, Download):
                raise PluginError(
                    f"{plugin.title}: downloads() lists {type(download).__name__}, no Download",
                    hint=hint,
                )
            found.setdefault(download.target, download)
    return list(found.values())
