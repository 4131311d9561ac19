"""Files that appear whole or not at all, and the HDF5 datasets in them.

Every file is written under a temporary name, synced, renamed, and its folder synced; a killed process
leaves at most a temporary file behind, which the next writer removes (:func:`sweep`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import socket
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from abm.errors import CheckpointError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from abm.state import Array

#: gzip is the only compression that every HDF5 reader opens.
GZIP_LEVEL = 1
_ABANDONED_S = 3600.0
SEAL_BYTES = 512  #: the smallest user block of an HDF5 file
_SEAL = b"sha256 after this block: "
#: An HDF5 attribute holds less than 64 KiB; longer texts become a dataset of the same name.
_LONGEST_ATTRIBUTE = 60_000
#: Small enough to share between threads, large enough that switching between them does not count.
CHUNK_BYTES = 1 << 19


class WriteError(CheckpointError):
    """A file that cannot be written, such as on a full disk; the run can go on once there is room."""

    exit_code = 1


class _Sink(io.FileIO):
    """The file HDF5 writes through.

    HDF5 may crash the process when a write fails inside it (seen: a full disk with compressed chunks). So a
    failure is kept here, HDF5 is told that all went well, and :meth:`check` raises once HDF5 has closed.
    """

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of ``data``, or keep the first failure and pretend."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self.failure is None:
                done += super().write(view[done:]) or 0
        except OSError as error:
            self.failure = error
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the file size, or keep the first failure and pretend."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the failure that was kept."""
        if self.failure is not None:
            raise self.failure


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends without error, it becomes ``path`` durably.

    Raises:
        WriteError: the file cannot be written (disk full, no permission, ...); ``path`` is as it was.
    """
    temp = temporary(path)
    try:
        yield temp
        sync(temp)
        os.replace(temp, path)
        sync(path.parent)
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "I/O error")
        msg = f"{path}: cannot be written: {error.strerror or error} ({code}); files written before are untouched"
        raise WriteError(msg) from error
    finally:
        with contextlib.suppress(OSError):
            temp.unlink()


def temporary(path: Path) -> Path:
    """Return the name under which this process writes a file; it tells :func:`sweep` who does."""
    return path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file."""
    with replacing(path) as temp:
        temp.write_bytes(data)


@contextlib.contextmanager
def new_hdf5(path: Path, *, sealed: bool = False) -> Iterator[h5py.File]:
    """Yield an empty HDF5 file that becomes ``path`` when the block ends without error.

    A sealed file carries the checksum of itself in its user block, which HDF5 readers skip.
    """
    with replacing(path) as temp:
        with _Sink(temp, "w+") as sink:
            try:
                with h5py.File(sink, "w", userblock_size=SEAL_BYTES if sealed else 0) as file:
                    yield file
            except Exception:
                sink.check()  # HDF5 stumbles over what was not written; the reason for that is to be told
                raise
            sink.check()
        if sealed:
            seal(temp)


@contextlib.contextmanager
def open_hdf5(path: Path, *, sealed: bool = False) -> Iterator[h5py.File]:
    """Yield ``path`` opened for reading, without file locks (parallel file systems often have none).

    HDF5 does not find every flipped bit, and may loop on one: check the seal or a checksum before.

    Raises:
        CheckpointError: missing, unreadable or damaged, or what the block looks for in it is not there.
    """
    try:
        if sealed:
            check_seal(path)
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileNotFoundError as error:
        msg = f"{path}: no such file"
        raise CheckpointError(msg) from error
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        msg = f"{path}: damaged or not of this format: {error}"
        raise CheckpointError(msg) from error


def _seal(path: Path) -> bytes:
    return _SEAL + f"{sha256_of(path, SEAL_BYTES)}\n".encode().ljust(SEAL_BYTES - len(_SEAL), b"\0")


def seal(path: Path) -> None:
    """Write the checksum of a file into its user block, of SEAL_BYTES."""
    text = _seal(path)
    with path.open("r+b") as raw:
        raw.write(text)


def has_seal(path: Path) -> bool:
    """Whether a file carries, damaged or not, a checksum of itself."""
    with path.open("rb") as file:
        return file.read(len(_SEAL)) == _SEAL


def check_seal(path: Path) -> None:
    """Raise ``CheckpointError`` unless the checksum that a file carries is that of its content."""
    with path.open("rb") as file:
        found = file.read(SEAL_BYTES)
    if found != _seal(path):
        msg = f"{path}: damaged: it does not match its checksum"
        raise CheckpointError(msg)


def sha256_of(path: Path, start: int = 0) -> str:
    """Return the SHA-256 of a file, from byte ``start`` on, as hex."""
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path) -> None:
    """Remove the temporary files that dead writers left in ``folder``."""
    for temp in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if _abandoned(temp):
                temp.unlink()


def workers(most: int = 16) -> ThreadPoolExecutor:
    """Return a thread pool for hashing and compressing, which release the interpreter lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, most))


def deflate(block: Array) -> bytes:
    """Return ``block`` as one HDF5 chunk: bytes shuffled if an item has several, then a deflate stream (gzip).

    The stream holds runs and Huffman codes only (``Z_RLE``), which every reader of gzip understands. MB/s of one core
    and ratio in chunks of healthy marrow, 512 x 512 x 256 sites (``benchmarks/checkpoints.py``; zlib 1.2.13, AMD EPYC):

    ========  ===========  ================  ================  ===========  =================
    array     gzip-1       gzip-1, shuffled  gzip-3, shuffled  as written   zstd-1 (a plugin)
    ========  ===========  ================  ================  ===========  =================
    tissue    132 x 4.6                      62 x 5.3          168 x 6.1    451 x 5.3
    distance  117 x 3.5                      57 x 4.0          106 x 3.4    415 x 4.2
    res_hot   196 x 7.0    200 x 7.8         114 x 8.6         241 x 11.0   596 x 9.6
    res_cold  289 x 11     318 x 15          192 x 17          364 x 23     929 x 20
    mot_hot   743 x 69     630 x 74          610 x 80          625 x 156    1882 x 159
    cxcl12    40 x 1.15    67 x 1.37         65 x 1.38         168 x 1.35   1356 x 1.35
    ========  ===========  ================  ================  ===========  =================

    zstd would only save time, and a checkpoint takes about 1 % of that already (every 10 min, 2 cores); its files
    would be closed to whoever lacks the plugin.
    """
    raw = np.ascontiguousarray(block).reshape(-1).view(np.uint8)
    if not raw.any():  # of bytes, not of values: -0.0 is to come back as it is
        return _zeros(raw.size)
    if block.itemsize > 1:
        raw = np.ascontiguousarray(raw.reshape(-1, block.itemsize).T)
    return _squeeze(raw.data)


def _squeeze(data: ReadableBuffer) -> bytes:
    stream = zlib.compressobj(GZIP_LEVEL, strategy=zlib.Z_RLE)
    return stream.compress(data) + stream.flush()


@lru_cache(maxsize=8)
def _zeros(n: int) -> bytes:
    """Return the deflated chunk of ``n`` zeros, as most of the motile layer and of the quiet fields are."""
    return _squeeze(bytes(n))


def planes_per_chunk(plane_bytes: int) -> int:
    """Return how many planes (indices of the first axis) make up a chunk of suitable size."""
    return max(1, CHUNK_BYTES // plane_bytes)


def write_array(group: h5py.Group, name: str, array: Array, pool: ThreadPoolExecutor) -> h5py.Dataset:
    """Create a gzip dataset of ``array`` in chunks of whole planes, deflated in the threads of ``pool``."""
    data = new_array(group, name, array.shape, array.dtype, min(len(array), planes_per_chunk(array[0].nbytes)))
    write_planes(data, 0, array, pool)
    return data


def new_array(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], depth: int) -> h5py.Dataset:
    """Create an empty gzip dataset with chunks of ``depth`` planes (indices of the first axis)."""
    return group.create_dataset(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(depth, *shape[1:]),
        maxshape=shape if shape[0] else (None, *shape[1:]),
        compression="gzip",
        compression_opts=GZIP_LEVEL,
        shuffle=dtype.itemsize > 1,
    )


def write_planes(data: h5py.Dataset, z0: int, array: Array, pool: ThreadPoolExecutor) -> None:
    """Write ``array`` into the planes of ``data`` from ``z0`` on, which begins a chunk; so must what follows.

    The chunks are deflated in the threads of ``pool``: HDF5's own filter would work in one, under a global lock.
    """
    depth = data.chunks[0]

    def full(z: int) -> bytes:
        """Deflate a chunk, filled up with zeros: HDF5 stores the last one at full size too."""
        block = array[z : z + depth]
        missing = [(0, depth - len(block))] + [(0, 0)] * (block.ndim - 1)
        return deflate(np.pad(block, missing) if len(block) < depth else block)

    write_chunks(data, z0 // depth, pool.map(full, range(0, len(array), depth)))


def write_chunks(data: h5py.Dataset, first: int, chunks: Iterable[bytes]) -> None:
    """Write deflated chunks, the first of which is number ``first`` along the first axis."""
    for i, chunk in enumerate(chunks, first):
        data.id.write_direct_chunk((i * data.chunks[0],) + (0,) * (data.ndim - 1), chunk)


def write_attributes(place: h5py.Group | h5py.Dataset, values: Mapping[str, object]) -> None:
    """Write attributes; integers as 64 bits (unsigned where needed), texts as UTF-8."""
    for name, value in values.items():
        if isinstance(value, int):
            place.attrs[name] = np.uint64(value) if value >= 1 << 63 else np.int64(value)
        else:
            place.attrs[name] = value


def write_provenance(file: h5py.File, facts: Mapping[str, str | int]) -> None:
    """Write how a file was made, as attributes of it; texts too long for one go into the group ``provenance``."""
    for name, value in facts.items():
        if isinstance(value, str) and len(value.encode()) > _LONGEST_ATTRIBUTE:
            file.create_dataset(f"provenance/{name}", data=value)
        else:
            write_attributes(file, {name: value})
    write_attributes(file, {"provenance": json.dumps(list(facts))})


def read_provenance(file: h5py.File) -> dict[str, str | int]:
    """Read what :func:`write_provenance` wrote."""
    found: dict[str, str | int] = {}
    for name in json.loads(file.attrs["provenance"]):
        value = file.attrs[name] if name in file.attrs else file["provenance"][name].asstr()[()]
        found[name] = value if isinstance(value, str) else int(value)
    return found


def sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _abandoned(temp: Path) -> bool:
    """Whether the writer named in ``temp`` is gone; of other machines only the age tells."""
    host, _, pid = temp.name.removesuffix(".tmp").rpartition("-")
    if not pid.isdigit() or "." not in host:
        return False  # not a name of ours
    if time.time() - temp.stat().st_mtime > _ABANDONED_S:
        return True
    if not host.endswith(f".{socket.gethostname()}"):
        return False
    # Our own number: this process writes one file at a time, so it is a dead process that had the same number.
    return int(pid) == os.getpid() or not _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
