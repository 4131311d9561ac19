"""The manifest of a checkpoint: which files belong to it and how they must look."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from abm.io.atomic import sha256_of

MANIFEST, BODY = "manifest.json", "body.h5"


@dataclass(frozen=True)
class FileEntry:
    """What the manifest knows about one file."""

    name: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Measure a file that was just written."""
        return cls(path.name, path.stat().st_size, sha256_of(path))


@dataclass(frozen=True)
class Shard:
    """The file of one rank and the planes z0 <= z < z1 in it."""

    rank: int
    z0: int
    z1: int
    file: FileEntry


@dataclass(frozen=True)
class Part:
    """What one rank tells the rank that writes the manifest; ``problem`` says why it could not write its shard."""

    shard: Shard
    digests: tuple[bytes, ...]
    problem: str = ""


@dataclass(frozen=True)
class Manifest:
    """Contents of ``manifest.json``; ``meta`` (config, digests, versions) stands at its top level."""

    format_version: int
    step: int
    shape: tuple[int, int, int]
    n_ranks: int
    state_hash: str
    shards: tuple[Shard, ...]
    body: FileEntry
    meta: dict[str, str | int] = field(default_factory=dict)

    def render(self) -> bytes:
        """Return the text of the file, which ends with a checksum over all the rest."""
        values = asdict(self)
        values |= values.pop("meta")
        values["checksum"] = sha256(json.dumps(values).encode()).hexdigest()
        return (json.dumps(values, indent=1) + "\n").encode()

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Read what :meth:`render` wrote; ``ValueError`` if a single bit differs."""
        try:
            values = json.loads(raw)
            del values["checksum"]
            core = {name: values.pop(name) for name in CORE}
            core["shape"] = tuple(core["shape"])
            core["shards"] = tuple(Shard(**s | {"file": FileEntry(**s["file"])}) for s in core["shards"])
            core["body"] = FileEntry(**core["body"])
            manifest = cls(**core, meta=values)
            whole = manifest.render() == raw
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            msg = f"{MANIFEST} is truncated or damaged"
            raise ValueError(msg) from error
        if not whole:
            msg = f"{MANIFEST} does not match its checksum"
            raise ValueError(msg)
        return manifest

    @property
    def files(self) -> list[FileEntry]:
        """All files but the manifest itself."""
        return [self.body, *(s.file for s in self.shards)]


#: Names that the manifest uses itself.
CORE = tuple(name for name in Manifest.__dataclass_fields__ if name != "meta")
