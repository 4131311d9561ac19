"""``python -m abm.calibration PROBLEM``: which values of the rule tables agree with published targets."""

from __future__ import annotations

import os
from pathlib import Path

import click
import numpy as np
import tomli_w

import abm
from abm.calibration import matching, search
from abm.calibration.problem import Problem, current, find, read_problem, targets_of
from abm.cli import Commands
from abm.io.atomic import write_bytes
from abm.validation import work
from abm.validation.command import Progress
from abm.validation.targets import read_catalogue

NEEDS = "needs SALib: pip install 'abm-marrow[calibrate]'"


@click.group(cls=Commands)
def main() -> None:
    """Calibrate rule tables against published targets by history matching (docs/calibration.md)."""


@main.command()
@click.argument("name", metavar="PROBLEM")
@click.option(
    "--coarse", default=60, show_default=True, type=click.IntRange(10), help="Points of the well-mixed model."
)
@click.option("--fine", default=6, show_default=True, type=click.IntRange(2), help="Points on the lattice.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Patients of a cohort there.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("calibration"), show_default=True, help="Folder.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Runs side by side.  [default: all cores]")
def run(name: str, coarse: int, fine: int, seeds: int, out: Path, jobs: int | None) -> None:
    """Search a problem of analysis/calibration (or a file of your own) and write OUT/PROBLEM.result.toml.

    A second call runs only what is missing. No rule table is changed.
    """
    try:
        import SALib  # noqa: F401
    except ImportError:
        raise click.UsageError(NEEDS) from None
    path = find(name)
    problem, catalogue = read_problem(path), read_catalogue()
    targets = targets_of(problem, catalogue, path)
    work.prepare()
    folder = out / path.stem
    here = search.Search(problem, targets, catalogue, folder, jobs or os.cpu_count() or 1, Progress())
    points = search.design(problem, coarse)
    found = here.well_mixed(points)
    bands, lattice_now = search.bands(targets), here.lattice(points[:1], seeds)
    none = np.zeros(len(targets))
    first = matching.implausibility(found, bands, matching.Offset((lattice_now - found[:1])[0], none))
    tried = search.nearest(points, first, fine)
    at = [int(np.flatnonzero((points == point).all(axis=1))[0]) for point in tried]
    lattice = here.lattice(tried, seeds)
    offset = matching.Offset.measured(np.vstack([lattice, lattice_now]), np.vstack([found[at], found[:1]]))
    final = matching.implausibility(found, bands, offset)
    document = {
        "made_with": {
            "version": abm.__version__,
            "coarse": coarse,
            "fine": fine,
            "seeds": seeds,
            "design": search.SEED,
        },
        **describe(problem, points, final),
        "target": [
            {
                "id": target.name,
                "band": list(target.band or ()),
                "well_mixed_now": round(float(found[0, i]), 3),
                "lattice_now": round(float(lattice_now[0, i]), 3),
                "offset": round(float(offset.mean[i]), 3),
                "offset_spread": round(float(offset.spread[i]), 3),
                "moved_by": moved_by(problem, row),
            }
            for i, (target, row) in enumerate(zip(targets, search.sensitivity(problem, points, found), strict=True))
        ],
    }
    result = folder.with_suffix(".result.toml")
    write_bytes(result, tomli_w.dumps(document).encode())
    click.echo(f"{document['plausible_share']:.0%} of the prior is not implausible; {result}: written")


def describe(problem: Problem, points: search.Floats, score: search.Floats) -> dict[str, object]:
    """Return what is left of the prior, by parameter."""
    left = matching.plausible(points, score)
    rows = zip(problem.parameter, current(problem), left.low, left.high, left.best, strict=True)
    return {
        "what": problem.what,
        "plausible_share": round(left.share, 4),
        "implausibility_now": round(float(score[0]), 3),
        "implausibility_best": round(float(score.min()), 3),
        "parameter": [
            {
                "name": free.name,
                "prior": [free.low, free.high],
                "plausible": [] if np.isnan(low) else [float(f"{low:.4g}"), float(f"{high:.4g}")],
                "now": now,
                "best": float(f"{best:.4g}"),
                "source": free.source,
            }
            for free, now, low, high, best in rows
        ],
    }


def moved_by(problem: Problem, row: search.Floats) -> dict[str, float]:
    """Return the sensitivity of a target to every parameter, the largest first."""
    order = np.argsort(-row, kind="stable")
    return {problem.parameter[i].name: round(float(row[i]), 3) for i in order}


if __name__ == "__main__":
    main(prog_name="python -m abm.calibration")
