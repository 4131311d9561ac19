"""Edited shares of blood and lymphocytes: they follow what leaves the marrow, and nothing else changes them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from abm.cells import (
    ENGINEERED,
    FIRST_MOTILE,
    LOSS_ANTIGENS,
    N_COUNTS,
    N_KINDS,
    N_ORIGINS,
    Antigen,
    Count,
    EditBit,
    Kind,
    Origin,
    Specificity,
    pack_hot,
)
from abm.config import Config
from abm.config_graft import Edit
from abm.exactmath import exp
from abm.io import upgrades
from abm.model.body import Body, Dose, Watch, engagement, giving, immunity, receptors, targets
from abm.model.body.edited import ANY, COMPLETE
from abm.model.body.fratricide import Fratricide
from abm.model.body.immune import INDEX
from abm.setup import load_model
from abm.state import Snapshot
from tests.unit.body_case import counts, make_body
from tests.unit.hiv_case import infected, virus_of

CCR5 = Edit(locus="CCR5", efficiency=0.8)
TCR = Edit(locus="TRANSGENE", vcn=1.0, receptor="TCR_TRANSGENE")
LOST = np.uint32(pack_hot(loss=1 << LOSS_ANTIGENS.index(Antigen.CCR5)))
EDITED = np.uint32(pack_hot(edits=1 << EditBit.EDITED))
SOME, BOTH = 0.75, 0.5
STEP_H = 4.0


def table(body: Body, some: float, both: float) -> NDArray[np.int64]:
    """Return counts of a step of a marrow of the donor, these shares of what leaves being edited."""
    found = counts(body, STEP_H, host=0.0, donor=1.0)
    leaving = found[Count.EGRESS, :, Origin.DONOR]
    for row, share in ((Count.EDITED_EGRESS, some), (Count.ALTERED_EGRESS, both)):
        found[row, :, Origin.DONOR] = np.rint(leaving * share).astype(np.int64)
    return found


def live(body: Body, days: float, some: float, both: float) -> None:
    for _ in range(round(days * 24 / STEP_H)):
        body.advance(STEP_H, body.day + STEP_H / 24, table(body, some, both), ())


def grafted(edit: Edit | None = CCR5, days: float = 40.0) -> Body:
    """A body some time after an edited graft took the marrow over."""
    body = make_body()
    giving.infuse(body, Dose("graft", "edited", cd34=1e8, cd3=0.0, origin=Origin.DONOR, edit=edit))
    live(body, days, SOME, BOTH)
    return body


@pytest.fixture(scope="module")
def body() -> Body:
    return grafted()


def test_each_lineage_of_the_graft_has_the_share_of_what_leaves_the_marrow(body: Body) -> None:
    seen = body.observables()
    for name in ("neutrophils", "monocytes", "platelets"):
        assert seen[f"edited_share_{name}"] == pytest.approx(SOME * seen[f"donor_{name}"], rel=1e-3), name
        assert seen[f"altered_share_{name}"] == pytest.approx(BOTH * seen[f"donor_{name}"], rel=1e-3), name
    assert seen["edited_share_neutrophils"] == pytest.approx(SOME, rel=0.01)
    for name in ("b", "nk", "t"):
        assert seen[f"edited_share_{name}"] == pytest.approx(SOME * seen[f"donor_{name}"], rel=0.02), name
    assert 0 < seen["edited_share_red"] < seen["edited_share_platelets"]  # red cells live four months
    assert 0 < seen["edited_share_t"] < seen["edited_share_nk"] / 3  # T cells come by way of the thymus


def test_a_share_changes_by_degrees() -> None:
    body = grafted(days=60.0)
    live(body, 5.0, 0.0, 0.0)
    seen = body.observables()
    assert seen["edited_share_neutrophils"] < 0.01
    assert 0.1 < seen["edited_share_platelets"] < 0.9 * SOME
    assert seen["edited_share_t"] > 0.0


def test_nothing_is_edited_without_an_edited_graft() -> None:
    body = grafted(edit=None, days=2.0)
    assert not any(array.any() for array in body.edited.pack().values())
    arrivals = [(Kind.CD8_NAIVE, Origin.DONOR, Specificity.NONE, 50)]
    assert not body.edits_of(arrivals).any()


def test_bleeding_and_drugs_change_no_share(body: Body) -> None:
    before = body.observables()
    body.blood.bleed(0.3)
    body.lymphocytes.bleed(0.3)
    after = body.observables()
    for name in ("neutrophils", "platelets", "t", "b", "nk", "red"):
        assert after[f"edited_share_{name}"] == pytest.approx(before[f"edited_share_{name}"])


def test_lymphocytes_carry_their_edit_into_the_marrow(body: Body) -> None:
    n = 20_000
    bits = body.edits_of([(Kind.NK, Origin.HOST, Specificity.NONE, 7), (Kind.NK, Origin.DONOR, Specificity.NONE, n)])
    assert not bits[:7].any()
    some, both = (bits[7:] & EDITED) != 0, (bits[7:] & LOST) != 0
    assert not (both & ~some).any()
    assert some.mean() == pytest.approx(SOME, abs=0.02)
    assert both.mean() == pytest.approx(BOTH, abs=0.02)
    assert not (bits & ~(EDITED | LOST)).any()


def test_those_that_come_back_change_the_share_of_their_pool(body: Body) -> None:
    """Where only cells without the antigen survive in the marrow, their share rises."""
    row = INDEX[Kind.CD4_MEMORY]
    body.lymphocytes.pools[row, Origin.DONOR] = 1e9
    body.edited.pools[:, row, Origin.DONOR] = 0.2, 0.1
    per_effector = immunity.cells_per_effector(body, Origin.DONOR) * body.allo.rules.effector_survivors
    n = round(1e9 / per_effector)
    back = np.zeros((N_COUNTS, 64, 4), np.int64)
    for count, cells in ((Count.EGRESS, n), (Count.EDITED_EGRESS, n), (Count.ALTERED_EGRESS, n // 2)):
        back[count, Kind.CD4_EFFECTOR, Origin.DONOR] = cells  # an effector comes back as a memory cell
    immunity.take_back(body, back)
    assert body.edited.pools[ANY, row, Origin.DONOR] == pytest.approx(0.6, rel=0.02)
    assert body.edited.pools[COMPLETE, row, Origin.DONOR] == pytest.approx(0.3, rel=0.02)


def test_unedited_cells_of_a_later_product_thin_them_out(body: Body) -> None:
    row = INDEX[Kind.CD8_MEMORY]
    before = body.edited.pools[ANY, row, Origin.DONOR] * body.lymphocytes.pools[row, Origin.DONOR]
    giving.infuse(body, Dose("cells", "dli", cd3=1e10, origin=Origin.DONOR))
    after = body.edited.pools[ANY, row, Origin.DONOR] * body.lymphocytes.pools[row, Origin.DONOR]
    assert after == pytest.approx(before)


def test_carriers_of_a_receptor_gene_show_it_alone() -> None:
    """Allelic exclusion: what shows the added receptor shows no other, and carries the gene."""
    body = grafted(TCR)
    row, shown = INDEX[Kind.CD8_NAIVE], body.tables.transgenes[Specificity.TCR_TRANSGENE][Kind.CD8_NAIVE] * BOTH
    body.edited.pools[:, row, Origin.DONOR] = SOME, BOTH
    shares = receptors.shares(body, Kind.CD8_NAIVE, Origin.DONOR, {Origin.DONOR: 0.01})
    assert shares[0] == (Specificity.TCR_TRANSGENE, pytest.approx(shown))
    plain = receptors.shares(make_body(), Kind.CD8_NAIVE, Origin.DONOR, {Origin.DONOR: 0.01})
    assert shares[1:] == [(s, pytest.approx(x * (1 - shown))) for s, x in plain]
    for kind, origin in ((Kind.CD4_NAIVE, Origin.DONOR), (Kind.CD8_NAIVE, Origin.HOST)):
        assert Specificity.TCR_TRANSGENE not in dict(receptors.shares(body, kind, origin, {}))
    n, gene = 20_000, np.uint32(pack_hot(edits=1 << EditBit.TRANSGENE))
    mine, others = (
        body.edits_of([(Kind.CD8_NAIVE, Origin.DONOR, s, n)]) for s in (Specificity.TCR_TRANSGENE, Specificity.NONE)
    )
    assert (mine == gene | EDITED).all()
    assert ((others & gene) != 0).mean() == pytest.approx((BOTH - shown) / (1 - shown), abs=0.02)


def test_an_old_checkpoint_has_no_edited_cells() -> None:
    body = make_body()
    old = {name: array for name, array in body.pack().items() if not name.startswith("edited.")}
    old |= {name: np.ones((N_COUNTS - 2, 64, 4), np.int64) for name in ("last_counts", "output.flux")}
    new = upgrades.without_edits(Snapshot(0, (1, 1, 1), 0, 1, {}, old, {})).body
    fresh = body.edited.pack()
    assert {name: array.shape for name, array in new.items() if name.startswith("edited.")} == {
        f"edited.{name}": array.shape for name, array in fresh.items()
    }
    assert new["last_counts"].shape == (N_COUNTS, 64, 4)
    body.unpack({name: array for name, array in new.items() if name not in ("last_counts", "output.flux")})
    assert not body.edited.present


def test_a_safety_switch_kills_its_carriers_everywhere() -> None:
    body = grafted(Edit(locus="TRANSGENE", vcn=1.0, switch=True), days=30.0)
    before, pools = body.observables(), body.lymphocytes.pools.copy()
    giving.give(body, Dose("switch", "switch", 0.9))
    after = body.observables()
    for name in ("neutrophils", "platelets", "nk", "b"):
        share = before[f"altered_share_{name}"]
        assert after[f"altered_share_{name}"] == pytest.approx(0.1 * share / (1 - 0.9 * share), rel=1e-6), name
        some = before[f"edited_share_{name}"]
        assert after[f"edited_share_{name}"] == pytest.approx((some - 0.9 * share) / (1 - 0.9 * share), rel=1e-6), name
    assert after["anc"] == pytest.approx(before["anc"] * (1 - 0.9 * before["altered_share_neutrophils"]), rel=1e-6)
    np.testing.assert_array_equal(body.lymphocytes.pools[:, Origin.HOST], pools[:, Origin.HOST])


def test_a_safety_switch_kills_infected_cells_with_their_pool() -> None:
    body = infected(day=100.0)
    edit = Edit(locus="TRANSGENE", vcn=1.0, switch=True)
    giving.infuse(body, Dose("graft", "edited", cd34=1e8, cd3=0.0, origin=Origin.DONOR, edit=edit))
    live(body, 60.0, SOME, BOTH)
    virus_of(body).productive[:] = 1e6
    before = body.lymphocytes.cells((Kind.CD4_MEMORY,))
    giving.give(body, Dose("switch", "switch", 0.9))
    left = body.lymphocytes.cells((Kind.CD4_MEMORY,))[Origin.DONOR] / before[Origin.DONOR]
    assert left < 0.95
    assert virus_of(body).productive[0, Origin.DONOR] == pytest.approx(1e6 * left)
    assert virus_of(body).productive[0, Origin.HOST] == 1e6


def test_without_a_switch_nobody_dies() -> None:
    body = grafted(CCR5, days=10.0)
    before = body.pack()
    giving.give(body, Dose("switch", "switch", 0.9))
    for name, array in body.pack().items():
        np.testing.assert_allclose(array, before[name], rtol=1e-12, err_msg=name)


def test_t_cells_of_a_graft_without_ccr5_are_closed_to_r5_virus() -> None:
    """Those with both alleles lost are; virus takes the others, so that they become more than leave the thymus."""
    body = infected()
    giving.infuse(body, Dose("graft", "edited", cd34=1e8, cd3=0.0, origin=Origin.DONOR, edit=CCR5))
    live(body, 120.0, SOME, BOTH)
    virus = virus_of(body)
    assert virus.coreceptor.stem[Origin.DONOR] == pytest.approx(BOTH, rel=0.05)
    assert virus.coreceptor.stem[Origin.HOST] == 0.0
    assert 0.5 * BOTH < virus.coreceptor.null[0, Origin.DONOR] < 1.0
    plain = infected()
    giving.infuse(
        plain, Dose("graft", "edited", cd34=1e8, cd3=0.0, origin=Origin.DONOR, edit=Edit(locus="CD33", efficiency=0.8))
    )
    live(plain, 120.0, SOME, BOTH)
    assert not virus_of(plain).coreceptor.stem.any()


CD33 = Edit(locus="CD33", efficiency=0.8)
ROW = ENGINEERED.index(Specificity.CAR_CD33)
NEUTROPHILS = (Kind.NEUTROPHIL, Origin.DONOR)


def shielded(edit: Edit, receptor: Specificity = Specificity.CAR_CD33) -> Body:
    """A body with an edited graft in which T cells of this receptor are watched."""
    body = grafted(edit)
    rules = load_model(Config()).rules
    masks = rules.recognition.masks(rules.kinds, False)[0].reshape(N_ORIGINS, N_KINDS).T
    shown = np.array([masks & rules.recognition.receptors[receptor] != 0])
    body.watch = Watch((receptor,), shown, fratricide=Fratricide.of(rules.recognition, masks, (receptor,), {}))
    return body


def test_t_cells_spare_edited_blood_cells_of_which_the_marrow_has_no_sample() -> None:
    nobody = np.zeros((N_KINDS, N_ORIGINS), np.int64)
    for edit, unseen in ((CD33, BOTH), (CCR5, 0.0)):
        shares = targets.look(shielded(edit), nobody[np.newaxis], nobody).shares[ROW]
        for kind in (Kind.NEUTROPHIL, Kind.MONOCYTE, Kind.EOSINOPHIL):
            assert shares[kind, Origin.DONOR] == pytest.approx(1.0 - unseen, abs=1e-3)
            assert shares[kind, Origin.HOST] == 1.0
    present = nobody.copy()
    present[NEUTROPHILS] = 10
    shares = targets.look(shielded(CD33), present[np.newaxis] // 5, present).shares[ROW]
    assert shares[NEUTROPHILS] == 0.2, "a sample that is there says who is seen"
    body = shielded(Edit(locus="CD19", efficiency=0.8), Specificity.CAR_CD19)
    present[Kind.IMMATURE_B] = 10
    shares = targets.look(body, present[np.newaxis], present).shares[ENGINEERED.index(Specificity.CAR_CD19)]
    assert shares[Kind.IMMATURE_B, Origin.DONOR] == pytest.approx(1.0 - BOTH, rel=0.05), "new ones are no sample of old"
    assert shares[Kind.IMMATURE_B, Origin.HOST] == 1.0


def test_the_edited_share_of_blood_rises_at_once_when_the_others_are_killed() -> None:
    for edit, rises in ((CD33, True), (CCR5, False)):
        body = shielded(edit)
        shares = np.zeros((len(ENGINEERED), N_KINDS, N_ORIGINS))
        shares[(ROW, *NEUTROPHILS)] = 1.0 - BOTH
        hazard = np.zeros(len(ENGINEERED))
        hazard[ROW] = 2.0
        before, cells = body.edited.neutrophils[:, Origin.DONOR].copy(), body.blood.neutrophils[Origin.DONOR]
        monocytes = body.edited.monocytes.copy()
        targets.strike(body, targets.Seen(np.zeros(len(ENGINEERED)), shares), hazard, 0.5)
        dies = 1.0 - exp(-1.0)
        left = 1.0 - (1.0 - BOTH) * dies
        assert body.blood.neutrophils[Origin.DONOR] == pytest.approx(cells * left)
        some, both = body.edited.neutrophils[:, Origin.DONOR]
        if rises:  # those with one allele left die like any other
            assert both == pytest.approx(before[COMPLETE] / left)
            assert some == pytest.approx((before[COMPLETE] + (before[ANY] - before[COMPLETE]) * (1.0 - dies)) / left)
        else:
            assert (some, both) == pytest.approx(tuple(before))
        assert (body.edited.monocytes == monocytes).all()


def test_an_antibody_spares_b_cells_of_the_body_that_lost_its_antigen() -> None:
    """Also where a drug against another antigen is on board: it kills them all alike."""
    b_cells = (INDEX[Kind.IMMATURE_B], Origin.DONOR)
    for locus, drugs, spared in (
        ("CD19", ("blinatumomab",), True),
        ("CD33", ("blinatumomab",), False),
        ("CD19", ("rituximab",), False),
        ("CD19", ("blinatumomab", "rituximab"), True),
    ):
        body = grafted(Edit(locus=locus, efficiency=0.8))
        for drug in drugs:
            body.antibodies.give(drug, 10.0)
        before, cells = body.edited.pools[(slice(None), *b_cells)].copy(), body.lymphocytes.pools[b_cells]
        host = body.lymphocytes.pools[INDEX[Kind.IMMATURE_B], Origin.HOST]
        engagement.advance(body, np.zeros((FIRST_MOTILE, N_ORIGINS), np.int64), 4.0)
        left = body.lymphocytes.pools[INDEX[Kind.IMMATURE_B], Origin.HOST] / host
        edited = body.edited.pools[(slice(None), *b_cells)] * body.lymphocytes.pools[b_cells] / cells
        both, some = edited[COMPLETE] / before[COMPLETE], edited[ANY] - edited[COMPLETE]
        assert left < 0.95
        assert some == pytest.approx((before[ANY] - before[COMPLETE]) * left), "with one allele they are seen"
        assert (both > 1.02 * left) == spared
        if drugs == ("blinatumomab",):
            assert both == pytest.approx(1.0 if spared else left)
