"""Signals that ask a run to end in good order."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self


class StopSignals:
    """Turns SIGTERM, SIGUSR1 and Ctrl-C into a polite request to stop after the step.

    Call it to learn the name of the signal that came, or an empty text. Until the first call Ctrl-C ends the
    program at once, as there is nothing to save yet; later signals are only noted.
    """

    NAMES = ("SIGTERM", "SIGUSR1", "SIGINT")

    def __init__(self) -> None:
        """Install nothing yet."""
        self.received = ""
        self.polled = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers."""
        for name in self.NAMES:
            number = getattr(signal, name)
            # A job in the background ignores Ctrl-C and keeps doing so; batch systems ignore the others only until we
            # can handle them.
            if name != "SIGINT" or signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> str:
        """Return the name of the signal that came, or an empty text."""
        self.polled = True
        return self.received

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and not self.polled:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number).name
        if number == signal.SIGINT:
            os.write(2, b"\nfinishing the step and writing a checkpoint ...\n")  # print is not safe in a handler
