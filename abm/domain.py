"""The decomposition of the lattice into z-slabs: the only place that knows about ranks and halo planes."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Domain:
    """One rank's slab of a periodic lattice.

    Attributes:
        shape: sites of the whole lattice (nz, ny, nx).
        halo: planes copied from each neighbour.
        rank: this rank.
        size: number of ranks.
        closed: whether the lattice ends at its first and last plane instead of being periodic in z.
        ring: whether this slab, the whole lattice, is its own neighbour in z: then nobody reads the halo.
    """

    shape: tuple[int, int, int]
    halo: int
    rank: int = 0
    size: int = 1
    closed: bool = False
    ring: bool = False

    def slab(self, rank: int) -> tuple[int, int]:
        """Return the global planes z0 <= z < z1 that ``rank`` owns."""
        nz = self.shape[0]
        return nz * rank // self.size, nz * (rank + 1) // self.size

    @property
    def z0(self) -> int:
        """First owned global plane."""
        return self.slab(self.rank)[0]

    @property
    def n_owned(self) -> int:
        """Number of owned planes."""
        z0, z1 = self.slab(self.rank)
        return z1 - z0

    @property
    def plane(self) -> int:
        """Sites of a plane."""
        return self.shape[1] * self.shape[2]

    @property
    def total(self) -> int:
        """Sites of the whole lattice."""
        return self.shape[0] * self.plane

    @property
    def local_shape(self) -> tuple[int, int, int]:
        """Shape of a local array, halo planes included."""
        return self.n_owned + 2 * self.halo, self.shape[1], self.shape[2]

    @property
    def shift(self) -> int:
        """Global index of local site 0."""
        return self.origin % self.total

    @property
    def origin(self) -> int:
        """Global index of local site 0, unwrapped: below 0 on the first rank."""
        return (self.z0 - self.halo) * self.plane

    def as_ring(self) -> Domain:
        """Return the domain as a ring, if it can be one."""
        return replace(self, ring=self.size == 1 and not self.closed)

    @property
    def ends(self) -> tuple[int, int]:
        """First sites of the lowest and the highest plane of a ring, as kernels are told of it; else -1."""
        low = self.halo * self.plane
        return (low, low + (self.n_owned - 1) * self.plane) if self.ring else (-1, -1)

    def window(self, beyond: int = 0) -> tuple[int, int]:
        """Return (n, first) of the owned sites and ``beyond`` planes more on either side."""
        if beyond > self.halo:
            msg = f"{beyond} planes beyond the slab, but the halo has {self.halo}"
            raise ValueError(msg)
        return (self.n_owned + 2 * beyond) * self.plane, (self.halo - beyond) * self.plane
