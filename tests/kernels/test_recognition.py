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
from tests.conftest import absence
from tests.kernels.states import State, random_state
from tests.kernels.test_emulated import gpu
from tests.kernels.test_parity import RULES, Guarded

APART = 3  # cases so far apart do not see each other
LOSSES = (0, *(1 << j for j in range(len(LOSS_ANTIGENS))))
RESIDENTS = [kind for kind in RULES.kinds if kind < cells.FIRST_MOTILE]
Case = tuple[int, int, int, int]  # receptor class, kind, origin, losses


def engaged(backend: Any, cases: Sequence[Case], antigens: np.ndarray, receptors: np.ndarray) -> np.ndarray:
    """Return for each case whether an effector engages the only cell within its reach."""
    side = APART * int(np.ceil(len(cases) ** (1 / 3)))
    state: State = random_state((side, side, side), 1, 0.0, RULES, 0, 1)
    at = np.unravel_index(np.arange(len(cases)), (side // APART,) * 3)
    where = (HALO + APART * at[0], APART * at[1], APART * at[2])
    state.arrays["res_hot"][:] = state.arrays["mot_hot"][:] = 0
    state.arrays["res_hot"][where] = [cells.pack_hot(kind=k, origin=o, loss=lost) for _, k, o, lost in cases]
    state.arrays["mot_hot"][where] = [cells.pack_hot(kind=Kind.CD8_EFFECTOR, specificity=s) for s, *_ in cases]
    kind = np.arange(256) % cells.N_KINDS
    binds = (antigens & receptors[:, None] != 0) & (kind != Kind.EMPTY)
    state.tables |= {"antigens": antigens, "receptors": receptors, "sees": binds.astype(np.uint8).reshape(-1)}
    phases = Guarded(backend, state, 1)
    phases.contacts(1, counted=True)
    found = np.asarray(backend.to_host(phases.arrays["engaged"])).reshape(state.arrays["mot_hot"].shape)
    return np.asarray(found[where] != 0)


def expected(cases: Sequence[Case], antigens: np.ndarray, receptors: np.ndarray) -> list[bool]:
    """Return the rule itself, on sets of antigens."""
    shown = [{a for a in Antigen if int(mask) >> a & 1} for mask in antigens]
    bound = [{a for a in Antigen if int(mask) >> a & 1} for mask in receptors]
    lost = {bits: {a for j, a in enumerate(LOSS_ANTIGENS) if bits >> j & 1} for bits in LOSSES}
    return [bool((shown[o * cells.N_KINDS + k] - lost[losses]) & bound[s]) for s, k, o, losses in cases]


def check(backend: Any, cases: Sequence[Case], antigens: np.ndarray, receptors: np.ndarray) -> None:
    wanted = expected(cases, antigens, receptors)
    assert 0 < sum(wanted) < len(wanted)
    np.testing.assert_array_equal(engaged(backend, cases, antigens, receptors), wanted)


def every_antigen(backend: Any) -> None:
    """Receptor class 1 + a binds antigen a alone; kind 1 + a shows antigen a alone."""
    antigens = np.zeros((cells.N_ORIGINS, cells.N_KINDS), np.uint32)
    receptors = np.zeros(cells.N_SPECIFICITIES, np.uint32)
    for antigen in Antigen:
        antigens[:, 1 + antigen] = receptors[1 + antigen] = 1 << antigen
    classes = range(1 + len(Antigen))
    check(backend, list(product(classes, classes[1:], Origin, LOSSES)), antigens.reshape(-1), receptors)


def every_class(backend: Any, donor_is_self: bool) -> None:
    """The shipped receptor classes against all shipped cells."""
    cases = list(product(cells.Specificity, RESIDENTS, Origin, LOSSES))
    check(backend, cases, RULES.antigens(donor_is_self), RULES.receptors)


def test_every_antigen(backend: Any) -> None:
    every_antigen(backend)


@pytest.mark.parametrize("donor_is_self", [False, True])
def test_every_class(backend: Any, donor_is_self: bool) -> None:
    every_class(backend, donor_is_self)


@pytest.mark.skipif(bool(absence("host")), reason=absence("host") or "there is a compiler")
def test_thread_by_thread() -> None:
    every_antigen(gpu())
    every_class(gpu(), donor_is_self=False)
    every_class(gpu(), donor_is_self=True)


@pytest.mark.parametrize("donor_is_self", [False, True])
def test_the_table_of_a_step_is_the_rule(donor_is_self: bool) -> None:
    antigens = RULES.antigens(donor_is_self)
    cases = list(product(cells.Specificity, RESIDENTS, Origin, [0]))
    sees = RULES.sees(antigens).reshape(cells.N_SPECIFICITIES, 256)
    found = [bool(sees[s, o * cells.N_KINDS + k] & 1) for s, k, o, _ in cases]
    assert found == expected(cases, antigens, RULES.receptors)


def test_minor_antigens_follow_the_origin() -> None:
    """Host and donor classes see one side each; of an identical donor nothing differs, so nobody sees the donor."""
    one, other = (RULES.antigens(is_self).reshape(cells.N_ORIGINS, -1)[:, RESIDENTS] for is_self in (True, False))
    host = RULES.receptors[cells.Specificity.HOST_UBIQUITOUS]
    donor = RULES.receptors[cells.Specificity.DONOR]
    assert (one == one[Origin.HOST]).all()
    assert not (one & donor).any()
    assert (other[Origin.HOST] & host).all()
    assert not (other[Origin.HOST] & donor).any()
    assert (other[Origin.DONOR :] & donor).all()
    assert not (other[Origin.DONOR :] & host).any()


def test_no_kernel_names_a_therapy() -> None:
    """Drugs are those of the tables; the others are what one is treated with or for."""
    rules = Path(resources.folder("scenarios")) / "rules"
    drugs = {line.split(",")[0] for path in rules.glob("*/drugs.csv") for line in path.read_text().splitlines()[1:]}
    named = {name for name in drugs if name and not name.startswith("#")} - {"drug"}
    named |= {"therapy", "transplant", "graft", "gvhd", "gvl", "dli", "car_t", "aml", "cml", "chemotherapy"}
    assert len(named) > 12
    pattern = re.compile(rf"(?<![a-z])({'|'.join(map(re.escape, sorted(named)))})(?![a-z])")
    for source in Path(resources.folder("kernels")).glob("*.cu*"):
        assert not pattern.findall(source.read_text().lower()), source.name
