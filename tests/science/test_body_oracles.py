"""The body against independent solutions: the mean-field GVHD model by SciPy, and textbook kinetics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from abm.model.body import Dose
from abm.model.body.organs import GVH, Alloimmunity, Surroundings
from abm.model.body.parameters import OrganRules, section
from tests.unit.body_case import Person, counts, make_body, tables

pytestmark = pytest.mark.science

HORIZON_D = 70


@dataclass(frozen=True)
class Case:
    """One scenario of the mean-field model: start, calcineurin inhibitor, post-transplant cyclophosphamide."""

    injury: float
    precursors: float
    cni: bool = True
    ptcy: bool = False

    def occupancy(self, day: float) -> float:
        return (0.6 if day < 90 else max(0.0, 0.6 * (150 - day) / 60)) if self.cni else 0.0


#: Peak epithelial loss after day 14 of the accepted joint set, as published with it.
PUBLISHED = {
    "autologous": (Case(1.0, 0.0), 0.06),
    "sibling": (Case(1.0, 4e5), 0.30),
    "sibling, reduced intensity": (Case(0.5, 4e5), 0.04),
    "sibling, no calcineurin inhibitor": (Case(1.0, 4e5, cni=False), 0.86),
    "haplo": (Case(1.0, 4e6), 0.81),
    "haplo, cyclophosphamide on day 3.5": (Case(1.0, 4e6, ptcy=True), 0.27),
    "haplo, 4-log T depletion": (Case(1.0, 4e2), 0.06),
    "sibling, 2-log T depletion": (Case(1.0, 4e3), 0.06),
}


@dataclass(frozen=True)
class Limits:
    """What the published model lacks.

    Cells of one primed cell in all, as many by programme in full danger, and after how many days; room at the
    antigen-presenting cells, and what a log more precursors still adds beyond it. The time is never none: six
    hours are hardly any.
    """

    burst: float = 1e30
    crowd: float = 1e30
    programme: float = 1.0
    days: float = 0.25
    slope: float = 0.0

    @classmethod
    def shipped(cls) -> Limits:
        """Those of the rules, for a sibling."""
        rules, donor = section(OrganRules, tables().values, 70.0), tables().donors["sibling"]
        crowd = rules.priming_half * donor.graft_versus_host
        programme = (rules.programmed_burst, rules.programmed_days)
        return cls(rules.effector_burst, crowd, *programme, rules.priming_slope)


def oracle(case: Case, limits: Limits) -> NDArray[np.float64]:
    """Return the epithelial loss at every hour, from the equations as published and the limits, without leukaemia."""
    k_ih, k_ik, d_i, k_i, a_0, act, rho, d_e = 0.30, 0.208, 0.121, 0.218, 0.0564, 0.086, 1.72, 0.0993
    tau_a, k_k, kill_half, k_t, k_g = 23.5, 0.772, 3.94e8, 1.51e10, 0.124

    def slope(day: float, y: NDArray[np.float64]) -> list[float]:
        i, a_host, naive, effector, h, primed, *dividing = y
        danger = a_0 + (1 - a_0) * i**2 / (k_i**2 + i**2)
        a = danger * a_host * (1 - case.occupancy(day))
        kill = k_k * effector / (kill_half + effector)
        crowded = 1 + naive / limits.crowd
        started = act * a * naive / crowded * crowded**limits.slope
        progeny = 1 + (limits.programme - 1) * danger
        room = max(1 - effector / k_t - effector / max(limits.burst * primed, 1), 0)
        grow = rho * a * effector * room - d_e * effector
        di = k_ih * (1 - h) + k_ik * kill * h - d_i * i
        on = [3 * cells / limits.days for cells in dividing]
        left = on[2] - d_e * effector / limits.burst
        loss = [di, -a_host / tau_a, -started, on[2] * progeny + grow, k_g * (1 - h) - kill * h, left]
        return [*loss, started - on[0], on[0] - on[1], on[1] - on[2]]

    y, loss = np.array([case.injury, 1.0, case.precursors, 0.0, 1 - 0.35 * case.injury, *[0.0] * 4]), []
    for start, end in ((0.0, 3.5), (3.5, float(HORIZON_D))):
        if start and case.ptcy:
            y = y * np.array([1, 1, 0.3, 0.05, 1, *[0.05] * 4])
        hours = np.linspace(start, end, round((end - start) * 24) + 1)
        found = solve_ivp(slope, (start, end), y, "LSODA", hours, rtol=1e-9, atol=1e-6, max_step=0.5)
        loss += list(1 - found.y[4])[:-1]
        y = found.y[:, -1]
    return np.array([*loss, 1 - y[4]])


def ours(case: Case, limits: Limits, step_h: float = 1.0) -> NDArray[np.float64]:
    """Return the epithelial loss at every step by the body's own model."""
    donor = tables().donors["sibling"]
    rules = section(OrganRules, tables().values, 70.0)
    published = {"priming": 0.086, "effector_growth": 1.72, "skin_kill": 1.0}
    more = {
        "programmed_burst": limits.programme,
        "programmed_days": limits.days,
        "priming_slope": limits.slope,
        "effector_burst": limits.burst,
    }
    rules = replace(rules, priming_half=limits.crowd / donor.graft_versus_host, **published, **more)
    allo = Alloimmunity(rules, donor, 1.2e7)
    allo.inflammation, allo.precursors[GVH] = case.injury, case.precursors
    allo.injury_loss[:] = 0.35 * case.injury
    loss = [1 - allo.integrity[0]]
    for step in range(round(HORIZON_D * 24 / step_h)):
        if case.ptcy and step == round(3.5 * 24 / step_h):
            allo.survive(GVH, 0.3, 0.05)
        middle = (step + 0.5) * step_h / 24
        allo.advance(Surroundings(host_apc=0.0, activation=1 - case.occupancy(middle)), step_h)
        loss.append(1 - allo.integrity[0])
    return np.array(loss)


def late_peak(loss: NDArray[np.float64]) -> float:
    days = np.linspace(0, HORIZON_D, loss.size)
    return float(loss[days >= 14].max())


@pytest.mark.parametrize("name", PUBLISHED)
def test_mean_field_gvhd(name: str) -> None:
    """The published peak, and the same curve as SciPy, without limits and with those of the rules."""
    case, published = PUBLISHED[name]
    assert late_peak(oracle(case, Limits())) == pytest.approx(published, abs=0.05)
    for limits in (Limits(), Limits.shipped()):
        assert np.abs(ours(case, limits) - oracle(case, limits)).max() < 0.003


def test_mean_field_gvhd_does_not_depend_on_the_step() -> None:
    case = PUBLISHED["sibling"][0]
    fine, coarse = ours(case, Limits(), step_h=0.25), ours(case, Limits(), step_h=1.0)
    assert np.abs(fine[::4] - coarse).max() < 1e-3


def test_burst_limits_what_few_precursors_can_do() -> None:
    """Without the limit, and without prophylaxis, 400 precursors destroy the epithelium as 4e6 do."""
    few = Case(1.0, 4e2, cni=False)
    assert late_peak(ours(few, Limits())) > 0.8
    assert late_peak(ours(few, Limits.shipped())) < 0.15


def test_precursors_compete_for_antigen_presenting_cells() -> None:
    """Ten times the precursors start ten times the cells where there is room, and hardly more where there is none."""
    started = {}
    rules, donor = section(OrganRules, tables().values, 70.0), tables().donors["sibling"]
    for crowd in (1e30, 1e4):
        for precursors in (1e6, 1e7):
            allo = Alloimmunity(replace(rules, priming_half=crowd / donor.graft_versus_host), donor, 1.2e7)
            allo.inflammation, allo.precursors[GVH] = 1.0, precursors
            allo.advance(Surroundings(), 1.0)
            started[crowd, precursors] = float(allo.primed[GVH] + allo.dividing.sum())
    assert started[1e30, 1e7] == pytest.approx(10 * started[1e30, 1e6], rel=1e-3)
    assert started[1e4, 1e7] / started[1e4, 1e6] == pytest.approx(10**rules.priming_slope, rel=0.02)


@cache
def transplant(donor: str, t_depletion_log10: float = 0.0, cni: bool = True, seed: int = 0) -> list[dict[str, float]]:
    """Return daily observables from day -9 to +100: BuCy, a blood graft on day 0, a marrow that recovers on day 18."""
    body, step_h, start = make_body(Person(donor=donor), seed=seed), 4.0, -9
    given = {-7.0 + i: Dose("drug", "busulfan", 0.25) for i in range(4)}
    given |= {-3.0 + i: Dose("drug", "cyclophosphamide", 0.3) for i in range(2)}
    given |= {-1.0: Dose("immunosuppression_level", "ciclosporin", 0.6 if cni else 0.0)}
    given |= {0.0: Dose("graft", "blood", cd34=3.5e8, cd3=2e10 * 10**-t_depletion_log10)}
    seen = []
    for step in range(109 * 6):
        day = start + step / 6
        host = 1.0 if day < -6 else max(float(np.exp(-0.6 * (day + 6))), 1e-4)
        donor_level = 0.0 if day < 10 else min(1.0, 5e-4 * 2 ** ((day - 10) / 1.5))
        doses = [given[day]] if day in given else []
        body.advance(step_h, day + step_h / 24, counts(body, step_h, host, donor_level), doses)
        body.settle(body.lymphocyte_arrivals())
        if step % 6 == 5:
            seen.append(body.observables())
    return seen


def peak(seen: list[dict[str, float]], name: str) -> float:
    return max(record[name] for record in seen)


def test_conditioning_starts_the_mean_field_model() -> None:
    seen = transplant("twin")
    assert seen[8]["inflammation"] == pytest.approx(1.0, abs=0.1)
    assert seen[8]["gut"] == pytest.approx(0.65, abs=0.05)


def test_sibling_transplant_under_calcineurin_inhibitor() -> None:
    seen = transplant("sibling")
    last = seen[-1]
    assert peak(seen, "gvhd_grade") == 2, "the usual patient without methotrexate: 54 % (Storb 1986), 73 % (Deeg 1997)"
    onset = next(day for day, record in enumerate(seen, start=-8) if record["gvhd_grade"] >= 2)
    assert 17 <= onset <= 35
    assert last["donor_t"] > 0.9
    assert peak(seen, "host_versus_graft_effectors") < 1e6
    assert 0.05 < last["cd4"] < 0.25
    assert last["thymus"] < 0.8


@pytest.mark.parametrize(
    ("donor", "depletion", "cni", "check"),
    [
        ("twin", 0.0, True, lambda grade, effectors: grade == 0 and effectors == 0.0),
        ("sibling", 2.0, True, lambda grade, effectors: grade <= 1 and effectors > 0.0),
        ("sibling", 0.0, False, lambda grade, effectors: grade >= 3 and effectors > 5e7),
        ("haplo", 0.0, True, lambda grade, effectors: grade >= 3 and effectors > 1e8),
        ("haplo", 4.5, False, lambda grade, effectors: grade <= 1 and effectors > 0.0),
    ],
)
def test_donor_and_prophylaxis_set_the_grade(
    donor: str, depletion: float, cni: bool, check: Callable[[float, float], bool]
) -> None:
    """In the middle one of five patients: which families of T cells few of them hold is chance."""
    seen = [transplant(donor, depletion, cni, seed) for seed in range(5)]
    assert check(*(sorted(peak(one, name) for one in seen)[2] for name in ("gvhd_grade", "allo_effectors")))


def test_grade_rises_with_disparity() -> None:
    effectors = [peak(transplant(donor), "allo_effectors") for donor in ("sibling", "unrelated", "mismatched", "haplo")]
    assert effectors == sorted(effectors)
    assert effectors[0] < effectors[1]


def test_rejection_needs_host_cells_and_no_prophylaxis() -> None:
    """An intact host attacks a T-depleted haploidentical graft that takes; a conditioned one does not."""
    body = make_body(Person(donor="haplo"))
    graft = Dose("graft", "blood", cd34=3.5e8, cd3=2e6)
    for step in range(6 * 60):
        body.advance(4.0, step / 6, counts(body, 4.0, host=0.75, donor=0.25), [graft] if step == 0 else [])
    intact = body.observables()["host_versus_graft_effectors"]
    conditioned = peak(transplant("haplo", 4.0), "host_versus_graft_effectors")
    assert intact > 30 * conditioned


def test_gcsf_fold_follows_its_turnover_equation() -> None:
    body = make_body()
    rules = body.cytokines.rules
    body.cytokines.advance(0.0, 200.0, 145.0, 240.0)
    expected = (rules.gcsf_clearance + rules.gcsf_clearance_per_anc * 4.0) / rules.gcsf_clearance
    assert body.cytokines.gcsf == pytest.approx(expected, rel=1e-6)
    assert 35 < expected < 45
