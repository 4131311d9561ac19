"""What compression costs and brings on the arrays of a real checkpoint, and how long the whole of it takes to write.

    python benchmarks/checkpoints.py runs/mine [--to FOLDER]

Speed is that of one core, in processor time, of raw bytes. zstd is shown if the package ``zstandard`` is installed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abm.io import find_checkpoint, read_checkpoint, verify, write_checkpoint
from abm.io.atomic import deflate, planes_per_chunk
from abm.state import Array

Bytes = NDArray[np.uint8]
Codec = Callable[[Bytes], bytes]

MEGA = 1e6
#: Enough of an array to measure, bytes.
SAMPLE_BYTES = 1 << 26


def gzip(level: int, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> Codec:
    """Return a codec that makes one deflate stream."""

    def pack(block: Bytes) -> bytes:
        stream = zlib.compressobj(level, strategy=strategy)
        return stream.compress(block.data) + stream.flush()

    return pack


def codecs() -> dict[str, Codec]:
    """Return what is compared, by name."""
    found = {
        "gzip-1": gzip(1),
        "gzip-3": gzip(3),
        "huffman": gzip(1, zlib.Z_HUFFMAN_ONLY),
        "runs": gzip(1, zlib.Z_RLE),
    }
    if find_spec("zstandard"):
        zstd = import_module("zstandard")
        found |= {f"zstd-{level}": zstd.ZstdCompressor(level=level).compress for level in (1, 3)}
    return found


def sample(array: Array) -> list[Bytes]:
    """Return chunks of an array as checkpoints have them, evenly spread, as raw bytes (items, item size)."""
    depth = min(len(array), planes_per_chunk(array[0].nbytes))
    starts = range(0, len(array) - depth + 1, depth)
    stride = max(1, len(starts) * depth * array[0].nbytes // SAMPLE_BYTES)
    chunks = (np.ascontiguousarray(array[z : z + depth]) for z in starts[::stride])
    return [chunk.reshape(-1).view(np.uint8).reshape(-1, array.itemsize) for chunk in chunks]


def measure(chunks: list[Bytes], pack: Codec) -> tuple[float, float]:
    """Return MB/s of processor time and the ratio."""
    raw = sum(chunk.nbytes for chunk in chunks)
    start = time.process_time()
    packed = sum(len(pack(chunk)) for chunk in chunks)
    return raw / MEGA / (time.process_time() - start), raw / packed


def shuffled(pack: Codec) -> Codec:
    """Return a codec that sorts the bytes of each item apart first."""
    return lambda chunk: pack(np.ascontiguousarray(chunk.T))


def table(path: Path) -> None:
    """Print what each codec makes of each array."""
    for name, array in read_checkpoint(path).arrays.items():
        chunks = sample(array)
        rows = {"as written": lambda chunk: deflate(chunk.reshape(-1).view(array.dtype))} | codecs()  # noqa: B023
        for label, pack in rows.items():
            ways = [("", pack)]
            if array.itemsize > 1 and label != "as written":
                ways.append((" shuffled", shuffled(pack)))
            for way, act in ways:
                speed, ratio = measure(chunks, act)
                print(f"{name:13} {label + way:17} {speed:7.0f} MB/s  ratio {ratio:9.2f}", flush=True)


def whole(path: Path, folder: Path, repeats: int) -> None:
    """Print the wall time of writing all of it, sync included."""
    snap = read_checkpoint(path)
    raw = sum(array.nbytes for array in snap.arrays.values()) / MEGA
    for _ in range(repeats):
        start = time.perf_counter()
        made = write_checkpoint(folder, snap, keep=1)
        spent = time.perf_counter() - start
        size = sum(file.stat().st_size for file in made.iterdir()) / MEGA
        print(f"whole: {spent:.2f} s, {raw:.0f} MB become {size:.0f} MB, {raw / spent:.0f} MB/s", flush=True)
    start = time.perf_counter()
    assert not verify(made)
    print(f"verify: {time.perf_counter() - start:.2f} s")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="a checkpoint, or the directory of a run")
    parser.add_argument("--to", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--whole", action="store_true", help="only the time of the whole")
    chosen = parser.parse_args()
    path, _ = find_checkpoint(chosen.checkpoint)
    if not chosen.whole:
        table(path)
    with tempfile.TemporaryDirectory(dir=chosen.to) as folder:
        whole(path, Path(folder), chosen.repeats)


if __name__ == "__main__":
    main()
