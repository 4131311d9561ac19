"""A made-up catalogue of targets, and a patient that costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abm import cli
from abm.validation import cases, patient, work
from abm.validation.cases import Case
from abm.validation.protocols import Protocol

PROTOCOLS = """\
[adults]
scenario = "homeostasis"
species = "human"
what = "healthy"
seeds = 3
quick_seeds = 2

[adults.priors."patient.weight_kg"]
distribution = "normal"
centre = 70
spread = 10
limits = [50, 90]
source = "made up"
status = "assumption"

[mice]
scenario = "homeostasis_mouse"
species = "mouse"
what = "healthy"
seeds = 3
quick_seeds = 2
"""
TARGET = """\
[[target]]
id = "O04"
part = "anc"
what = "neutrophils"
species = "human"
protocol = "adults"
observable = "anc"
days = [1, 2]
statistic = "mean"
unit = "1e9/L"
band = [2, 7]
weight = 3
source = "made up"
status = "recalled"
"""


def write(folder: Path, target: str = TARGET, protocols: str = PROTOCOLS) -> Path:
    (folder / "protocols").mkdir(exist_ok=True)
    (folder / "protocols" / "A.toml").write_text(protocols, encoding="utf-8")
    (folder / "A.toml").write_text(target, encoding="utf-8")
    return folder


def adults(seeds: int = 3, *, protocols: dict[str, Protocol]) -> list[Case]:
    return cases.cases("adults", protocols["adults"], quick=False, seeds=seeds)


def fake(case: Case) -> patient.Result:
    """A patient whose ANC is 3 plus a tenth of the seed, and who engrafts on the day of the seed; seed 3 never."""
    days = {"values": {"anc_engraftment_day": "never" if case.seed == 3 else case.seed}, "first_day": 0}
    curves = {"anc": [1.0, 3 + case.seed / 10, 3 + case.seed / 10, None]}
    facts = {"format_version": patient.FORMAT_VERSION, "protocol": case.protocol, "seed": case.seed, "key": case.key}
    facts |= {"drawn": [list(pair) for pair in case.drawn], "wall_s": 1.5, "cpu_s": 1.0}
    return {**facts, **days, "curves": curves}


def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """Replace the simulation; return the patients that are asked for from now on."""
    seen: list[Case] = []

    def simulate(case: Case) -> patient.Result:
        seen.append(case)
        return fake(case)

    monkeypatch.setattr(work, "simulate", simulate)
    return seen


def run(folder: Path, *args: str) -> Result:
    own = ["--targets", str(folder), "--out", str(folder / "out"), "--jobs", "1"]
    return CliRunner().invoke(cli.main, ["validate", *own, *args], catch_exceptions=False, prog_name="abm")
