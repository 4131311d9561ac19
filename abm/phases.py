"""The phases of a step as kernel launches over one slab. No biology here: only order, reach and buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_COUNTS, N_KINDS, N_ORIGINS
from abm.comm import SerialComm
from abm.domain import Domain
from abm.errors import LedgerError
from abm.state import FIELDS, checkpoint_fields
from abm.streams import Stream

#: How far each phase reads beyond the sites it writes, in the order they follow one exchange.
FATE_CHAIN = {"contacts": 1, "fate": 1, "resolve": 1, "commit": 1}
HOP_CHAIN = {"bid": 1, "pull": 1, "leave": 1}
SWEEP_REACH = 1
#: Planes every slab needs from its neighbours: the sum of reaches along the longest chain.
HALO = max(sum(FATE_CHAIN.values()), sum(HOP_CHAIN.values()), SWEEP_REACH)

#: Scratch arrays besides the state: name -> type.
SCRATCH: dict[str, str] = {
    "spare_hot": "u4",
    "spare_cold": "u4",
    "spare_cxcl12": "f4",
    "spare_inflammation": "f4",
    "histogram": "u4",
    "action": "u4",
    "priority": "u4",
    "winner": "u1",
    "engaged": "u1",
    "bidders": "u2",
}
#: Longest row of sites: the kernels of the random walk list bidders by their x in 16 bits.
MAX_ROW = 1 << 16
#: Room per plane for stem cells that leave in one step.
LEAVERS_PER_PLANE = 256

Array = NDArray[Any]


def bytes_per_site() -> list[tuple[str, int]]:
    """Return every lattice array with its bytes per site, and the total as the last entry."""
    sizes = [(f.name, np.dtype(f.dtype).itemsize) for f in FIELDS]
    sizes += [(name, np.dtype(dtype).itemsize) for name, dtype in SCRATCH.items()]
    return [*sizes, ("total", sum(size for _, size in sizes))]


class Phases:
    """The arrays of one slab and the launches that advance them."""

    def __init__(self, backend: Any, domain: Domain, comm: SerialComm, seed: int) -> None:  # noqa: ANN401
        """Allocate everything, zeroed."""
        self.backend, self.domain, self.comm, self.seed = backend, domain, comm, seed
        types = {f.name: f.dtype for f in FIELDS} | SCRATCH
        self.arrays: dict[str, Any] = {k: backend.alloc(domain.local_shape, t) for k, t in types.items()}
        rows = domain.local_shape[0] * domain.local_shape[1]
        self.arrays["n_bidders"] = backend.alloc(rows, np.uint32)
        self.counts = backend.alloc(domain.n_owned * N_COUNTS * N_KINDS * N_ORIGINS, np.int64)
        self.constants: dict[str, Any] = {}

    # -- data in and out

    def set_constants(self, tables: dict[str, Array]) -> None:
        """Put constant kernel tables on the device under their argument names."""
        self.constants |= {name: self.backend.to_device(np.ascontiguousarray(t)) for name, t in tables.items()}

    def load(self, name: str, owned: Array) -> None:
        """Fill the owned planes of a state array from a host array (n_owned, ny, nx)."""
        halo = self.domain.halo
        target = self.arrays[name][halo : halo + self.domain.n_owned]
        self.backend.copy(target, self.backend.to_device(np.ascontiguousarray(owned)))

    def owned(self, name: str) -> Array:
        """Return a host copy of the owned planes of an array."""
        halo = self.domain.halo
        return np.array(self.backend.to_host(self.arrays[name][halo : halo + self.domain.n_owned]))

    def snapshot(self) -> dict[str, Array]:
        """Return host copies of all state arrays."""
        return {f.name: self.owned(f.name) for f in checkpoint_fields()}

    def exchange(self, *names: str, depth: int = HALO) -> None:
        """Bring halo planes up to date."""
        self.comm.exchange(self.backend, self.domain, [self.arrays[n] for n in names], depth)

    # -- phases

    def contacts(self, step: int, wanted: Any) -> None:  # noqa: ANN401
        """Phase 1: neighbour histogram (of the wanted kinds) and recognition."""
        beyond = HALO - FATE_CHAIN["contacts"]
        self._run("classify", HALO, signature=self.arrays["priority"])
        self._run("contacts", beyond, signature=self.arrays["priority"], wanted=wanted)
        self._draw("engage", beyond, step, Stream.ENGAGE)

    def sweep(self, name: str, settings: dict[str, Any]) -> None:
        """Phase 2: one Jacobi sweep of a field."""
        spare = f"spare_{name}"
        self._run(f"sweep_{name}", 0, field=self.arrays[name], next=self.arrays[spare], **settings)
        self._swap(name, spare)
        self.exchange(name)

    def fate(self, layer: str, step: int, rates: Any, ceiling: Any, renew: Any) -> None:  # noqa: ANN401
        """Phases 3-5: choose events, resolve claims, commit the layer ("res" or "mot")."""
        a, motile = self.arrays, layer == "mot"
        own = {"hot": a[f"{layer}_hot"], "cold": a[f"{layer}_cold"]}
        beyond = HALO - FATE_CHAIN["contacts"] - FATE_CHAIN["fate"]
        stream, outcome = (Stream.FATE_MOTILE, Stream.OUTCOME_MOTILE) if motile else (Stream.FATE, Stream.OUTCOME)
        self._draw("fate", beyond, step, stream, layer_is_motile=int(motile), rates=rates, ceiling=ceiling, **own)
        beyond -= FATE_CHAIN["resolve"]
        self._run("resolve", beyond, hot=own["hot"])
        beyond -= FATE_CHAIN["commit"]
        after = {"hot_next": a["spare_hot"], "cold_next": a["spare_cold"]}
        self._draw("commit", beyond, step, outcome, renew=renew, **own, **after)

    def tally(self, layer: str) -> None:
        """Phase 7: add the events of the layer just committed to the counts."""
        self._planes("tally", hot=self.arrays[f"{layer}_hot"], hot_next=self.arrays["spare_hot"], counts=self.counts)

    def make_current(self, layer: str) -> None:
        """Swap the committed words of a layer in."""
        self._swap(f"{layer}_hot", "spare_hot")
        self._swap(f"{layer}_cold", "spare_cold")

    def motile_substep(self, step: int, substep: int, hop: Any) -> None:  # noqa: ANN401
        """Phase 6: one step of the random walk."""
        self.exchange("mot_hot", "mot_cold", depth=sum(HOP_CHAIN.values()))
        beyond = HOP_CHAIN["pull"] + HOP_CHAIN["leave"]
        self._draw("bid", beyond, step, Stream.HOP, draw=substep, by_row=True, hop=hop)
        self._run("pull", beyond - HOP_CHAIN["pull"], by_row=True)
        self._run("leave", 0, by_row=True)

    def clear_counts(self) -> None:
        """Start the counts of a new step."""
        self.backend.clear(self.counts)

    def read_counts(self) -> NDArray[np.int64]:
        """Return the counts of this step over all ranks, int64 (N_COUNTS, 64, 4)."""
        shape = self.domain.n_owned, N_COUNTS, N_KINDS, N_ORIGINS
        return self.comm.sum_int64(np.asarray(self.backend.to_host(self.counts)).reshape(shape).sum(axis=0))

    def leavers(self, layer: str, chosen: Any) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:  # noqa: ANN401
        """Return hot and cold words of the chosen kinds that leave in this step, in global site order."""
        n = self.domain.n_owned
        number = self.backend.alloc(n, np.int64)
        words = self.backend.alloc(n * LEAVERS_PER_PLANE * 2, np.uint32)
        own = {"hot": self.arrays[f"{layer}_hot"], "cold": self.arrays[f"{layer}_cold"]}
        self._planes("collect", room=LEAVERS_PER_PLANE, chosen=chosen, leavers=number, words=words, **own)
        found = np.asarray(self.backend.to_host(number))
        if found.max(initial=0) > LEAVERS_PER_PLANE:
            msg = f"{found.max()} stem cells leave one plane in one step; at most {LEAVERS_PER_PLANE} can be kept"
            raise LedgerError(msg)
        rows = np.asarray(self.backend.to_host(words)).reshape(n, LEAVERS_PER_PLANE, 2)
        kept = np.arange(LEAVERS_PER_PLANE) < found[:, None]
        picked = self.comm.gather_planes(rows[kept])
        return picked[:, 0].copy(), picked[:, 1].copy()

    # -- cells from the blood

    def probe(self, layer: str, sites: NDArray[np.int64], niche_only: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which candidate global sites can take a cell."""
        answer = self.backend.alloc(max(sites.size, 1), np.uint8)
        self.backend.launch(
            "probe",
            sites.size,
            sites=self.backend.to_device(self.domain.local(sites)),
            niche_only=self.backend.to_device(niche_only),
            hot=self.arrays[f"{layer}_hot"],
            tissue=self.arrays["tissue"],
            open=answer,
        )
        is_open = np.asarray(self.backend.to_host(answer))[: sites.size].astype(np.int64)
        return self.comm.sum_int64(is_open) > 0

    def settle(self, layer: str, sites: NDArray[np.int64], hot: NDArray[np.uint32], cold: NDArray[np.uint32]) -> None:
        """Put cells on distinct open global sites."""
        self.backend.launch(
            "settle",
            sites.size,
            sites=self.backend.to_device(self.domain.local(sites)),
            new_hot=self.backend.to_device(hot),
            new_cold=self.backend.to_device(cold),
            hot=self.arrays[f"{layer}_hot"],
            cold=self.arrays[f"{layer}_cold"],
        )

    # -- launching

    def _swap(self, one: str, other: str) -> None:
        self.arrays[one], self.arrays[other] = self.arrays[other], self.arrays[one]

    def _run(self, kernel: str, beyond: int, *, by_row: bool = False, **special: Any) -> None:  # noqa: ANN401
        """Launch over the sites (or rows) of the owned planes and ``beyond`` more; arguments come by name."""
        n, first = self.domain.window(beyond)
        self.backend.launch(
            kernel, n // self.domain.shape[2] if by_row else n, **self._arguments(kernel, {"first": first} | special)
        )

    def _draw(self, kernel: str, beyond: int, step: int, stream: Stream, draw: int = 0, **special: Any) -> None:  # noqa: ANN401
        """Launch a kernel that draws random numbers."""
        random: dict[str, Any] = {"seed": self.seed, "step": step, "word": stream * 256 + draw}
        self._run(kernel, beyond, **random, **special)

    def _planes(self, kernel: str, **special: Any) -> None:  # noqa: ANN401
        """Launch one thread per owned plane."""
        known = {"first_plane": self.domain.halo}
        self.backend.launch(kernel, self.domain.n_owned, **self._arguments(kernel, known | special))

    def _arguments(self, kernel: str, special: dict[str, Any]) -> dict[str, Any]:
        domain = self.domain
        known = {
            "ny": domain.shape[1],
            "nx": domain.shape[2],
            "total": domain.total,
            "shift": domain.shift,
            **self.constants,
            **self.arrays,
            **special,
        }
        return {arg.name: known[arg.name] for arg in self.backend.kernels[kernel].args}
