"""What the shell offers behind an option; nothing heavy is loaded for it."""


def shipped_names(incomplete: str) -> list[str]:
    """Return the shipped configs whose names begin with what was typed."""
    from superdef_bench.core.shipped import shipped

    names = (file.stem for file in sorted(shipped("configs").glob("*.toml")))
    return [name for name in names if name.startswith(incomplete)]


def rungs(incomplete: str) -> list[str]:
    """Return the rungs whose names begin with what was typed."""
    from superdef_bench.core.threats import RUNGS

    return [str(rung) for rung in RUNGS if rung.startswith(incomplete)]


def norms(incomplete: str) -> list[str]:
    """Return the norms whose names begin with what was typed."""
    from superdef_bench.core.threats import NORMS

    return [norm for norm in NORMS if norm.startswith(incomplete)]
