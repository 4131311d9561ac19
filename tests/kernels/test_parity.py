"""Every kernel on every backend writes the same bits as its NumPy twin, and nothing outside its window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abm import cells
from abm.backends.numpy_backend import NumpyBackend
from abm.chains import Chain, Stage
from abm.comm import SerialComm
from abm.ledger import CARRIED
from abm.messages import CellList, Sparse, longest_list
from abm.phases import HALO, SCRATCH, Phases
from abm.streams import Stream
from abm.tallies import Reading
from tests.kernels.states import State, human_rules, random_state, ring

RULES = human_rules()
GUARD = 64
#: Antigen masks of receptors whose targets are counted.
WATCHED = (1 << cells.Antigen.CD33, 1 << cells.Antigen.CD19 | 1 << cells.Antigen.CD123)


def random_states(rank: st.SearchStrategy[int], size: int) -> st.SearchStrategy[State]:
    """Return states of all sizes, fillings and seeds."""
    return st.builds(
        random_state,
        shape=st.tuples(st.integers(8, 14), st.integers(5, 9), st.integers(5, 11)),
        seed=st.integers(0, 2**32),
        filling=st.sampled_from([0.02, 0.3, 0.6, 0.95]),
        rules=st.just(RULES),
        rank=rank,
        size=st.just(size),
    )


states = random_states(st.integers(0, 1), 2) | random_states(st.just(0), 1).map(ring)


class Guarded(Phases):
    """Phases whose lattice arrays sit between guard bytes."""

    def __init__(self, backend: Any, state: State, seed: int) -> None:
        super().__init__(backend, state.domain, SerialComm(), seed)
        self.guards: dict[str, Any] = {}
        for name, array in list(self.arrays.items()):
            n = array.size
            host = np.full(n + 2 * GUARD, 0xA5, np.uint8).astype(array.dtype)
            host[GUARD:-GUARD] = state.arrays[name].reshape(-1) if name in state.arrays else 0
            whole = backend.to_device(host)
            self.guards[name] = whole
            self.arrays[name] = whole[GUARD : GUARD + n].reshape(array.shape)
        bits = self.mustered["bidders"]
        self.guards["bidders"] = whole = backend.to_device(np.full(bits.size + 2 * GUARD, 0xA5, np.uint64))
        self.mustered["bidders"] = whole[GUARD : GUARD + bits.size].reshape(bits.shape)
        self.set_constants(state.tables)

    def launch(self, *stages: Stage, **scalars: int) -> None:
        """Launch stages that no phase has in this form."""
        Chain(self.backend, self.domain, stages, self._known())(**scalars)

    def intact(self) -> bool:
        """Whether all guard elements still hold their value."""
        for whole in self.guards.values():
            host = np.asarray(self.backend.to_host(whole))
            value = np.uint8(0xA5).astype(host.dtype)
            if not ((host[:GUARD] == value).all() and (host[-GUARD:] == value).all()):
                return False
        return True


def pass_on(p: Guarded, step: int) -> None:
    """Let something pass between cells of the motile layer: no cell, some or all of a row catch it."""
    rng = np.random.default_rng(step)
    chances = {name: rng.choice([0, 1 << 25, 1 << 30, 2**32 - 1], 512) for name in ("by_blood", "by_contact")}
    p.set_constants({name: table.astype(np.uint32) for name, table in chances.items()})
    source, usual, other = cells.Kind.CD4_MEMORY, cells.Kind.TREG, cells.Kind.CD4_NAIVE
    fate = {"entry": 1 << 8 | 1, "source": source, "usual": usual, "other": other, "rare": 1 << 30}
    p.launch(*p._transmit(*fate.items()), step=step)


def run_all(backend: Any, state: State, seed: int, step: int) -> tuple[dict[str, np.ndarray], bool]:
    """Run every lattice kernel once, in the order of a step; returns all arrays and whether guards held."""
    p = Guarded(backend, state, seed)
    seen: dict[str, np.ndarray] = {}

    def look(stage: str, *names: str) -> None:
        for name in names:
            seen[f"{stage}/{name}"] = np.array(backend.to_host(p.arrays[name]))

    p.contacts(step, counted=True, tires=True)
    look("contacts", "priority", "histogram", "engaged", "struck", "mot_hot")
    for name, extra in (("cxcl12", {"half": 4.0}), ("inflammation", {})):
        spare = f"spare_{name}"
        common = {"weight": 1 / 6.3, "source": 0.7, "floor": 1e-3, "field": p.arrays[name], "next": p.arrays[spare]}
        p.launch(Stage(f"sweep_{name}", HALO - 2, common | extra))
        look("fields", spare)
    highest = int(
        state.tables["ceiling"][: state.tables["ceiling"].size // 2].max() - np.uint32(state.domain.total % 2) * 2**31
    )
    for layer in ("res", "mot"):
        p.fate(layer, step, highest, hurts=layer == "res")
        look(layer, "action", "priority", f"{layer}_hot", f"{layer}_cold")
        reading = Reading(p.tallies)
        seen[f"{layer}/leavers"], seen[f"{layer}/events"] = np.stack(reading.leavers()), reading.counts()
        seen[f"{layer}/damaged"] = np.array(reading.damaged())
    p.census_niche()
    p.census_label()
    seen["counts"], seen["there"] = Reading(p.tallies).counts(), p.census()
    seen["marks"], seen["beside"] = p.marks(), p.beside_stroma()
    p.tallies.watch(WATCHED)
    p.census_seen()
    seen["seen"] = Reading(p.tallies, seen=True).seen()
    p._chain(p._label, cells.Label.DNA)(step=step)
    look("label", "res_cold")
    p.purge(step, 1 << 31)
    look("purge", "res_hot", "res_cold", "mot_hot", "mot_cold")
    seen["purged"] = Reading(p.tallies).counts()
    pass_on(p, step)
    look("transmit", "action", "mot_hot", "mot_cold")
    seen["transmitted"] = Reading(p.tallies).counts()
    p.launch(p._draw("bid", 2, Stream.HOP), step=step)  # the motile halo is valid up to here
    look("bid", "action", "priority")
    p.launch(Stage("hop", 1, p.bounds))
    look("hop", "mot_hot", "mot_cold")
    p.launch(*p._muster())
    look("muster", "action")
    bid, hop = p._mustered(1)
    p.launch(bid, step=step)
    seen["bidders"] = np.array(backend.to_host(p.mustered["bidders"]))
    p.launch(hop, step=step)
    look("walk", "action", "mot_hot", "mot_cold")
    return seen, p.intact()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=states, seed=st.integers(0, 2**64 - 1), step=st.integers(0, 2**32 - 1))
def test_a_step_is_bit_identical(backend: Any, state: State, seed: int, step: int) -> None:
    expected, intact = run_all(NumpyBackend(), state, seed, step)
    assert intact
    found, intact = run_all(backend, state, seed, step)
    assert intact, "a kernel wrote outside its arrays"
    for name, array in expected.items():
        assert array.dtype == found[name].dtype
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def test_the_random_states_exercise_every_event() -> None:
    seen: set[int] = set()
    for seed in range(6):
        state = random_state((12, 9, 11), seed, 0.5, RULES, 0, 1)
        arrays, _ = run_all(NumpyBackend(), state, seed, 3)
        seen |= set(np.unique(arrays["res/action"] & 15)) | set(np.unique(arrays["mot/action"] & 15))
        assert arrays["contacts/engaged"].any()
    assert seen >= {event.value for event in cells.Event}


@pytest.mark.parametrize("form", [lambda state: state, ring], ids=["halo", "ring"])
def test_slabs_agree_with_the_whole_lattice(backend: Any, form: Callable[[State], State]) -> None:
    whole, _ = run_all(backend, form(random_state((12, 6, 7), 5, 0.5, RULES, 0, 1)), 9, 4)
    parts = [run_all(backend, random_state((12, 6, 7), 5, 0.5, RULES, rank, 3), 9, 4)[0] for rank in range(3)]
    inner = slice(HALO, -HALO)
    for name in ("res/res_hot", "res/res_cold", "mot/mot_hot", "contacts/histogram"):
        np.testing.assert_array_equal(whole[name][inner], np.concatenate([p[name][inner] for p in parts]), err_msg=name)
    for name in ("res/events", "mot/events", "counts", "seen", "beside"):
        assert whole[name].any()
        np.testing.assert_array_equal(whole[name], sum(p[name] for p in parts))


def walked(backend: Any, state: State, seed: int, *, mustered: bool) -> tuple[list[np.ndarray], bool]:
    """Return the motile layer after some sub-steps among lymphocytes of which some are engaged."""
    p = Guarded(backend, state, seed)
    p.exchange("tissue")
    p.exchange("res_hot", motile_depth=HALO)
    p.contacts(2, counted=True)
    for substep in range(4):
        (p.mustered_substep if mustered else p.motile_substep)(2, substep)
    return [p.owned(name) for name in ("mot_hot", "mot_cold", "engaged")], p.intact()


@pytest.mark.parametrize("filling", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("form", ["halo", "ring", "closed"])
def test_the_walk_is_the_same_with_and_without_a_muster(backend: Any, form: str, filling: float) -> None:
    state = random_state((9, 7, 11), 4, filling, RULES, 0, 1)
    if form == "closed":
        state = replace(state, domain=replace(state.domain, closed=True))
    state = ring(state) if form == "ring" else state
    expected, intact = walked(NumpyBackend(), state, 5, mustered=False)
    assert intact
    assert expected[2].any()
    assert (expected[0] != state.arrays["mot_hot"][HALO:-HALO]).any()
    found, intact = walked(backend, state, 5, mustered=True)
    assert intact
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def run_list(backend: Any, state: State) -> tuple[list[np.ndarray], bool]:
    """List the motile cells of the lowest owned planes and put them on the lowest planes of the halo."""
    p, depth = Guarded(backend, state, 1), 3
    cells = Sparse(p.arrays["mot_hot"], p.arrays["mot_cold"], depth)
    listed = CellList(backend, state.domain, cells)
    buffer = backend.buffer(longest_list(state.domain, cells), on_device=False)
    size = listed.take(buffer, slice(HALO, HALO + depth))
    rows = np.array(buffer[:size]).view(np.uint32).reshape(-1, 3)
    listed.put(buffer[:size], slice(0, depth))
    layer = [np.array(backend.to_host(p.arrays[name])) for name in ("mot_hot", "mot_cold")]
    return [rows[np.argsort(rows[:, 0])], *layer], p.intact()


@pytest.mark.parametrize("filling", [0.0, 0.05, 0.5, 1.0])
def test_a_list_of_cells_is_bit_identical(backend: Any, filling: float) -> None:
    state = random_state((10, 6, 7), 3, filling, RULES, 0, 1)
    (rows, hot, cold), intact = run_list(NumpyBackend(), state)
    assert intact
    np.testing.assert_array_equal(hot[:3], hot[HALO : HALO + 3])
    there = hot[:3] != 0
    np.testing.assert_array_equal(cold[:3][there], cold[HALO : HALO + 3][there])
    assert len(rows) == np.count_nonzero(there)
    found, intact = run_list(backend, state)
    assert intact
    for one, other in zip((rows, hot, cold), found, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=states, seed=st.integers(0, 2**64 - 1))
def test_differences_are_those_of_the_census(backend: Any, state: State, seed: int) -> None:
    """Also where cells come in from the halo, or send a daughter there."""
    p = Guarded(backend, state, seed)
    p.contacts(3, counted=True)
    before = p.census()
    for layer in ("res", "mot"):
        p.fate(layer, 3, 2**32 - 1)
    p.purge(3, 1 << 31)
    pass_on(p, 3)
    counted, after = Reading(p.tallies).counts(), p.census()
    for row in CARRIED:
        assert before[row].any()
        np.testing.assert_array_equal(counted[row], after[row] - before[row], err_msg=row.name)


def assert_collects(backend: Any) -> None:
    """Check that the counts of all parts are added up and cleared."""
    shape = cells.N_PARTS, cells.N_COUNTS * cells.N_KINDS * cells.N_ORIGINS
    given = np.random.default_rng(1).integers(0, 2**32, shape, dtype=np.uint32)
    counts, totals = backend.to_device(given), backend.alloc(shape[1], np.int64)
    backend.launch("collect", shape[1], counts=counts, totals=totals)
    signed = given.view(np.int32)  # counts may be differences
    np.testing.assert_array_equal(backend.to_host(totals), signed.sum(axis=0, dtype=np.int64))
    assert not np.asarray(backend.to_host(counts)).any()


def test_counts_of_all_parts_are_collected(backend: Any) -> None:
    assert_collects(backend)


def test_scratch_has_no_state_name() -> None:
    assert not set(SCRATCH) & {"res_hot", "res_cold", "mot_hot", "mot_cold"}
