"""One file of results out of several: ``python -m benchmarks.merge TARGET SOURCE...``.

Sources that are missing are left out. Results of one workload at one size must be of the same state, on whatever
backend and in whatever form. Exit code 1 if they are not, after the file is written; 2 if there is nothing to merge.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from abm.bench import results
from abm.errors import ConfigError

#: Of the first source, and so of all.
PROVENANCE = ("format", "format_version", "date", "abm", "git", "kernel_digest", "machine")


def merge(target: Path, sources: Sequence[Path]) -> list[str]:
    """Write the file; return a line for each workload and size of which there are different states.

    Raises:
        ConfigError: no source is there, or one is no file of results.
    """
    read = [results.read(path) for path in sources if path.exists()]
    if not read:
        raise ConfigError(f"expected results in any of {', '.join(map(str, sources))}, found none of these files")
    rows = [row for _, rows in read for row in rows]
    made = {key: read[0][0].get(key) for key in PROVENANCE}
    target.write_text(json.dumps(made | {"results": rows}, indent=1) + "\n")
    return list(different(rows))


def different(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each workload and size whose states are not all the same."""
    states: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.get("state_hash"):
            name = f"{row['workload']} {'x'.join(map(str, row['shape']))}"
            states.setdefault(name, {})[f"{row['backend']} ({row.get('detail')})"] = row["state_hash"]["hash"]
    return [f"DIFFERENT STATES of {name}: {found}" for name, found in states.items() if len(set(found.values())) > 1]


if __name__ == "__main__":
    try:
        lines = merge(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(*lines or ["the same states"], sep="\n")
    sys.exit(1 if lines else 0)
