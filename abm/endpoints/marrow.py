"""Who makes the marrow and the lymphocytes of blood on the days on which centres report it."""

from __future__ import annotations

from abm.cells import Count, Kind, Origin

from .course import Course, Floats, Ints, Value, ratio, value_at

LANDMARKS = (30, 100, 180)  #: days on which chimerism and residual disease are reported
NUCLEATED = tuple(kind for kind in Kind if kind not in (Kind.EMPTY, Kind.RETICULOCYTE))
#: Healthy kinds counted as CD34+.
CD34 = (Kind.HSC, Kind.MPP, Kind.CMP, Kind.CLP, Kind.MEP, Kind.GMP, Kind.BFU_E, Kind.MKP, Kind.PRO_B)
DONOR_ORIGINS = (Origin.DONOR, Origin.DONOR2)
LINEAGES = {"myeloid": "myeloid", "t": "T", "b": "B", "nk": "NK", "red": "red cells", "hsc": "HSC", "cd34": "CD34+"}
LYMPHOCYTES = {"cd4": "CD4", "cd8": "CD8", "b": "B", "nk": "NK"}


def donor_percent(counts: Ints, kinds: tuple[Kind, ...]) -> Floats:
    """Return the donor share of ``kinds`` on the lattice in percent, shape (T,); NaN where there are none."""
    population = counts[:, Count.POPULATION][:, list(kinds)].sum(axis=1)
    return 100.0 * ratio(population[:, list(DONOR_ORIGINS)].sum(axis=1), population.sum(axis=1))


def landmarks(course: Course) -> dict[str, Value]:
    """Donor percent by lineage (blood: body; HSC, CD34+: patch; second: myeloid of donor 2), lymphocytes per uL."""
    series = {f"chimerism_{name}": course.body.get(f"donor_{name}") for name in LINEAGES}
    hsc, cd34 = (donor_percent(course.counts, kinds) for kinds in ((Kind.HSC,), CD34))
    series |= {"chimerism_hsc": hsc, "chimerism_cd34": cd34, "chimerism_second": course.body.get("donor2_myeloid")}
    if course.graft_day is None:
        series = dict.fromkeys(series)
    series |= {name: course.body.get(name) for name in LYMPHOCYTES}
    return {
        f"{name}_d{day}": None if values is None else value_at(course.since_graft, values, day)
        for name, values in series.items()
        for day in LANDMARKS
    }
