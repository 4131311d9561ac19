"""Leukaemia below one agent: its numbers against simulation and theory, who leads, files, what is wrong input."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from abm import resources
from abm.cells import Behaviour, Kind
from abm.config import Config, config_from, load_config
from abm.config_lines import read_source
from abm.errors import ConfigError
from abm.model import leukaemia
from abm.model.body import Dose
from abm.model.body.drugs import LEUKAEMIC
from abm.model.body.organs import GVH
from abm.model.body.residue import (
    ENOUGH,
    OVERT,
    RELAPSED,
    RESIDUAL,
    TOO_FEW,
    Residue,
    StemCells,
    read_residue,
)
from abm.model.body.restricted import RestrictedTCells
from abm.model.rules import load_rules
from abm.setup import load_model
from tests.unit.body_case import Person, counts, make_body, tables

STEM = StemCells(
    wake=0.495, divide=0.593, renew=0.66, die=0.005, resting=0.3, open_share=0.55, per_agent=4e4, full=1e7, start=100.0
)
NO_KILL = (0.0, 0.0)
HUMAN = resources.folder("scenarios") / "rules" / "human"


def grown(stem: StemCells, days: float, step: float = 1 / 6, kill: float = 0.0, cellularity: float = 1.0) -> Residue:
    """Return residual leukaemia after some days under a constant loss rate of all stem cells."""
    found = Residue(stem, 1)
    for _ in range(round(days / step)):
        found.advance((kill * step, kill * step), cellularity, step)
    return found


def test_it_doubles_as_its_rates_say() -> None:
    rules = load_rules(HUMAN)
    rate = leukaemia.growth(rules, STEM.open_share)
    assert log(2.0) / rate == pytest.approx(12.9, abs=0.1)
    early, late = grown(STEM, 60.0), grown(STEM, 100.0)
    assert (late.log_growth - early.log_growth) / 40.0 == pytest.approx(rate, rel=0.01)


def test_the_step_does_not_matter() -> None:
    fine, coarse = grown(STEM, 50.0, 1 / 24, kill=0.03), grown(STEM, 50.0, 1 / 6, kill=0.03)
    assert coarse.log_growth == pytest.approx(fine.log_growth, abs=0.02)
    assert coarse.risk == pytest.approx(fine.risk, abs=0.002)


def test_a_leukaemia_that_doubles_in_a_day_is_followed_in_steps_of_four_hours() -> None:
    """Of its ways one is so fast that an explicit method would diverge; in a day it doubles as its rates say."""
    patient = {"disease": "all", "blast_fraction": 0.1, "residual_doubling_days": 1.0}
    rules = load_model(Config.model_validate({"patient": patient})).rules
    resting, cycling = rules.base[Kind.LSC * 2], rules.base[Kind.LSC * 2 + 1]
    wake, divide = float(resting[Behaviour.SWITCH]), float(cycling[Behaviour.DIVIDE])
    renew, die = float(cycling[Behaviour.RENEW]), float(cycling[Behaviour.DIE])
    stem = replace(STEM, wake=wake, divide=divide, renew=renew, die=die, full=1e12)
    fine, coarse = grown(stem, 10.0, 1 / 96), grown(stem, 10.0, 1 / 6)
    assert coarse.log_growth == pytest.approx(fine.log_growth, rel=1e-6)
    assert fine.log_growth / 10.0 == pytest.approx(log(2.0), rel=0.01)
    assert coarse.lineages_left == pytest.approx(fine.lineages_left, rel=0.01)
    assert 0.0 < coarse.resting < 1.0


def test_risk_is_that_of_single_cells_that_divide_and_die() -> None:
    """Stem cells one by one, with the same hazards: the share of courses that leave none."""
    stem = replace(STEM, start=3.0, wake=1e3, resting=0.0, divide=0.4, open_share=1.0, renew=0.66, die=0.02)
    kill, days, step, n = 0.05, 30.0, 0.02, 4000
    random = np.random.default_rng(5)
    alive = random.poisson(stem.start, n)
    for _ in range(round(days / step)):
        dead = random.binomial(alive, 1.0 - exp(-(stem.die + kill) * step))
        divided = random.binomial(alive - dead, 1.0 - exp(-stem.divide * step))
        alive = alive - dead - divided + random.binomial(2 * divided, stem.renew)
    left = float((alive > 0).mean())
    assert 0.2 < left < 0.8
    followed = grown(stem, days, step=1 / 500, kill=kill)
    assert followed.risk == pytest.approx(left, abs=0.035)
    assert followed.cells * exp(followed.log_growth) == pytest.approx(alive.mean(), rel=0.1)


def test_kill_without_growth_leaves_cells_by_poisson() -> None:
    stem = replace(STEM, divide=0.0, die=0.0)
    found = Residue(stem, 1)
    found.advance((log(1e2), log(1e2)), 1.0, 1 / 6)
    assert found.lineages_left == pytest.approx(1.0, rel=1e-6)
    assert found.risk == pytest.approx(1.0 - exp(-1.0), rel=1e-6)


def test_what_is_left_in_a_cohort_is_what_the_risk_says() -> None:
    n, found = 400, 0
    for seed in range(n):
        one = Residue(replace(STEM, start=100.0), seed)
        one.advance((log(1e2), log(1e2)), 1.0, 1 / 6)
        found += one.left > 0.0
    assert abs(found / n - one.risk) < 4.0 * (one.risk * (1.0 - one.risk) / n) ** 0.5


@pytest.mark.parametrize(("mean", "size"), [(2.0, 1e5), (0.5, 1e6), (30.0, 2e4), (500.0, 1.3e3)])
def test_it_is_overt_by_the_sizes_of_its_lineages(mean: float, size: float) -> None:
    """Poisson many lineages of exponential size, drawn one by one."""
    one, random = Residue(replace(STEM, start=mean), 1), np.random.default_rng(3)
    one.log_growth = log(size)
    sizes = [random.exponential(size, n).sum() for n in random.poisson(mean, 20_000)]
    assert one.overt_risk == pytest.approx(np.mean(np.array(sizes) >= 0.05 * STEM.full), abs=0.015)


def test_a_lineage_that_has_gone_does_not_come_back() -> None:
    for seed in range(50):
        one, was = Residue(replace(STEM, start=5.0), seed), True
        for _ in range(300):
            one.advance((0.02, 0.02), 1.0, 1 / 6)
            assert was or one.left == 0.0
            was = one.left > 0.0


def test_a_full_marrow_stops_growth() -> None:
    assert grown(STEM, 700.0).share_if_left == pytest.approx(1.0, abs=0.05)


def test_an_empty_marrow_lets_it_grow_faster() -> None:
    assert grown(STEM, 50.0, cellularity=0.1).log_growth > 1.3 * grown(STEM, 50.0).log_growth


def test_who_leads() -> None:
    one = Residue(replace(STEM, start=STEM.per_agent * 20), 1)
    assert (one.phase, one.risk) == (OVERT, 1.0)
    one.lead(TOO_FEW)
    assert one.phase == OVERT
    one.lead(TOO_FEW - 1)
    assert one.phase == RESIDUAL
    assert one.cells == STEM.per_agent * TOO_FEW
    one.lead(ENOUGH)
    assert (one.phase, one.agents) == (RELAPSED, 0.0)
    one.lead(TOO_FEW - 2)
    assert one.phase == RESIDUAL
    assert one.cells == STEM.per_agent * ENOUGH


def test_few_agents_at_the_start_are_numbers() -> None:
    assert Residue(replace(STEM, start=STEM.per_agent * 2), 1).phase == RESIDUAL


def test_it_shows_once_it_is_an_agent_and_never_as_more_than_the_patch_needs() -> None:
    one = grown(replace(STEM, start=STEM.per_agent * 0.9), 0.0)
    assert one.agents == pytest.approx(0.9)
    assert grown(replace(STEM, start=STEM.per_agent * 3), 300.0).agents == ENOUGH


def body_with(start: float, effectors: float = 0.0, *, seen: float = 1.0, steroid: float = 0.0) -> float:
    """Return the logarithm of the growth of residual leukaemia in a body with donor effectors for ten days."""
    body = make_body(Person(leukaemia_immunogenicity=seen))
    body = type(body)(body.tables, body.patient, replace(body.scale, leukaemia=replace(STEM, start=start)), 1)
    body.drugs.set_level(body.drugs.index("prednisolone"), steroid)
    table = counts(body, 4.0)
    for _ in range(60):
        body.allo.effectors[GVH] = effectors / body.donor.ubiquitous_share
        body.advance(4.0, body.day + 4.0 / 24.0, table, ())
    assert body.residue is not None
    return body.residue.log_growth


def test_donor_effectors_kill_it_as_far_as_it_is_seen_and_steroids_let_them() -> None:
    half = tables().residue.lsc_kill_half
    alone, watched = body_with(100.0), body_with(100.0, half)
    assert alone - watched == pytest.approx(10.0 * tables().residue.lsc_kill / 2.0, rel=0.1)
    assert alone - body_with(100.0, 100.0 * half) == pytest.approx(2.0 * (alone - watched), rel=0.1)
    assert alone - body_with(100.0, half, seen=0.5) == pytest.approx(0.5 * (alone - watched), rel=0.05)
    assert alone - body_with(100.0, half, steroid=1.0) == pytest.approx(0.4 * (alone - watched), rel=0.05)


def test_drugs_kill_it_as_they_kill_agents() -> None:
    body = make_body()
    body = type(body)(body.tables, body.patient, replace(body.scale, leukaemia=replace(STEM, start=1e6)), 1)
    for step in range(48):
        body.advance(4.0, body.day + 4.0 / 24.0, counts(body, 4.0), [Dose("drug", "busulfan", 1.0)] if not step else ())
    assert body.residue is not None
    killed = -body.residue.log_growth / log(10.0)
    assert 2.3 - 0.35 < killed < 2.6  # one course, less what has grown since


def test_sensitivity_scales_the_kill_of_leukaemia_alone() -> None:
    usual, twice = make_body(), make_body(Person(leukaemia_sensitivity=2.0))
    for body in (usual, twice):
        body.drugs.give("busulfan", 1.0)
        body.drugs.irradiate(2.0)
    one, two = usual.drugs.cell_kills(4.0), twice.drugs.cell_kills(4.0)
    leukaemic = list(LEUKAEMIC)
    assert two[leukaemic] == pytest.approx(2.0 * one[leukaemic])
    one[leukaemic], two[leukaemic] = 0.0, 0.0
    assert (one == two).all()


def test_files_carry_it_on() -> None:
    body = make_body()
    scale = replace(body.scale, leukaemia=STEM)
    first, second = (type(body)(body.tables, body.patient, scale, 1) for _ in range(2))
    for _ in range(20):
        first.advance(4.0, first.day + 4.0 / 24.0, counts(first, 4.0), ())
    second.unpack(first.pack())
    assert second.observables() == first.observables()
    assert make_body().pack().keys() == first.pack().keys() - {
        *(f"residue.{name}" for name in Residue.STATE),
        *(f"restricted.{name}" for name in RestrictedTCells.STATE),
    }


# ------------------------------------------------------------------------------------------------- scenarios


def scenario(tmp_path: Path, patient: str, more: str = "", species: str = "human") -> Config:
    """Return the configuration of a small scenario."""
    path = tmp_path / "case.toml"
    path.write_text(
        f'[patch]\nshape = [24, 24, 24]\nspecies = "{species}"\n[time]\nstart_day = 0\nend_day = 2\n'
        f"[patient]\n{patient}\n{more}",
        encoding="utf-8",
    )
    return config_from(read_source(path, []))


def test_a_doubling_time_sets_the_pace_of_leukaemia_alone(tmp_path: Path) -> None:
    usual = load_model(scenario(tmp_path, 'disease = "aml"\nblast_fraction = 0.1'))
    slow = load_model(scenario(tmp_path, 'disease = "aml"\nblast_fraction = 0.1\nresidual_doubling_days = 36'))
    assert leukaemia.growth(slow.rules, 0.55) == pytest.approx(log(2.0) / 36.0, rel=1e-9)
    assert changed(usual.rules.base, slow.rules.base) == set(LEUKAEMIC)


def changed(before: np.ndarray, after: np.ndarray) -> set[int]:
    """Return the kinds whose rates differ."""
    return set((np.flatnonzero((before != after).any(axis=1)) // 2).tolist())


def test_lymphocytes_kill_unseen_leukaemia_on_the_patch_less(tmp_path: Path) -> None:
    usual = load_model(scenario(tmp_path, 'disease = "aml"\nblast_fraction = 0.1')).rules.base
    unseen = load_model(
        scenario(tmp_path, 'disease = "aml"\nblast_fraction = 0.1\nleukaemia_immunogenicity = 0.25')
    ).rules.base
    assert changed(usual, unseen) == set(LEUKAEMIC)
    rows = [2 * kind for kind in LEUKAEMIC]
    assert unseen[rows, Behaviour.KILL] == pytest.approx(0.25 * usual[rows, Behaviour.KILL])
    assert (usual[rows, Behaviour.KILL] > 0.0).all()


WRONG = {
    "no leukaemia": ("residual_leukaemia = true", "", "patient.residual_leukaemia", "expected blast_fraction > 0"),
    "frequency of nothing": ("lsc_frequency = 1e-5", "", "patient.lsc_frequency", "expected blast_fraction > 0"),
    "doubling of nothing": ("residual_doubling_days = 20", "", "patient.residual_doubling_days", "blast_fraction > 0"),
    "frequency above 1": (
        'disease = "aml"\nblast_fraction = 0.1\nlsc_frequency = 2', "", "patient.lsc_frequency", "found 2",
    ),
    "negative immunogenicity": ("leukaemia_immunogenicity = -1", "", "patient.leukaemia_immunogenicity", "found -1"),
    "negative restricted": ("restricted_alloreactivity = -1", "", "patient.restricted_alloreactivity", "found -1"),
    "negative sensitivity": ("leukaemia_sensitivity = -1", "", "patient.leukaemia_sensitivity", "found -1"),
    "antibodies": (
        'disease = "all"\nblast_fraction = 0.1\nresidual_leukaemia = true',
        '[[events]]\nday = 1\naction = "antibody"\ndrug = "gemtuzumab"\ndose_mg_per_m2 = 3\n',
        "events[0].action", "followed in agents only",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_clear_line(tmp_path: Path, case: str) -> None:
    patient, more, key, message = WRONG[case]
    with pytest.raises(ConfigError) as found:
        load_model(scenario(tmp_path, patient, more))
    text = str(found.value)
    assert key in text
    assert message in text
    assert "case.toml:" in text
    assert "\n" not in text


def test_an_antibody_against_a_checkpoint_is_given_beside_residual_leukaemia(tmp_path: Path) -> None:
    blocked = '[[events]]\nday = 1\naction = "antibody"\ndrug = "nivolumab"\ndose_mg_per_kg = 3\n'
    model = load_model(scenario(tmp_path, 'disease = "aml"\nblast_fraction = 0.1\nresidual_leukaemia = true', blocked))
    assert [dose.name for doses in model.schedule for dose in doses] == ["nivolumab"]


def test_a_species_without_the_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no residue.csv for mouse"):
        load_model(
            scenario(tmp_path, 'disease = "aml"\nblast_fraction = 0.1\nresidual_leukaemia = true', species="mouse")
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lsc_frequency", "0"),
        ("lsc_kill", "-1"),
        ("lsc_kill_half", "0"),
        ("memory_share", "1.5"),
        ("memory_loss", "-1"),
    ],
)
def test_bad_numbers_of_the_table(tmp_path: Path, name: str, value: str) -> None:
    lines = (HUMAN / "residue.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{name},{value},{line.split(',', 2)[2]}" if line.startswith(f"{name},") else line for line in lines]
    (tmp_path / "residue.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"residue.csv.*{name}"):
        read_residue(tmp_path)


def test_every_disease_has_a_frequency() -> None:
    for disease in ("aml", "aml_flt3", "all", "cml", "burkitt", "dlbcl", "follicular", "myeloma"):
        path = resources.folder("scenarios") / "aml_untreated.toml"
        model = load_model(load_config(path, [f'patient.disease="{disease}"'], 1))
        assert model.tables.residue is not None
        assert 0.0 < model.tables.residue.lsc_frequency <= 1.0
    assert tables("mouse").residue is None
