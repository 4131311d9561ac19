"""What is told of engineered T cells, HIV, autoimmune disease, IgG and two donors, besides what all runs tell.

Pure functions of the observables of the body; what a patient does not have is not told of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Value = float | int | str | None

#: Days after the peak of engineered T cells over which their half-life is taken.
CONTRACTION = (1.0, 15.0)
#: Points of EDSS above those of day 0 that make a progression, and days for which they must stay (Burt, JAMA 2019).
PROGRESSED, CONFIRMED = 1.0, 180.0
#: Share of the myeloid cells of two donors from which one dominates, as series of two cord units count it.
DOMINANT = 0.95
#: Share of the IgG at the start below which its course is told.
LOW_IGG = 2.0 / 3.0


def of(day: Floats, body: Mapping[str, Floats]) -> dict[str, Value]:
    """Return the read-outs of a run by name.

    Args:
        day: of every record, from the day that endpoints count from, shape (T,).
        body: observables by name, each of shape (T,).
    """
    had = {name: values for name, values in body.items() if np.nan_to_num(values).max(initial=0.0) > 0.0}
    found: dict[str, Value] = {}
    if "engineered_body" in had:
        found |= _engineered(day, had["engineered_body"])
        found["crs_max_grade"] = int(had.get("crs_grade", np.zeros(1)).max())
    if "hiv_load" in had:
        load = had["hiv_load"]
        found |= {"hiv_load_max": float(load.max()), "hiv_load_max_day": _day(day, load)}
        found["hiv_load_end"] = float(load[-1])
    if "edss" in had:
        relapses = body.get("ms_relapses", np.zeros(day.size))
        found |= {"edss_end": float(had["edss"][-1]), "ms_relapses": int(relapses[-1] - relapses[0])}
        found |= _activity(day, {**body, "ms_relapses": relapses})
    if "edss" in had or "sledai" in had:
        found |= {f"{x}_new_end": 100.0 * float(body[f"{x}_new"][-1]) for x in ("cd4", "cd8") if f"{x}_new" in body}
    if "sledai" in had:
        found["sledai_end"] = float(had["sledai"][-1])
    if "donor2_myeloid" in had and "donor_myeloid" in had:
        found |= _dominance(day, had["donor_myeloid"], had["donor2_myeloid"])
    if "igg" in had and lacks_igg(had["igg"]):
        found |= {"igg_min": float(had["igg"].min()), "igg_min_day": _day(day, -had["igg"])}
        found["igg_end"] = float(had["igg"][-1])
    return found


def first_rise(day: Floats, count: Floats) -> float:
    """Return the first day after day 0 on which a count of events has risen; infinite if it has not."""
    before = count[day <= 0]
    risen = day[(day > 0) & (count > (before[-1] if before.size else 0.0))]
    return float(risen[0]) if risen.size else inf


def progression(day: Floats, points: Floats) -> float:
    """Return the first day of a rise of disability that stays for half a year; infinite if there is none."""
    base = points[day <= 0][-1] if (day <= 0).any() else points[0]
    for start in day[(day > 0) & (points >= base + PROGRESSED) & (day <= day[-1] - CONFIRMED)]:
        if points[(day >= start) & (day <= start + CONFIRMED)].min() >= base + PROGRESSED:
            return float(start)
    return inf


def _activity(day: Floats, body: Mapping[str, Floats]) -> dict[str, Value]:
    """Return relapses of sclerosis after day 0, and the first day on which there is evidence of disease (NEDA-3)."""
    after = day > 0.0
    if not after.any():
        return {}
    seen = [first_rise(day, body[name]) for name in ("ms_relapses", "ms_lesions") if name in body]
    evidence = min([*seen, progression(day, body["edss"])])
    relapses = body["ms_relapses"]
    before = relapses[~after][-1] if not after.all() else relapses[0]
    found = {"ms_relapses_after": int(relapses[-1] - before), "ms_followed_until": int(np.floor(day[-1]))}
    return found | {"ms_evidence_day": None if evidence == inf else int(np.floor(evidence))}


def _dominance(day: Floats, both: Floats, second: Floats) -> dict[str, Value]:
    """Return which of two donors makes nearly all of their myeloid cells at the end, and since which day."""
    share = np.divide(second, both, out=np.full(both.size, 0.5), where=both > 0.0)
    found: dict[str, Value] = {"second_of_donors_end": float(share[-1]), "dominant_donor": None, "dominance_day": None}
    for name, held in (("first", 1.0 - share), ("second", share)):
        if held[-1] >= DOMINANT:
            others = np.flatnonzero(held < DOMINANT)
            since = day[others[-1] + 1 if others.size else 0]
            found |= {"dominant_donor": name, "dominance_day": int(np.floor(since))}
    return found


def lacks_igg(igg: Floats) -> bool:
    """Whether IgG falls so far below what it was at the start that its course is told."""
    return bool(np.nanmin(igg) < LOW_IGG * igg[0])


def _day(day: Floats, values: Floats) -> int:
    """Return the calendar day of the highest value."""
    return int(np.floor(day[int(np.argmax(values))]))


def _engineered(day: Floats, cells: Floats) -> dict[str, Value]:
    """Return peak, fold over the first record with such cells, and half-life in the two weeks after the peak."""
    found: dict[str, Value] = {"engineered_peak": float(cells.max()), "engineered_peak_day": _day(day, cells)}
    found["engineered_fold"] = float(cells.max() / cells[cells > 0.0][0])
    since = day - day[int(np.argmax(cells))]
    falling = (since >= CONTRACTION[0]) & (since <= CONTRACTION[1]) & (cells > 0.0)
    known = since[-1] >= CONTRACTION[1] and falling.sum() > 2
    slope = float(np.polyfit(day[falling], np.log(cells[falling]), 1)[0]) if known else 0.0
    found["engineered_half_life_days"] = float(np.log(2.0)) / -slope if slope < 0.0 else None
    return found


def rows(found: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of what was found, in plain ASCII."""
    if (peak := found.get("engineered_peak")) is not None:
        half = found["engineered_half_life_days"]
        text = f"highest {peak:.2g} cells on day {found['engineered_peak_day']:+d}, {found['engineered_fold']:.3g}-fold"
        yield "Engineered T cells", text + (f", half-life {half:.1f} d" if half is not None else "")
        yield "Cytokine release, highest grade", ("0", "I", "II", "III", "IV")[int(found["crs_max_grade"] or 0)]
    if (load := found.get("hiv_load_max")) is not None:
        end = f"{found['hiv_load_end']:.2g} at the end"
        yield "HIV RNA (copies/mL)", f"highest {load:.2g} on day {found['hiv_load_max_day']:+d}, {end}"
    if (edss := found.get("edss_end")) is not None:
        after = "" if (n := found.get("ms_relapses_after")) is None else f", {n} of them after day 0"
        yield "Multiple sclerosis", f"relapses {found['ms_relapses']}{after}; EDSS {edss:.1f} at the end"
        if (until := found.get("ms_followed_until")) is not None:
            first = found["ms_evidence_day"]
            text = f"none up to day {until:+d}" if first is None else f"first on day {first:+d}"
            yield "Evidence of sclerosis after day 0", f"{text} (relapse, new lesion or confirmed EDSS)"
    if (new := found.get("cd4_new_end")) is not None:
        yield "New receptors at the end (%)", f"CD4 {new:.0f}, CD8 {found['cd8_new_end']:.0f}"
    if (sledai := found.get("sledai_end")) is not None:
        yield "Lupus", f"SLEDAI {sledai:.1f} at the end"
    if (second := found.get("second_of_donors_end")) is not None:
        text = f"{100.0 * float(second):.0f} % of their myeloid cells are of the second at the end"
        if (name := found["dominant_donor"]) is not None:
            text += f"; the {name} dominates since day {found['dominance_day']:+d}"
        yield "Two donors", text
    if (igg := found.get("igg_min")) is not None:
        text = f"lowest {igg:.1f} on day {found['igg_min_day']:+d}, {found['igg_end']:.1f} at the end"
        yield "Immunoglobulin G (g/L)", text
