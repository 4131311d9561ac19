"""Launches on their way to the threads of a compiled library (``kernels/team.cuh``), which work them off in order.

The thread of Python queues them and goes on; while it waits for them it helps. What they use is kept until they are
done.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from abm.cells import N_PARTS
from abm.kernel import PREFIX, Arg, Kernel, cast_scalar

#: The fewest sites in a piece of a launch that a thread takes, and the most pieces.
PIECE_SITES = 1 << 12
SHARES = 64
#: Pieces of a launch for which a thread that sleeps is waked.
WORTH_WAKING = 8
#: What takes as long as a site of a kernel, where that is no site: adding up the parts of a count, passing over bytes.
SITES = {"collect": N_PARTS / 8, "clear": 1 / 16, "copy": 1 / 16}
#: How often a thread looks for work before it sleeps: some 50 us. Milliseconds of looking, beside one other busy
#: program, made runs twenty times slower.
LOOKS = 3000

_Memory = ctypes.c_char * 0
_WORD = 8  # bytes


class Launch(NamedTuple):
    """One call of a function of the library.

    Attributes:
        name: of the kernel, or ``clear`` or ``copy``.
        words: number of sites or bytes, then the arguments, as the library finds them in memory.
        kept: memory that it uses.
        step_at: which word is the step, if any.
    """

    name: str
    words: list[int]
    kept: tuple[Any, ...]
    step_at: int = -1


class Program:
    """Launches in the memory of the library, which queues them together: their heads, then their arguments."""

    def __init__(self, launches: list[Launch], functions: dict[str, int], *, replays: bool) -> None:
        """Lay them out; ``replays``: their step is the one that the program is queued with."""
        self.kept = [launch.kept for launch in launches]
        self.n = len(launches)
        heads = 5 * self.n
        self.words = (ctypes.c_uint64 * (heads + sum(len(launch.words) for launch in launches)))()
        self.at = ctypes.addressof(self.words)
        table: list[Any] = []
        arguments: list[Any] = []
        for name, words, _, step_at in launches:
            begin = self.at + _WORD * (heads + len(arguments))
            step = step_at if replays else -1
            table += [functions[name], begin, len(words), step, pieces(int(words[0] * SITES.get(name, 1.0)))]
            arguments += words
        self.words[:] = table + arguments


class Team:
    """The threads of a library and their queue."""

    def __init__(self, library: ctypes.CDLL, kernels: Iterable[str], threads: int) -> None:
        """Start the threads, that of Python included, unless the library has some already."""
        library.abm_start.argtypes, library.abm_start.restype = [ctypes.c_int64, ctypes.c_int64], ctypes.c_int64
        library.abm_queue.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint32]
        library.abm_queue.restype = ctypes.c_uint64
        library.abm_wait.argtypes, library.abm_wait.restype = [ctypes.c_uint64], None
        library.abm_wait_for_all.argtypes, library.abm_wait_for_all.restype = [], None
        self._queue, self._wait, self._wait_for_all = library.abm_queue, library.abm_wait, library.abm_wait_for_all
        functions = {name: getattr(library, f"{PREFIX}run_{name}") for name in (*kernels, "clear", "copy")}
        self._functions = {name: ctypes.cast(f, ctypes.c_void_p).value or 0 for name, f in functions.items()}
        self.threads = int(library.abm_start(threads, LOOKS))
        self._recorded: list[Launch] | None = None
        self._unfinished: deque[tuple[int, Program]] = deque()
        weakref.finalize(self, library.abm_wait_for_all)  # before the memory that launches use is freed

    @property
    def records(self) -> bool:
        """Whether launches are recorded, not queued."""
        return self._recorded is not None

    @property
    def idle(self) -> bool:
        """Whether nothing may be queued that somebody has not waited for, and nothing is recorded."""
        return not self._unfinished and self._recorded is None

    def record(self, work: Callable[[], None]) -> Program:
        """Return what ``work`` launches."""
        launches = self._recorded = []
        try:
            work()
        finally:
            self._recorded = None
        return Program(launches, self._functions, replays=True)

    def add(self, launch: Launch) -> int:
        """Queue or record a launch; returns its number in the queue."""
        if self._recorded is not None:
            self._recorded.append(launch)
            return 0
        return self.queue(Program([launch], self._functions, replays=False), 0)

    def queue(self, program: Program, step: int) -> int:
        """Queue a program; returns its number."""
        number: int = self._queue(program.at, program.n, step)
        if number:  # else it is done
            self._unfinished.append((number, program))
        return number

    def clear(self, array: Any) -> None:  # noqa: ANN401
        """Set all elements to zero; C-contiguous."""
        self.add(Launch("clear", [array.nbytes, _address(array)], (array,)))

    def copy(self, dst: Any, src: Any) -> int:  # noqa: ANN401
        """Copy bytes; both arrays C-contiguous. Returns the number to wait for."""
        return self.add(Launch("copy", [src.nbytes, _address(dst), _address(src)], (dst, src)))

    def wait(self, number: int) -> None:
        """Wait for a program, and help."""
        self._wait(number)
        while self._unfinished and self._unfinished[0][0] <= number:
            self._unfinished.popleft()

    def sync(self) -> None:
        """Wait for all programs, and help.

        Raises:
            RuntimeError: launches are recorded, so there is nothing to wait for.
        """
        if self.records:
            msg = "work that is recorded cannot wait for itself"
            raise RuntimeError(msg)
        if self._unfinished:
            self._wait_for_all()
            self._unfinished.clear()


class Prepared:
    """A launch that is checked already. Scalars given with a call stay changed."""

    def __init__(self, team: Team, kernel: Kernel, values: list[Any]) -> None:
        """Lay the arguments out."""
        self.team, self.kernel = team, kernel
        self.kept = tuple(value for value in values if isinstance(value, np.ndarray))
        self.words = [0, *(word(arg, value) for arg, value in zip(kernel.args, values, strict=True))]
        self.scalars = {arg.name: (j, arg) for j, arg in enumerate(kernel.args, 1) if not arg.is_pointer}
        self.step_at = self.scalars["step"][0] if "step" in self.scalars else -1

    def __call__(self, n: int, **scalars: Any) -> None:  # noqa: ANN401
        """Launch over ``n`` sites."""
        for name, value in scalars.items():
            at, arg = self.scalars[name]
            self.words[at] = word(arg, cast_scalar(self.kernel.name, arg, value))
        if n != 0:
            self.team.add(Launch(self.kernel.name, [n, *self.words[1:]], self.kept, self.step_at))


class Repeated:
    """Work of which nothing but the step changes: it is recorded, then queued as a whole."""

    def __init__(self, team: Team, work: Callable[[int], None]) -> None:
        """Record nothing yet."""
        self.team, self.work = team, work
        self.program: Program | None = None

    def __call__(self, step: int) -> None:
        """Do the work of a step."""
        if self.program is None:
            self.program = self.team.record(lambda: self.work(step))
        self.team.queue(self.program, step)


class Reader:
    """Reads the same arrays again and again, together with work before and after: recorded, then queued as a whole."""

    def __init__(
        self, team: Team, before: Callable[[], None], arrays: Sequence[Any], after: Callable[[], None]
    ) -> None:
        """Record it."""
        self.team = team
        self.copies = [np.empty_like(array) for array in arrays]

        def work() -> None:
            before()
            for copied, array in zip(self.copies, arrays, strict=True):
                team.copy(copied, array)
            after()

        self.program = team.record(work)
        self.last: Callable[[], list[Any]] = list

    def __call__(self) -> Callable[[], list[Any]]:
        """Begin to read; returns what waits for it alone and gives the arrays."""
        self.last()  # what has not been asked for yet is about to be written over
        number = self.team.queue(self.program, 0)
        found: list[Any] = []

        def wait() -> list[Any]:
            if not found:
                self.team.wait(number)
                found.extend(copied.copy() for copied in self.copies)
            return found

        self.last = wait
        return wait


def launchers(kernels: Iterable[str]) -> str:
    """Return the source, to stand behind that of the kernels, of what calls each with arguments that lie in memory."""
    return "".join(f"LAUNCHER({name})\n" for name in kernels)


def pieces(sites: int) -> int:
    """Return into how many pieces a launch over so many sites is cut."""
    return min(max(sites // PIECE_SITES, 1), SHARES)


def word(arg: Arg, value: Any) -> int:  # noqa: ANN401
    """Return the word of memory that begins with an argument: a checked scalar, or the address of an array."""
    if arg.is_pointer:
        return _address(value)
    return int.from_bytes(arg.dtype.type(value).tobytes().ljust(_WORD, b"\0"), sys.byteorder)


def _address(array: Any) -> int:  # noqa: ANN401
    """Return where an array begins; several times faster than ``array.ctypes.data`` where it can be."""
    if not array.flags.c_contiguous:
        msg = "the array is not C-contiguous"
        raise ValueError(msg)
    try:
        return ctypes.addressof(_Memory.from_buffer(array))
    except TypeError:  # a read-only array
        return int(array.ctypes.data)
