"""The command ``abm calibrate``. Imports of weight happen inside, so that ``--help`` is instant."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from abm.errors import ConfigError

if TYPE_CHECKING:
    from abm.calibration.problem import Problem
    from abm.calibration.search import Floats, Search
    from abm.validation.targets import Catalogue, Target


@click.command(
    epilog="""\b
Examples:
  abm calibrate neutrophils --check          what is free, its range and source, and what it is compared with
  abm calibrate neutrophils                  an hour on 2 cores
  abm calibrate relapse --seeds 24           relapse and GVHD, in patients that are recorded once
  abm calibrate mine.toml --coarse 500 --fine 20 --seeds 10 --jobs 16
  abm calibrate --expect O11,O27 --seeds 20  what the tables say of these targets when chance is left out

\b
PROBLEM is a file of analysis/calibration, or one of your own. No rule table is changed: the result says which part of
every range is not ruled out, and what the values that stand in the tables come to. What is computed is kept in OUT: a
second call runs only what is missing. docs/calibration.md describes the procedure.
"""
)
@click.argument("name", metavar="PROBLEM", required=False)
@click.option("--expect", metavar="IDS", help="Instead of a problem: follow cohorts of these targets well mixed.")
@click.option("--check", is_flag=True, help="Read the problem and say what it is; run nothing.")
@click.option(
    "--coarse", default=60, show_default=True, type=click.IntRange(10), help="Points by the well-mixed model."
)
@click.option("--fine", default=6, show_default=True, type=click.IntRange(2), help="Points on the lattice.")
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(1), help="Patients of a cohort, there or well mixed."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("calibration"), show_default=True, help="Folder.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Runs side by side.  [default: all cores]")
def calibrate(
    name: str | None,
    *,
    expect: str | None,
    check: bool,
    coarse: int,
    fine: int,
    seeds: int,
    out: Path,
    jobs: int | None,
) -> None:
    """Find which values of the rule tables agree with published targets, by history matching.

    Coarse: a design over the stated ranges, by a well-mixed model of the patient. Fine: the points nearest to the
    targets, on small lattices. A problem with ``persons`` follows every point in patients that are recorded once.
    Writes OUT/PROBLEM.result.toml.
    """
    from abm.calibration import search
    from abm.calibration.problem import find, read_problem, targets_of
    from abm.io.atomic import write_bytes
    from abm.run_folder import check_writable
    from abm.validation import work
    from abm.validation.command import Progress
    from abm.validation.targets import read_catalogue

    if (name is None) == (expect is None):
        raise ConfigError("expected either PROBLEM or --expect", key="abm calibrate")
    if not check:
        check_writable(out)
    if name is None:
        _expect(str(expect), out, seeds, jobs or os.cpu_count() or 1)
        return
    path, catalogue = find(name), read_catalogue()
    problem = read_problem(path)
    targets = targets_of(problem, catalogue, path)
    if check:
        _explain(problem, targets)
        return
    if importlib.util.find_spec("SALib") is None:
        raise ConfigError("needs the package SALib: pip install 'abm-marrow[calibrate]'", key="abm calibrate")
    if problem.persons:
        document = _replay(problem, targets, catalogue, coarse, seeds, out / path.stem)
        write_bytes(out / f"{path.stem}.result.toml", to_toml(document).encode())
        click.echo(f"{document['plausible_share']:.0%} of the prior is not ruled out; {out / path.stem}.result.toml")
        return
    click.echo(f"backend {work.prepare()}", err=True)
    here = search.Search(problem, targets, catalogue, out / path.stem, jobs or os.cpu_count() or 1, Progress())
    document = _run(here, coarse, fine, seeds)
    result = out / f"{path.stem}.result.toml"
    write_bytes(result, to_toml(document).encode())
    click.echo(f"{document['plausible_share']:.0%} of the prior is not ruled out; {result}: written")


def _expect(names: str, out: Path, seeds: int, jobs: int) -> None:
    """Print the rows of targets as well-mixed cohorts give them."""
    from abm.calibration.expected import expected
    from abm.validation import output, targets
    from abm.validation.command import Progress

    catalogue = targets.read_catalogue()
    wanted = targets.choose(catalogue, tuple(name.strip() for name in names.split(",")), (), None)
    for line in output.table(expected(catalogue, wanted, out, seeds, jobs, Progress())):
        click.echo(line)


def _explain(problem: Problem, targets: list[Target]) -> None:
    from abm.calibration.problem import current

    for free, now in zip(problem.free, current(problem), strict=True):
        click.echo(f"{free.name}: {free.low:g} to {free.high:g}, now {now:g}; {free.source} ({free.status})")
    for target in targets:
        click.echo(f"{target.name}: {target.what}, {target.band} {target.unit} ({target.status})")


def _replay(
    problem: Problem, targets: list[Target], catalogue: Catalogue, coarse: int, seeds: int, out: Path
) -> dict[str, Any]:
    """Return the result of a design in recorded patients, ready to be written."""
    import abm
    from abm.calibration import refit, search

    found = refit.cohorts(problem, targets, catalogue, seeds, out, lambda text: click.echo(text, err=True))
    points = search.design(problem, coarse)
    values = refit.values(problem, found, targets, points)
    implausible, left = refit.judge(points, values, targets)
    best = values[int(implausible.argmin())]
    return {
        "what": problem.what,
        "made_with": {"version": abm.__version__, "coarse": coarse, "seeds": seeds, "design": search.SEED},
        "plausible_share": round(left.share, 4),
        "implausibility_now": round(float(implausible[0]), 2),
        "implausibility_best": round(float(implausible.min()), 2),
        "parameter": _parameters(problem, left),
        "target": [
            {"id": t.name, "band": list(t.band or ()), "now": round(float(now), 3), "best": round(float(then), 3)}
            for t, now, then in zip(targets, values[0], best, strict=True)
        ],
    }


def _run(here: Search, coarse: int, fine: int, seeds: int) -> dict[str, Any]:
    """Return the result of both steps, ready to be written."""
    import numpy as np

    import abm
    from abm.calibration import matching, search

    points = search.design(here.problem, coarse)
    found = here.well_mixed(points)
    bands, now = search.bands(here.targets), here.lattice(points[:1], seeds)
    guess = matching.Offset((now - found[:1])[0], np.zeros(len(here.targets)))
    order = np.argsort(matching.implausibility(found, bands, guess), kind="stable")
    tried = [0, *[int(i) for i in order if i][:fine]]  # the first point is that of the tables
    lattice = np.vstack([now, here.lattice(points[tried[1:]], seeds)])
    offset = matching.Offset.measured(lattice, found[tried])
    score = matching.implausibility(found, bands, offset)
    left = matching.plausible(points, score)
    moved = search.sensitivity(here.problem, points, found)
    return {
        "what": here.problem.what,
        "made_with": {
            "version": abm.__version__,
            "coarse": coarse,
            "fine": fine,
            "seeds": seeds,
            "design": search.SEED,
        },
        "plausible_share": round(left.share, 4),
        "implausibility_now": round(float(score[0]), 2),
        "implausibility_best": round(float(score.min()), 2),
        "parameter": _parameters(here.problem, left),
        "target": [
            {
                "id": target.name,
                "band": list(target.band or ()),
                "lattice_now": round(float(now[0, i]), 3),
                "well_mixed_now": round(float(found[0, i]), 3),
                "offset": round(float(offset.mean[i]), 3),
                "offset_spread": round(float(offset.spread[i]), 3),
                "sensitivity": _by_name(here.problem, moved[i]),
            }
            for i, target in enumerate(here.targets)
        ],
    }


def _parameters(problem: Problem, left: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - matching.Plausible
    """Return prior, plausible range, present and best value of every parameter."""
    from abm.calibration.problem import current

    rows = zip(problem.free, current(problem), left.low, left.high, left.best, strict=True)
    return [
        {
            "name": free.name,
            "prior": [free.low, free.high],
            "plausible": [] if low != low else [float(f"{low:.4g}"), float(f"{high:.4g}")],  # not a number: nothing
            "now": now,
            "best": float(f"{best:.4g}"),
            "source": free.source,
            "status": free.status,
        }
        for free, now, low, high, best in rows
    ]


def _by_name(problem: Problem, row: Floats) -> dict[str, float]:
    """Return the sensitivity of a target to every parameter, the largest first."""
    named = {free.name: round(float(value), 2) for free, value in zip(problem.free, row, strict=True)}
    return dict(sorted(named.items(), key=lambda item: -item[1]))


def to_toml(document: dict[str, Any]) -> str:
    """Return a result as TOML with one line per key, lists of numbers included."""
    lines, tables = [], []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            tables += ["".join([f"\n[[{key}]]\n", *(f"{k} = {_cell(v)}\n" for k, v in row.items())]) for row in value]
        else:
            lines.append(f"{key} = {_cell(value)}\n")
    return "".join([*lines, *tables])


def _cell(value: Any) -> str:  # noqa: ANN401 - what TOML holds
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_cell(item)}" for key, item in value.items()) + " }"
    if isinstance(value, float):
        return repr(value)  # nan and inf too
    return json.dumps(value)  # JSON's texts, whole numbers and lists are TOML's
