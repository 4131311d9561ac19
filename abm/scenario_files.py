"""Where a scenario lies that is named on the command line."""

from __future__ import annotations

from pathlib import Path

from abm.errors import ConfigError


def scenario_path(text: str) -> Path:
    """Return the file of a scenario given as a path, or as the name of a shipped one.

    Raises:
        ConfigError: no such file; names the nearest.
    """
    from abm import resources
    from abm.tables import did_you_mean

    path = Path(text)
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigError("no such scenario: this is a folder; expected a TOML file or a shipped scenario", file=path)
    folder = resources.folder("scenarios")
    shipped = folder / f"{path.name.removesuffix('.toml')}.toml"
    if str(path.parent) in (".", "scenarios") and shipped.is_file():
        return shipped
    raise ConfigError(f"no such scenario{did_you_mean(path.stem, shipped_names())}", file=path)


def shipped_names() -> list[str]:
    """Return the names of the shipped scenarios."""
    from abm import resources

    return [file.stem for file in resources.folder("scenarios").glob("*.toml")]


def names_scenario(text: str) -> bool:
    """Whether a word can only be meant as a scenario: a path, a TOML file, or the name of a shipped one."""
    path = Path(text)
    return path.suffix == ".toml" or len(path.parts) > 1 or path.exists() or text in shipped_names()
