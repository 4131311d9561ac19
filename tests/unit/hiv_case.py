"""A body with HIV and no lattice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf

import numpy as np

from abm.model.body import Body, Dose, Exposure
from abm.model.body.hiv import Hiv
from tests.unit.body_case import Person, counts, make_body, tables


def infected(day: float = 0.0, art_day: float = inf, seed: int = 1, null: float = 0.0, **changes: float) -> Body:
    """Return a body exposed on a day, a share of whose CD4 cells lack CCR5; ``changes`` are to ``hiv.csv``."""
    found = tables()
    assert found.hiv is not None
    assert not set(changes) - set(found.hiv)
    scale = make_body(found=found).scale
    body = Body(replace(found, hiv={**found.hiv, **changes}), Person(), scale, seed, exposure=Exposure(day, art_day))
    virus_of(body).coreceptor.stem[:] = null
    virus_of(body).coreceptor.null[:] = null
    return body


def virus_of(body: Body) -> Hiv:
    """Return the infection, which is there."""
    assert body.hiv is not None
    return body.hiv


def days_of(body: Body, days: int, step_h: float = 1.0, doses: tuple[Dose, ...] = ()) -> Iterator[dict[str, float]]:
    """Advance day by day; yield what is measured. ``doses`` are given in the first step."""
    table = counts(body, step_h)
    for _ in range(days):
        for _ in range(round(24 / step_h)):
            body.advance(step_h, body.day + step_h / 24, table, doses)
            doses = ()
        yield body.observables()


def peak(body: Body, days: int) -> tuple[int, float]:
    """Return day and height of the highest load of so many days."""
    loads = np.array([seen["hiv_load"] for seen in days_of(body, days)])
    return int(loads.argmax()) + 1, float(loads.max())
