"""The phases of a step as kernel launches over one slab. No biology here: only order, reach and buffers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abm.cells import N_BESIDE, N_COUNTS, N_KINDS, N_MARKS, N_ORIGINS, N_PARTS, EditBit, Label, Tissue
from abm.chains import Chain, Stage
from abm.comm import SerialComm
from abm.domain import Domain
from abm.lodgement import Lodgement
from abm.messages import Edges, Sparse
from abm.state import FIELDS, checkpoint_fields
from abm.streams import Stream
from abm.tallies import Tallies

#: How far each phase reads beyond the sites it writes, in the order they follow one exchange. What takes a claimed site
#: comes from a plane beyond, and its rivals from the next.
FATE_CHAIN = {"contacts": 1, "fate": 1, "commit": 2}
HOP_CHAIN = {"bid": 1, "hop": 2}
SWEEP_REACH = 1
#: Planes beyond a slab on which a sweep works: as far as `fate` runs, which reads the fields.
SWEPT = FATE_CHAIN["commit"]
#: Planes every slab needs from its neighbours: the sum of reaches along the longest chain.
HALO = max(sum(FATE_CHAIN.values()), sum(HOP_CHAIN.values()), SWEPT + SWEEP_REACH)

#: Planes of arrays that are read beyond a slab, where these are fewer than all. Of cold words, a kernel looks at those
#: of its own cells only.
DEPTHS = {"res_cold": FATE_CHAIN["commit"]} | dict.fromkeys(("cxcl12", "inflammation"), SWEPT + SWEEP_REACH)

#: Scratch arrays besides the state: name -> type.
SCRATCH: dict[str, str] = {
    "spare_cxcl12": "f4",
    "spare_inflammation": "f4",
    "histogram": "u4",
    "action": "u1",
    "priority": "u4",
    "engaged": "u1",
    "struck": "u1",
}
#: What kernels do not look at of the bound of an event's probability: steps that differ only there are the same.
LOW_BITS = (1 << 24) - 1
#: Arguments that are arrays which swap places: the fields, and both by other names.
SWAPPED = {"cxcl12", "inflammation", "field", "next"}
#: Kinds of steps that are remembered.
MOST_REPEATS = 64

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
        begin = domain.halo * domain.plane
        self.bounds = {"begin": begin, "end": begin + domain.n_owned * domain.plane}  # the owned sites
        self.tallies = Tallies(backend, comm, domain.n_owned)
        self.constants: dict[str, Any] = {}
        self._sent: dict[str, Array] = {}  # what they were last made of
        self.chains: dict[tuple[Any, ...], Chain] = {}
        self.repeats: dict[tuple[Any, ...], Callable[[int], None]] = {}
        self.counted = False  # whether the histogram may hold anything but zeros

    # -- data in and out

    def set_constants(self, tables: dict[str, Array]) -> None:
        """Put constant kernel tables, which nobody changes any more, on the device under their argument names."""
        for name, table in tables.items():
            if self._sent.get(name) is table:
                continue
            array, self._sent[name] = np.ascontiguousarray(table), table
            if name in self.constants:  # in place: backends remember arrays they have checked
                self.backend.send(self.constants[name], array)
            else:
                self.constants[name] = self.backend.to_device(array)

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

    def exchange(self, *names: str, motile_depth: int = 0) -> None:
        """Bring as many halo planes of these arrays up to date as are read, and so many of the motile layer.

        Between ranks the cells of the motile layer travel as a list. A ring has no neighbour but itself.
        """
        if self.domain.ring:
            return
        depths = {name: DEPTHS.get(name, HALO) for name in names}
        motile = dict.fromkeys(("mot_hot", "mot_cold"), motile_depth) if motile_depth else {}
        cells = Sparse(self.arrays["mot_hot"], self.arrays["mot_cold"], motile_depth) if motile else None
        planes = [(self.arrays[name], depth) for name, depth in depths.items()]
        self.comm.exchange(self.backend, self.domain, Edges(planes, cells))
        if self.domain.closed:
            self._close_ends(depths | motile)

    def _close_ends(self, depths: dict[str, int]) -> None:
        """Let empty bone be what lies beyond the first and the last plane of the lattice."""
        halo, nz = self.domain.halo, self.domain.n_owned
        for name, depth in depths.items():
            ends = [slice(halo - depth, halo)] if self.domain.rank == 0 else []
            ends += [slice(halo + nz, halo + nz + depth)] if self.domain.rank == self.domain.size - 1 else []
            for planes in ends:
                beyond = self.arrays[name][planes]
                self.backend.clear(beyond)
                if name == "tissue":
                    self.backend.copy(beyond, self.backend.to_device(np.full(beyond.shape, Tissue.BONE, np.uint8)))

    # -- phases

    def contacts(self, step: int, *, counted: bool, tires: bool = False) -> None:
        """Phase 1: neighbour histogram (zero unless ``counted``), recognition, exhaustion if any cell ``tires``."""
        self._touch(step, counted, tires)
        self.counted = counted

    def _touch(self, step: int, counted: bool, tires: bool) -> None:
        self.backend.clear(self.arrays["struck"])
        if self.counted and not counted:
            self.backend.clear(self.arrays["histogram"])
        self._chain(self._contacts, counted, tires)(step=step)

    def _contacts(self, counted: bool, tires: bool) -> list[Stage]:
        beyond = HALO - FATE_CHAIN["contacts"]
        signature = {"signature": self.arrays["priority"]}
        count = [Stage("classify", HALO, signature), Stage("contacts", beyond, signature)] if counted else []
        tire = [self._draw("exhaust", beyond, Stream.EXHAUST)] if tires else []
        return [*count, self._draw("engage", beyond, Stream.ENGAGE), *tire]

    def sweep(self, name: str, settings: dict[str, Any]) -> None:
        """Phase 2: one Jacobi sweep of a field."""
        self._chain(self._sweep, name, tuple(settings.items()))()
        self._swap(name)

    def _swap(self, name: str) -> None:
        spare = f"spare_{name}"
        self.arrays[name], self.arrays[spare] = self.arrays[spare], self.arrays[name]

    def _sweep(self, name: str, settings: tuple[tuple[str, Any], ...]) -> list[Stage]:
        fields = {"field": self.arrays[name], "next": self.arrays[f"spare_{name}"]}
        return [Stage(f"sweep_{name}", SWEPT, fields | dict(settings))]

    def meet(self, step: int, sweeps: dict[str, dict[str, Any]], *, counted: bool, tires: bool) -> None:
        """Exchange, phases 1 and 2 of all fields."""

        def work(now: int) -> None:
            self.exchange("res_hot", "res_cold", *sweeps, motile_depth=HALO)
            self._touch(now, counted, tires)
            for name, settings in sweeps.items():
                self._chain(self._sweep, name, tuple(settings.items()))()

        self._repeat(work, step, *sweeps, self.counted, counted, tires, exchanges=True)
        self.counted = counted
        for name in sweeps:
            self._swap(name)

    def change(
        self, step: int, able: dict[str, int], *, labelled: bool, watched: bool = False, hurts: bool = False
    ) -> None:
        """Phases 3-5 of the layers, with the ``highest`` of each, and the census; ``watched``: also who is seen.

        ``hurts``: whether any resident may be struck, or carry damage.
        """
        able = {layer: highest | LOW_BITS for layer, highest in able.items()}

        def work(now: int) -> None:
            for layer, highest in able.items():
                self.fate(layer, now, highest, hurts=hurts and layer == "res")
            self.census_niche()
            if labelled:
                self.census_label()
            if watched:
                self.census_seen()

        self._repeat(work, step, *able.items(), labelled, watched, hurts, exchanges=False)

    def walk(self, step: int, substeps: int) -> None:
        """Phase 6: all sub-steps of the random walk."""
        mustered = self.backend.musters and substeps > 1  # one sub-step does not pay for the muster
        do = self.mustered_substep if mustered else self.motile_substep

        def work(now: int) -> None:
            for substep in range(substeps):
                do(now, substep)

        self._repeat(work, step, substeps, exchanges=True)

    def fate(self, layer: str, step: int, highest: int, *, hurts: bool = False) -> None:
        """Phases 3-5: choose events, settle claims, change the layer ("res" or "mot"); events are counted.

        ``highest`` bounds the event probability of untouched cells, in 2^-32; ``hurts``: hits leave damage (residents).
        """
        self._chain(self._fate, layer, hurts)(step=step, highest=highest)

    def _fate(self, layer: str, hurts: bool) -> list[Stage]:
        motile = layer == "mot"
        own = {"hot": self.arrays[f"{layer}_hot"], "cold": self.arrays[f"{layer}_cold"]}
        stream, outcome = (Stream.FATE_MOTILE, Stream.OUTCOME_MOTILE) if motile else (Stream.FATE, Stream.OUTCOME)
        beyond = HALO - FATE_CHAIN["contacts"] - FATE_CHAIN["fate"]
        fate = self._draw("fate", beyond, stream, layer_is_motile=int(motile), **own)
        special = {"mutation": Stream.MUTATION * 256 + motile, "room": self.tallies.room}
        commit = self._draw("commit", 1, outcome, **special, **self.bounds, **own)
        hurt = [self._draw("damage", beyond, Stream.DAMAGE, **self.bounds)] if hurts else []
        return [fate._replace(varies=("step", "highest")), *hurt, commit._replace(behind=FATE_CHAIN["commit"])]

    def census_niche(self) -> None:
        """Phase 7: count who is on a niche site now; who else is there follows from what the kernels count."""
        self._chain(self._census_niche)()

    def _census_niche(self) -> list[Stage]:
        return [Stage("census_niche", 0, {})]

    def census(self) -> NDArray[np.int64]:
        """Return who is there over all ranks, counted site by site, int64 (N_COUNTS, 64, 4): all and the quiescent."""
        return self._count(N_COUNTS, Stage("census", 0, {}), into="counts")

    def census_label(self) -> None:
        """Count the residents that carry a label."""
        self._chain(self._census_label)()

    def _census_label(self) -> list[Stage]:
        own = {"hot": self.arrays["res_hot"], "cold": self.arrays["res_cold"]}
        return [Stage("census_label", 0, own)]

    def marks(self) -> NDArray[np.int64]:
        """Return who has inherited what over all ranks, int64 (N_MARKS, 64, 4)."""
        layers = ({"hot": self.arrays[f"{name}_hot"], "cold": self.arrays[f"{name}_cold"]} for name in ("res", "mot"))
        return self._count(N_MARKS, *(Stage("census_marks", 0, own) for own in layers), into="marks")

    def beside_stroma(self) -> NDArray[np.int64]:
        """Return leukaemic residents of all ranks, int64 (N_BESIDE, 64, 4): 4 * variant + 2 * cycling + at stroma."""
        return self._count(N_BESIDE, Stage("census_stroma", 0, {}), into="beside")

    def _count(self, rows: int, *stages: Stage, into: str) -> NDArray[np.int64]:
        """Return what stages count in a table of their own, the argument ``into``, summed over all ranks."""
        table = self.backend.alloc(N_PARTS * rows * N_KINDS * N_ORIGINS, np.uint32)
        totals = self.backend.alloc(rows * N_KINDS * N_ORIGINS, np.int64)
        Chain(self.backend, self.domain, stages, self._known() | {into: table})()
        self.backend.launch("collect", totals.size, counts=table, totals=totals)
        return self.comm.sum_int64(np.array(self.backend.to_host(totals)).reshape(rows, N_KINDS, N_ORIGINS))

    def purge(self, step: int, chance: int) -> None:
        """Let cells that carry a safety switch die, each with this chance (x 2^-32)."""
        for layer in ("res", "mot"):
            self._chain(self._purge, layer, chance)(step=step)

    def _purge(self, layer: str, chance: int) -> list[Stage]:
        own = {"hot": self.arrays[f"{layer}_hot"], "cold": self.arrays[f"{layer}_cold"]}
        bits, draw = 1 << EditBit.SWITCH, int(layer == "mot")
        return [self._draw("purge", 0, Stream.SWITCH, draw, bits=bits, chance=chance, **own)]

    def transmit(self, step: int, chances: dict[str, Array], **fate: int) -> None:
        """Let cells of the motile layer catch what comes with blood or from a cell of kind ``source`` beside them."""
        self.set_constants(chances)
        self.exchange(motile_depth=1)
        self._chain(self._transmit, *fate.items())(step=step)

    def _transmit(self, *fate: tuple[str, int]) -> list[Stage]:
        return [Stage("expose", 0, dict(fate)), self._draw("transmit", 0, Stream.TRANSMIT, **dict(fate))]

    def census_seen(self) -> None:
        """Count the residents that each watched receptor sees."""
        for row in range(len(self.tallies.watched)):
            self._chain(self._census_seen, row)()

    def _census_seen(self, row: int) -> list[Stage]:
        own = {"receptor": self.tallies.watched[row], "row": row, "rows": len(self.tallies.watched)}
        return [Stage("census_seen", 0, own | {"hot": self.arrays["res_hot"], "seen": self.tallies.seen})]

    def label(self, step: int, marker: Label, take: NDArray[np.uint32]) -> None:
        """Let residents take up a label; ``take``: threshold (x 2^-32) by row of the rate table."""
        self.set_constants({"take": take})
        self._chain(self._label, marker)(step=step)

    def _label(self, marker: Label) -> list[Stage]:
        own = {"hot": self.arrays["res_hot"], "cold": self.arrays["res_cold"]}
        return [self._draw("label", 0, Stream.LABEL, value=int(marker), **own)]

    def motile_substep(self, step: int, substep: int) -> None:
        """Phase 6: one step of the random walk."""
        self.exchange(motile_depth=sum(HOP_CHAIN.values()))
        self._chain(self._hop, substep)(step=step)

    def _hop(self, substep: int) -> list[Stage]:
        bid = self._draw("bid", HOP_CHAIN["hop"], Stream.HOP, draw=substep)
        return [bid, Stage("hop", 1, self.bounds, behind=HOP_CHAIN["hop"])]

    def mustered_substep(self, step: int, substep: int) -> None:
        """Do the same by what sub-step 0 notes of each site and the others keep up to date (``kernels/walk.cu``)."""
        self.exchange(motile_depth=sum(HOP_CHAIN.values()))
        if substep == 0:
            self._chain(self._muster)()
        elif not self.domain.ring:
            self._muster_halo()
        self._chain(self._mustered, substep)(step=step)

    @cached_property
    def mustered(self) -> dict[str, Any]:
        """What this form of the walk has of its own: a byte of each site, and bits in words of each plane."""
        shape = self.domain.local_shape[0], -(-self.domain.plane // 64)
        return {"stand": self.arrays["action"], "bidders": self.backend.alloc(shape, np.uint64)}

    def _muster(self) -> list[Stage]:
        return [Stage("muster", sum(HOP_CHAIN.values()), self.mustered)]

    def _muster_halo(self) -> None:
        """Muster those planes again that an exchange writes."""
        depth, plane, domain = sum(HOP_CHAIN.values()), self.domain.plane, self.domain
        launch = self._chain(self._muster).launches[0]
        for z in (domain.halo - depth, domain.halo + domain.n_owned):
            launch(depth * plane, first=z * plane)

    def _mustered(self, substep: int) -> list[Stage]:
        bid = self._draw("bid_mustered", HOP_CHAIN["hop"], Stream.HOP, draw=substep, **self.mustered)
        hop = self._draw("hop_mustered", 1, Stream.HOP, draw=substep, **self.bounds, **self.mustered)
        return [bid, hop._replace(behind=HOP_CHAIN["hop"])]

    # -- cells from the blood

    @cached_property
    def lodge(self) -> Lodgement:
        """What lets cells from the blood take open sites."""
        own = {"seed": self.seed, "origin": self.domain.origin, **self.bounds}
        return Lodgement(self.backend, self.comm, self._known() | own)

    # -- launching

    def _repeat(self, work: Callable[[int], None], step: int, *variant: Any, exchanges: bool) -> None:  # noqa: ANN401
        """Do work that is the same in each step for a variant, so that a device may record it.

        What several ranks exchange in between is outside the order of any device.
        """
        if exchanges and self.comm.size > 1:
            work(step)
            return
        key = (work.__qualname__, *variant, *self._fields())
        if key not in self.repeats:
            if len(self.repeats) == MOST_REPEATS:
                self.repeats.clear()
            self.repeats[key] = self.backend.repeated(work)
        self.repeats[key](step)

    def _fields(self) -> tuple[int, int]:
        """Tell where the fields are, which swap."""
        return id(self.arrays["cxcl12"]), id(self.arrays["inflammation"])

    def _chain(self, stages: Callable[..., list[Stage]], *arguments: Any) -> Chain:  # noqa: ANN401
        """Return the chain of some stages; it is made once, or once for each place of the fields that it sees."""
        key, fields = (stages.__name__, *arguments), self._fields()
        chain = self.chains.get(key) or self.chains.get((*key, *fields))
        if chain is None:
            wanted = stages(*arguments)
            chain = Chain(self.backend, self.domain, wanted, self._known())
            names = {arg.name for stage in wanted for arg in self.backend.kernels[stage.kernel].args}
            self.chains[(*key, *fields) if names & SWAPPED else key] = chain
        return chain

    def _draw(self, kernel: str, beyond: int, stream: Stream, draw: int = 0, **special: Any) -> Stage:  # noqa: ANN401
        """Return the stage of a kernel that draws random numbers."""
        random: dict[str, Any] = {"seed": self.seed, "word": stream * 256 + draw}
        return Stage(kernel, beyond, random | special, varies=("step",))

    def _known(self) -> dict[str, Any]:
        domain, tallies = self.domain, self.tallies
        return {
            "ny": domain.shape[1],
            "nx": domain.shape[2],
            **dict(zip(("low", "high"), domain.ends, strict=True)),
            "total": domain.total,
            "shift": domain.shift,
            "counts": tallies.counts,
            **{name: getattr(tallies, name) for name in ("n_leavers", "leaver_site", "leaver_words", "n_damaged")},
            **self.constants,
            **self.arrays,
        }
