"""Where the data folders are: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder ``kernels``, ``scenarios``, ``analysis`` or ``slurm`` of this installation.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for place in (_PACKAGE / name, _PACKAGE.parent / name):
        if place.is_dir():
            return place
    msg = f"folder {name!r} is neither in {_PACKAGE} nor beside it: the installation is incomplete"
    raise FileNotFoundError(msg)


def species_names() -> list[str]:
    """Return the species that have a folder of rule tables."""
    rules = folder("scenarios") / "rules"
    return sorted(path.name for path in rules.iterdir() if path.is_dir()) if rules.is_dir() else []


def table_names(species: str) -> list[str]:
    """Return the rule tables of a species."""
    return sorted(path.name for path in (folder("scenarios") / "rules" / species).glob("*.csv"))


def load_analysis() -> ModuleType:
    """Register the folder ``analysis`` as the package ``abm_analysis`` and return it.

    Afterwards ``import abm_analysis.read`` means the same installed, editable and in a checkout.
    """
    name = "abm_analysis"
    if name in sys.modules:
        return sys.modules[name]
    place = folder("analysis")
    spec = spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    if spec is None or spec.loader is None:
        msg = f"cannot import {place}"
        raise ImportError(msg)
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
