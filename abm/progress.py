"""What is shown and noted while a run goes on: a bar or plain lines, a heartbeat, and where the time went."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

from abm.errors import CheckpointError
from abm.io.atomic import write_bytes
from abm.run_folder import logger

#: Label, name in the record and format of what is shown while a run goes on.
SHOWN = (
    ("ANC", "anc", "{:.2f}"),
    ("plt", "platelets", "{:.0f}"),
    ("blasts", "blast_percent", "{:.2g}%"),
    ("donor", "donor_percent", "{:.0f}%"),
)
#: Seconds between progress lines where there is no terminal.
LINE_INTERVAL_S = 30.0
#: The bar: all of it fits into 80 columns.
BAR = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"
#: Seconds between updates of the bar.
DRAW_INTERVAL_S = 0.25

#: A small file that says how far the run is, and the seconds between two of its updates.
HEARTBEAT, BEAT_INTERVAL_S = "heartbeat.json", 15.0


class Stopwatch:
    """Wall time by purpose, s."""

    def __init__(self) -> None:
        """Start measuring."""
        self.spent: dict[str, float] = {}
        self._began = time.monotonic()

    @contextmanager
    def __call__(self, purpose: str) -> Iterator[None]:
        """Add the duration of the block to ``purpose``."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.spent[purpose] = self.spent.get(purpose, 0.0) + time.monotonic() - start

    def shares(self, exchange_s: float) -> dict[str, float]:
        """Return which part of the time so far went into halo exchange and into checkpoints, as fractions."""
        whole = max(self.total, 1e-9)
        return {"halo exchange": exchange_s / whole, "checkpoints": self.spent.get("checkpoints", 0.0) / whole}

    @property
    def total(self) -> float:
        """Seconds since the watch was made."""
        return time.monotonic() - self._began


class Progress:
    """A bar in a terminal; elsewhere one plain line per interval. The plain lines go to the log in any case."""

    def __init__(self, first: int, total: int, *, quiet: bool) -> None:
        """Begin at step ``first`` of ``total``."""
        self.first, self.total, self.quiet = first, total, quiet
        self.bar: tqdm | None = None
        if sys.stderr.isatty() and not quiet:
            # tqdm hides itself in terminals that report no size (containers), so it is told one.
            width, height = shutil.get_terminal_size((100, 24))
            self.bar = tqdm(
                total=total, initial=first, ncols=width, nrows=height, bar_format=BAR, mininterval=0, miniters=1
            )
        self.began = self.last = self.drawn = time.monotonic()

    def show(self, step: int, day: float, values: Mapping[str, float]) -> None:
        """Show that ``step`` steps are done; cheap enough for every step."""
        now = time.monotonic()
        if self.bar is not None and (now - self.drawn >= DRAW_INTERVAL_S or step == self.total):
            self.drawn = now
            self.bar.set_description_str(f"day {day:+.1f}", refresh=False)
            self.bar.set_postfix_str(shown(values), refresh=False)
            self.bar.update(step - self.bar.n)
        if now - self.last >= LINE_INTERVAL_S:
            self.last = now
            self.line(step, day, values)

    def line(self, step: int, day: float, values: Mapping[str, float]) -> None:
        """Print and log one plain line."""
        rate = (step - self.first) / max(time.monotonic() - self.began, 1e-9)
        left = f"{rate:.3g} steps/s  {clock((self.total - step) / rate)} left" if rate else ""
        share = f"{100 * step / self.total:.1f}%"
        self.say(
            "  ".join(x for x in (f"day {day:+.1f}", f"step {step}/{self.total}", share, shown(values), left) if x)
        )

    def say(self, text: str) -> None:
        """Log a line and, unless there is a bar, print it."""
        logger.info(text)
        if self.bar is None and not self.quiet:
            print(text, flush=True)

    def close(self) -> None:
        """Leave the terminal in order."""
        if self.bar is not None:
            self.bar.close()


def shown(values: Mapping[str, float]) -> str:
    """Return the blood counts that the record holds, for people to watch."""
    return "  ".join(f"{label} {form.format(values[name])}" for label, name, form in SHOWN if name in values)


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Heartbeat:
    """Tells watchers in a small file that the run is alive and how far it is."""

    def __init__(self, out: Path) -> None:
        """Beat into ``out/heartbeat.json``."""
        self.path, self.last = out / HEARTBEAT, -BEAT_INTERVAL_S

    def beat(self, step: int, steps: int, day: float, shares: Mapping[str, float], *, last: bool = False) -> None:
        """Write the file if it is time; a disk that is full must not end the run here."""
        if not last and time.monotonic() - self.last < BEAT_INTERVAL_S:
            return
        self.last = time.monotonic()
        values = {
            "time": time.time(),
            "step": step,
            "steps": steps,
            "day": day,
            "pid": os.getpid(),
            "running": not last,
            "shares": {name: round(share, 4) for name, share in shares.items()},
        }
        with suppress(CheckpointError):
            write_bytes(self.path, (json.dumps(values) + "\n").encode())
