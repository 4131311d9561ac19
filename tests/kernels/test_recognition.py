"""A lymphocyte engages a cell if and only if antigens & receptors != 0: every pair, every loss, every origin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abm import cells, resources
from abm.cells import LOSS_ANTIGENS, Antigen, Kind, Origin
from abm.phases import HALO
from abm.reference.lattice import AIM_BITS
from tests.conftest import absence
from tests.kernels.states import State, random_state
from tests.kernels.test_emulated import gpu
from tests.kernels.test_parity import RULES, Guarded

APART = 3  # cases so far apart do not see each other
#: Hit class by receptor class, kind and level: here the level itself.
ROWS = cells.N_SPECIFICITIES + cells.N_LOANS
LEVEL_AS_CLASS = np.tile(np.arange(4, dtype=np.uint8), ROWS * cells.N_KINDS)
ALWAYS = 0xFFFFFFFF
LOSSES = (0, *(1 << j for j in range(len(LOSS_ANTIGENS))))
RECEPTORS = RULES.recognition.receptors
RESIDENTS = [kind for kind in RULES.kinds if kind < cells.FIRST_MOTILE]
Case = tuple[int, int, int, int]  # receptor class, kind, origin, losses


def engaged(
    backend: Any,
    cases: Sequence[Case],
    antigens: np.ndarray,
    receptors: np.ndarray,
    dense: Sequence[np.ndarray] = (),
    *,
    kind: Kind = Kind.CD8_EFFECTOR,
    lent: Sequence[int] = (),
    armed: int = ALWAYS,
    hit_class: np.ndarray = LEVEL_AS_CLASS,
) -> np.ndarray:
    """Return for each case what an effector notes of the only cell within its reach: 0 if it does not engage it.

    ``dense``: what is shown at level 2 and 3; without them all is shown at the highest. ``kind``: of the lymphocytes;
    ``lent``: receptors that they hold besides their own, in the rows of loans in turn, with the chance ``armed``.
    ``hit_class``: of a strike, by receptor class, kind and level.
    """
    side = APART * int(np.ceil(len(cases) ** (1 / 3)))
    state: State = random_state((side, side, side), 1, 0.0, RULES, 0, 1)
    at = np.unravel_index(np.arange(len(cases)), (side // APART,) * 3)
    where = (HALO + APART * at[0], APART * at[1], APART * at[2])
    state.arrays["res_hot"][:] = state.arrays["mot_hot"][:] = 0
    state.arrays["res_hot"][where] = [cells.pack_hot(kind=k, origin=o, loss=lost) for _, k, o, lost in cases]
    state.arrays["mot_hot"][where] = [cells.pack_hot(kind=kind, specificity=s) for s, *_ in cases]
    shown_by = np.arange(256) % cells.N_KINDS
    receptors = np.concatenate([receptors, np.zeros(cells.N_LOANS, np.uint32)])
    holder = np.zeros(cells.N_KINDS, np.uint8)
    for row, mask in enumerate(lent, start=cells.N_SPECIFICITIES):
        receptors[row], holder[kind] = mask, row
    binds = ((antigens & receptors[:, None] != 0) & (shown_by != Kind.EMPTY)).astype(np.uint8)
    binds[cells.N_SPECIFICITIES :] *= 3
    levels = np.concatenate([antigens, *dense]) if dense else np.tile(antigens, cells.N_LEVELS)
    state.tables |= {"antigens": levels, "receptors": receptors, "sees": binds.reshape(-1)}
    state.tables |= {"hit_class": hit_class, "lent": holder, "armed": np.full(ROWS, armed, np.uint32)}
    state.tables |= {"vigour": np.full(8, ALWAYS, np.uint32)}
    phases = Guarded(backend, state, 1)
    phases.contacts(1, counted=True)
    found = np.asarray(backend.to_host(phases.arrays["engaged"])).reshape(state.arrays["mot_hot"].shape)
    return np.asarray(found[where])


def gone_with(lost: Antigen) -> set[Antigen]:
    """Return what a cell no longer shows that lost an antigen, from the table itself, not from what is made of it."""
    table = Path(resources.folder("scenarios")) / "rules" / "human" / "antigens.csv"
    rows = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines() if line[0] != "#"][1:]
    presented = {Antigen[name] for name, _, by, *_ in rows if by == lost.name}
    return {lost, *presented} if next(row[3] for row in rows if row[0] == lost.name) == "yes" else set()


def expected(cases: Sequence[Case], antigens: np.ndarray, receptors: np.ndarray) -> list[bool]:
    """Return the rule itself, on sets of antigens."""
    shown = [{a for a in Antigen if int(mask) >> a & 1} for mask in antigens]
    bound = [{a for a in Antigen if int(mask) >> a & 1} for mask in receptors]
    lost = {bits: {a for j, a in enumerate(LOSS_ANTIGENS) if bits >> j & 1 for a in gone_with(a)} for bits in LOSSES}
    return [bool((shown[o * cells.N_KINDS + k] - lost[losses]) & bound[s]) for s, k, o, losses in cases]


def check(backend: Any, cases: Sequence[Case], antigens: np.ndarray, receptors: np.ndarray) -> None:
    wanted = expected(cases, antigens, receptors)
    assert 0 < sum(wanted) < len(wanted)
    np.testing.assert_array_equal(engaged(backend, cases, antigens, receptors) != 0, wanted)


def every_antigen(backend: Any) -> None:
    """Receptor class 1 + a binds antigen a alone; kind 1 + a shows antigen a alone."""
    antigens = np.zeros((cells.N_ORIGINS, cells.N_KINDS), np.uint32)
    receptors = np.zeros(cells.N_SPECIFICITIES, np.uint32)
    for antigen in Antigen:
        antigens[:, 1 + antigen] = receptors[1 + antigen] = 1 << antigen
    classes = range(2 + max(Antigen))
    check(backend, list(product(classes, classes[1:], Origin, LOSSES)), antigens.reshape(-1), receptors)


def shown(donor_is_self: bool) -> np.ndarray:
    """Return what the shipped cells show at any level, uint32 (256,)."""
    return RULES.recognition.masks(RULES.kinds, donor_is_self)[0]


def every_class(backend: Any, donor_is_self: bool) -> None:
    """The shipped receptor classes against all shipped cells."""
    cases = list(product(cells.Specificity, RESIDENTS, Origin, LOSSES))
    check(backend, cases, shown(donor_is_self), RECEPTORS)


def test_every_antigen(backend: Any) -> None:
    every_antigen(backend)


def every_level(backend: Any) -> None:
    """A cell shows one antigen densely, another sparsely: the denser one that is seen and not lost counts."""
    sparse, dense = Antigen.CD19, Antigen.CD33
    kind, both, one = Kind.BLAST, cells.Specificity.CMV, cells.Specificity.EBV
    masks = [np.zeros(256, np.uint32) for _ in range(cells.N_LEVELS)]
    masks[0][kind] = 1 << sparse | 1 << dense
    masks[1][kind] = masks[2][kind] = 1 << dense
    receptors = np.zeros(cells.N_SPECIFICITIES, np.uint32)
    receptors[both], receptors[one] = masks[0][kind], 1 << sparse
    lost = {a: 1 << LOSS_ANTIGENS.index(a) for a in (sparse, dense)}
    cases = [(both, kind, 0, 0), (one, kind, 0, 0), (both, kind, 0, lost[dense]), (both, kind, 0, lost[sparse])]
    noted = engaged(backend, [*cases, (one, kind, 0, lost[sparse])], masks[0], receptors, masks[1:])
    assert (noted >> 5).tolist() == [3, 1, 1, 3, 0]


def test_every_level(backend: Any) -> None:
    every_level(backend)


@pytest.mark.parametrize("donor_is_self", [False, True])
def test_every_class(backend: Any, donor_is_self: bool) -> None:
    every_class(backend, donor_is_self)


def every_loan(backend: Any) -> None:
    """A cell engages what its own receptors or those lent to it bind: every antigen against every pair of receptors.

    Its own need an antigen-presenting cell unless it is an effector, of which there is none here; those lent do not.
    """
    antigens = np.zeros((cells.N_ORIGINS, cells.N_KINDS), np.uint32)
    receptors = np.zeros(cells.N_SPECIFICITIES, np.uint32)
    places = [kind for kind in range(1, 2 + len(Antigen)) if kind != Kind.DENDRITIC]
    for place, antigen in zip(places, Antigen, strict=True):
        antigens[:, place] = receptors[place] = 1 << antigen
    classes = [0, *places]
    cases = list(product(classes, classes[1:], [Origin.HOST], LOSSES))
    own = {Kind.CD8_EFFECTOR: receptors, Kind.CD8_MEMORY: np.zeros_like(receptors)}
    for antigen in Antigen:
        lent = np.uint32(1 << antigen)
        for kind, mine in own.items():
            wanted = expected(cases, antigens.reshape(-1), mine | lent)
            found = engaged(backend, cases, antigens.reshape(-1), receptors, kind=kind, lent=[lent]) != 0
            np.testing.assert_array_equal(found, wanted)
            assert 0 < sum(wanted) < len(wanted)


def test_every_loan(backend: Any) -> None:
    every_loan(backend)


def test_a_loan_is_held_as_often_as_the_drug_occupies_its_target(backend: Any) -> None:
    """A third of 4096 cells: 1365 with a standard deviation of 30."""
    antigens = np.zeros(256, np.uint32)
    antigens[Kind.BLAST] = lent = np.uint32(1 << Antigen.CD19)
    cases = [(0, int(Kind.BLAST), 0, 0)] * 4096
    receptors = np.zeros(cells.N_SPECIFICITIES, np.uint32)
    found = engaged(backend, cases, antigens, receptors, kind=Kind.CD8_MEMORY, lent=[lent], armed=ALWAYS // 3)
    assert abs(int((found != 0).sum()) - 1365) < 4 * 30
    assert not engaged(backend, cases, antigens, receptors, kind=Kind.CD8_MEMORY, lent=[lent], armed=0).any()


def better_of_two(backend: Any) -> None:
    """A cell that sees its target with its own receptor and with one on loan strikes as with the better of them."""
    antigens = np.zeros(256, np.uint32)
    antigens[Kind.BLAST], antigens[Kind.MYELOCYTE] = 1 << Antigen.CD19, 1 << Antigen.CD33
    receptors = np.zeros(cells.N_SPECIFICITIES, np.uint32)
    receptors[1], receptors[2] = 1 << Antigen.CD19, 1 << Antigen.CD33
    cases = [(own, int(kind), 0, 0) for own in (0, 1, 2) for kind in (Kind.BLAST, Kind.MYELOCYTE)]
    for mine, on_loan in ((5, 2), (2, 5)):
        hits = np.zeros((ROWS, cells.N_KINDS, 4), np.uint8)
        hits[1:3, Kind.CD8_EFFECTOR], hits[cells.N_SPECIFICITIES, Kind.CD8_EFFECTOR] = mine, on_loan
        given: dict[str, Any] = {"lent": [np.uint32(1 << Antigen.CD19)], "hit_class": hits.reshape(-1)}
        found = engaged(backend, cases, antigens, receptors, **given) >> AIM_BITS
        assert found.tolist() == [on_loan, 0, 5, 0, on_loan, mine]
        without = engaged(backend, cases, antigens, receptors, armed=0, **given) >> AIM_BITS
        assert without.tolist() == [0, 0, mine, 0, 0, mine]


def test_better_of_two_receptors(backend: Any) -> None:
    better_of_two(backend)


@pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")
def test_thread_by_thread() -> None:
    every_antigen(gpu())
    every_level(gpu())
    every_class(gpu(), donor_is_self=False)
    every_class(gpu(), donor_is_self=True)
    every_loan(gpu())
    better_of_two(gpu())


@pytest.mark.parametrize("donor_is_self", [False, True])
def test_the_table_of_a_step_is_the_rule(donor_is_self: bool) -> None:
    antigens = shown(donor_is_self)
    cases = list(product(cells.Specificity, RESIDENTS, Origin, [0]))
    sees = RULES.sight(donor_is_self)["sees"].reshape(cells.N_SPECIFICITIES, 256)
    found = [bool(sees[s, o * cells.N_KINDS + k] & 1) for s, k, o, _ in cases]
    assert found == expected(cases, antigens, RECEPTORS)


def test_minor_antigens_follow_the_origin() -> None:
    """Host and donor classes see one side each; of an identical donor nothing differs, so nobody sees the donor."""
    presenting = [kind for kind in RESIDENTS if Antigen.HLA_CLASS_I in RULES.recognition.expression.get(kind, {})]
    assert len(presenting) == len(RESIDENTS) - 1  # a reticulocyte does not
    one, other = (shown(is_self).reshape(cells.N_ORIGINS, -1)[:, presenting] for is_self in (True, False))
    host, donor = (RECEPTORS[s] for s in (cells.Specificity.HOST_UBIQUITOUS, cells.Specificity.DONOR))
    assert (one == one[Origin.HOST]).all()
    assert not (one & donor).any()
    assert (other[Origin.HOST] & host).all()
    assert not (other[Origin.HOST] & donor).any()
    assert (other[Origin.DONOR :] & donor).all()
    assert not (other[Origin.DONOR :] & host).any()


def test_no_kernel_names_a_therapy() -> None:
    """Drugs are those of the tables; the others are what one is treated with or for."""
    rules = Path(resources.folder("scenarios")) / "rules"
    tables = [*rules.glob("*/drugs.csv"), *rules.glob("*/antibodies.csv")]
    drugs = {line.split(",")[0] for path in tables for line in path.read_text().splitlines()[1:]}
    named = {name for name in drugs if name and not name.startswith("#")} - {"drug", "antibody"}
    assert {"busulfan", "blinatumomab"} <= named
    named |= {"therapy", "transplant", "graft", "gvhd", "gvl", "dli", "car_t", "aml", "cml", "chemotherapy"}
    assert len(named) > 12
    pattern = re.compile(rf"(?<![a-z])({'|'.join(map(re.escape, sorted(named)))})(?![a-z])")
    for source in Path(resources.folder("kernels")).glob("*.cu*"):
        assert not pattern.findall(source.read_text().lower()), source.name
