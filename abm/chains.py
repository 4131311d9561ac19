"""Kernels that follow one another over the planes of a slab, checked once and launched again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from abm.domain import Domain


class Stage(NamedTuple):
    """One kernel over the owned planes and ``beyond`` more on either side.

    Attributes:
        kernel: its name.
        beyond: planes on either side.
        special: arguments of its own.
        behind: planes it must stay behind the stage before, if both work on some planes at a time: so far it reads, or
            writes, beyond the planes it is at.
        varies: arguments that are given anew with each call of the chain.
    """

    kernel: str
    beyond: int
    special: dict[str, Any]
    behind: int = 1
    varies: tuple[str, ...] = ()


class Chain:
    """Launches one stage after the other, some planes at a time where the backend wants that.

    What one stage leaves in the caches the next one then finds there. Each stage stays behind the one before: what it
    reads is there, and what it writes in place no earlier stage still reads.
    """

    def __init__(self, backend: Any, domain: Domain, stages: Sequence[Stage], known: dict[str, Any]) -> None:  # noqa: ANN401
        """Check all arguments: those of ``known`` by name, or the stage's own."""
        arguments = [known | {"first": 0} | dict.fromkeys(stage.varies, 0) | stage.special for stage in stages]
        self.launches: list[Callable[..., None]] = [
            backend.prepare(stage.kernel, **{arg.name: given[arg.name] for arg in backend.kernels[stage.kernel].args})
            for stage, given in zip(stages, arguments, strict=True)
        ]
        self.varies = [stage.varies for stage in stages]
        self.pieces = pieces(domain, stages, backend.chunk(domain.plane, len(stages)))

    def __call__(self, **scalars: int) -> None:
        """Launch all stages with these values of what varies."""
        given = [{name: scalars[name] for name in names} for names in self.varies]
        for k, n, first in self.pieces:
            self.launches[k](n, first=first, **given[k])


def pieces(domain: Domain, stages: Sequence[Stage], planes: int) -> list[tuple[int, int, int]]:
    """Return the launches as (number of the stage, sites, first site), so many planes at a time; 0: all."""
    plane, halo, owned = domain.plane, domain.halo, domain.n_owned
    beyond = [0 if domain.ring else stage.beyond for stage in stages]
    done = [halo - more for more in beyond]
    ends = [halo + owned + more for more in beyond]
    lags = list(accumulate(stage.behind if k else 0 for k, stage in enumerate(stages)))
    found, reached = [], done[0]
    while done != ends:
        reached += planes or ends[0] + lags[-1]
        for k, (end, lag) in enumerate(zip(ends, lags, strict=True)):
            upto = min(end, reached - lag)
            if upto > done[k]:
                found.append((k, (upto - done[k]) * plane, done[k] * plane))
                done[k] = upto
    return found
