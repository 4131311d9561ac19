"""What is worked out once, later or in part says the same as if it were worked out anew: to the last bit."""

from __future__ import annotations

from math import frexp, ldexp
from pathlib import Path

import numpy as np
import pytest

from abm import exactmath, resources
from abm.cells import N_KINDS, Behaviour, Flag, Kind, Origin
from abm.config import load_config
from abm.diversity import simpson
from abm.model.body.clones import NAIVE, NEW, Clones
from abm.model.body.numerics import Floats, some, total
from abm.model.rules import BODY_SIGNALS
from abm.setup import load_model
from tests.unit.body_case import make_body, tables


def whole_exp(x: float) -> float:
    """Return the series of exp to its last term."""
    k = int(x / exactmath.LN2 + (0.5 if x >= 0 else -0.5))
    r = (x - k * exactmath._LN2_HIGH) - k * exactmath._LN2_LOW
    whole = term = 1.0
    for n in range(1, 18):
        term = term * r / n
        whole = whole + term
    return ldexp(whole, k)


def whole_log(x: float) -> float:
    """Return the series of log to its last term."""
    m, e = frexp(x)
    m, e = (m * 2.0, e - 1) if m < 0.7071067811865476 else (m, e)
    s = (m - 1.0) / (m + 1.0)
    whole, term = 0.0, s
    for n in range(1, 40, 2):
        whole = whole + term / n
        term = term * (s * s)
    return e * exactmath._LN2_LOW + (2.0 * whole + e * exactmath._LN2_HIGH)


def test_a_series_that_ends_early_has_the_same_sum() -> None:
    rng = np.random.default_rng(1)
    near_zero = rng.choice([-1.0, 1.0], 4000) * 10.0 ** rng.uniform(-19, 0, 4000)
    for x in np.concatenate([rng.uniform(-700, 700, 4000), near_zero, [0.0, exactmath.LN2]]).tolist():
        assert exactmath.exp(x) == whole_exp(x), x
    for x in np.concatenate([10.0 ** rng.uniform(-300, 300, 4000), 1.0 + 0.9 * near_zero, [1.0]]).tolist():
        assert exactmath.log(x) == whole_log(x), x


def test_counts_follow_every_change_of_the_blood() -> None:
    blood = make_body().blood
    for name, count in (("platelets", "platelet_count"), ("red_cells", "hb"), ("reticulocytes", "hb")):
        before = getattr(blood, count)
        getattr(blood, name)[0, Origin.HOST] *= 3.0  # in place
        changed = getattr(blood, count)
        assert changed > before
        getattr(blood, name)[0, Origin.HOST] /= 3.0
        assert getattr(blood, count) == pytest.approx(before, rel=1e-12)


def test_sums_follow_every_change_of_the_pools() -> None:
    pools = make_body().lymphocytes
    whole = pools.relative_t_cells
    pools.pools[0, Origin.DONOR] = pools.reference_t_cells
    assert pools.relative_t_cells == pytest.approx(whole + 1.0)
    pools.pools = np.zeros_like(pools.pools)
    assert pools.relative_t_cells == pools.relative_cd8_cells == 0.0


def test_clones_that_take_their_slots_later_take_the_same_ones() -> None:
    at_once, later = (Clones(tables().clones, 3, dict.fromkeys(Origin, 0)) for _ in range(2))
    pool: Floats = np.array([1e9, 1e8, 0.0, 0.0])
    for turn in range(60):
        for clones in (at_once, later):
            clones.enter(Kind.CD4_NAIVE, NEW, pool * 0.02, pool)
            clones.enter(Kind.CD4_MEMORY, NAIVE, pool * (0.01 + 0.001 * turn), pool)
        at_once.settle()
    assert (at_once.due == later.due).all()
    assert (at_once.ids == later.ids).all()
    assert all((one == other).all() for one, other in zip(at_once.pack().values(), later.pack().values(), strict=True))


@pytest.mark.parametrize("drug", [0.0, 0.3])
def test_the_wild_type_alone_has_the_rates_of_the_wild_type(drug: float) -> None:
    rules = load_model(load_config(Path(resources.folder("scenarios")) / "aml_hsct.toml")).rules
    hazard = np.full((N_KINDS, 2), drug)
    signals = BODY_SIGNALS | {"gcsf": 7.0, "stroma": 0.4, "flt3l": 3.0}
    rates, renew = rules.wild(signals, hazard, 4.0)
    whole = rules.rates(signals, hazard, 4.0)
    assert (rates == whole.wild).all()
    assert (renew == whole.renew[: 2 * N_KINDS]).all()
    assert bool(rates[:, Behaviour.DRUG].any()) == (drug > 0.0)


def test_who_changes_a_choice_of_kinds_changes_nobody_elses() -> None:
    rules = load_model(load_config(Path(resources.folder("scenarios")) / "homeostasis.toml")).rules
    for choose in (lambda: rules.mask(Flag.LEUKAEMIC), lambda: rules.lineage("erythroid")):
        first = choose()
        assert first.any()
        first[:] = False
        assert choose().any()


def test_measures_follow_a_sample_that_changes_in_place() -> None:
    cells = np.arange(1.0, 101.0)
    assert simpson(cells) == pytest.approx(0.99)
    cells[:] = 7.0
    assert simpson(cells) == 0.0


def test_some_is_any() -> None:
    for values in (np.zeros((2, 3)), np.array([0.0, -0.0]), np.array([0.0, np.nan]), np.array([[0.0], [1e-300]])):
        assert some(values) == bool(values.any())
    assert total(np.zeros(0)) == 0.0
