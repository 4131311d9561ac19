"""NK cells that miss HLA: those of the host kill a graft before it has settled, those of the donor leukaemia."""

from __future__ import annotations

from pathlib import Path

import pytest

from abm import resources
from abm.cells import Kind, Origin
from abm.config import load_config
from abm.errors import ConfigError
from abm.model.body import Body, Dose, giving
from abm.model.body.immune import INDEX
from abm.model.body.natural_killers import spared
from abm.well_mixed import WellMixed
from tests.unit.body_case import Person, make_body

GRAFT = Dose("graft", "marrow", cd34=2e8, cells=((Kind.HSC, 1e4),))


def patient(missing_self: float) -> Body:
    return make_body(Person(donor="haplo", missing_self=missing_self))


@pytest.mark.parametrize("origin", [Origin.DONOR, Origin.DONOR2])
def test_the_more_nk_cells_are_unrestrained_the_fewer_stem_cells_settle(origin: Origin) -> None:
    left = [spared(patient(share), origin) for share in (0.0, 0.2, 0.5, 1.0)]
    assert left[0] == 1.0
    assert left == sorted(left, reverse=True)
    assert left[3] == pytest.approx(left[2] ** 2), "logarithms add up"
    assert 0.0 < left[3] < 0.2


def test_conditioning_that_kills_nk_cells_spares_the_graft() -> None:
    body = patient(1.0)
    before = spared(body, Origin.DONOR)
    body.lymphocytes.pools[INDEX[Kind.NK], Origin.HOST] *= 0.01
    assert spared(body, Origin.DONOR) == pytest.approx(before**0.01)
    body.lymphocytes.pools[INDEX[Kind.NK], Origin.DONOR] = 1e10  # those of the graft do not kill it
    assert spared(body, Origin.DONOR) == pytest.approx(before**0.01)


def test_an_autograft_is_spared() -> None:
    assert spared(patient(1.0), Origin.HOST) == 1.0


def test_all_stem_and_progenitor_cells_of_a_graft_are_hit_alike() -> None:
    whole, hit = (giving.graft_agents(patient(share), GRAFT) for share in (0.0, 0.5))
    share = spared(patient(0.5), Origin.DONOR)
    assert whole.keys() == hit.keys()
    assert all(hit[kind] == pytest.approx(share * whole[kind]) for kind in whole)


@pytest.mark.parametrize("key", ["missing_self", "missing_self_graft"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'donor = "sibling"\nKEY = 0.2',
            "expected 0 for a donor with the HLA of the patient (or a donor such",
        ),
        ('donor = "unrelated"\nKEY = 0.2', "expected 0 for a donor with the HLA of the patient"),
        ('donor = "haplo"\nKEY = 1.2', "expected a number >= 0 and <= 1, found 1.2"),
        ('donor = "haplo"\nKEY = 0.2', ""),
        ('donor = "unrelated"\nhla_match = 7\nKEY = 0.2', ""),
    ],
)
def test_only_hla_that_differs_can_be_missed(tmp_path: Path, key: str, text: str, said: str) -> None:
    text = text.replace("KEY", key)
    case = tmp_path / "case.toml"
    case.write_text(f"[patient]\n{text}\n")
    if not said:
        assert getattr(load_config(case).patient, key) == 0.2
        return
    with pytest.raises(ConfigError) as caught:
        load_config(case)
    [line] = str(caught.value).splitlines()
    assert f"{case}:{2 + text.count(chr(10))}: patient.{key}: " in line
    assert said in line


def test_reduced_conditioning_leaves_nk_cells_that_reject_what_ablation_lets_pass() -> None:
    """Stem cells of a haploidentical donor among those that would settle without NK cells."""
    left = {}
    for scenario in ("ric_allo", "haplo_ptcy"):
        path = resources.folder("scenarios") / f"{scenario}.toml"
        changes = [
            "patient.donor=haplo",
            "patient.missing_self=0.5",
            "patient.blast_fraction=0",
            "time.step_min=180",
            "time.end_day=180",
        ]
        person = WellMixed(load_config(path, [*changes, "output.series_h=24"], 1))
        while person.config.day(person.step) < 2.5:  # when stem cells begin to lodge
            person.advance()
        left[scenario] = spared(person.body, Origin.DONOR)
    assert left["ric_allo"] < left["haplo_ptcy"] < 1.0
