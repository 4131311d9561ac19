"""One call of ``abm bench``: some workloads, one after the other, on one backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from abm.backends import choose
from abm.bench import machine
from abm.bench.measure import Row, Say, measure
from abm.bench.workloads import check_size, find

#: Load above which other programs are told of.
BUSY = 0.5

#: A workload and its sites along each edge; None: the workload's own.
Asked = tuple[str, int | None]


def run(asked: Sequence[Asked], backend_name: str, repeats: int, say: Say) -> tuple[dict[str, Any], list[Row]]:
    """Measure workloads; return the provenance and one result for each.

    Args:
        asked: workloads and sizes.
        backend_name: ``auto``, ``numpy``, ``host`` or ``cuda``.
        repeats: timed blocks of each.
        say: takes one line of progress at a time.

    Raises:
        ConfigError: an unknown workload, or a size that cannot be had here.
        BackendError: the backend is not there.
    """
    for name, size in asked:
        check_size(find(name).size if size is None else size)
    made = machine.provenance()  # first: it notes the load of the machine before we add to it
    load, cores = made["machine"]["load_at_start"], made["machine"]["cores"]
    backend, reason = choose(backend_name)
    say(f"backend {reason}; {made['machine']['cpu']}, {cores} cores")
    if load > BUSY:
        say(f"WARNING: load {load}: other programs are running, figures will be too low and scatter")
    rates = machine.copy_rates(backend)
    say(f"memory copy {rates['copy']} GB/s" + (f", triad {rates['triad']} GB/s" if rates["triad"] else ""))
    made |= {"copy_gb_per_s": rates["copy"], "triad_gb_per_s": rates["triad"]}
    return made, [measure(name, size, backend, repeats, rates["copy"], say) for name, size in asked]
