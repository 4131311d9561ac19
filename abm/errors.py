"""Errors a user may see, with the exit code each one ends the program with."""

from __future__ import annotations

#: EX_TEMPFAIL: the run was stopped by a signal or a time limit and can be continued.
EXIT_CONTINUE = 75


class AbmError(Exception):
    """Base of all errors reported as one message without a traceback."""

    exit_code = 1


class ConfigError(AbmError):
    """Wrong input: names file, line and key as far as they are known.

    Args:
        message: what was expected and what was found.
        file: the file or files it stands in, or the command-line text; shown as it prints.
        line: line in that file.
        key: key, column or option.
    """

    exit_code = 2

    def __init__(  # noqa: D107 - the arguments are described above
        self, message: str, *, file: object = None, line: int | None = None, key: str | None = None
    ) -> None:
        place = "" if file is None else f"{file}:{line}: " if line is not None else f"{file}: "
        super().__init__(f"{place}{'' if key is None else key + ': '}{message}")


class CheckpointError(AbmError):
    """A checkpoint that cannot be used."""

    exit_code = 2


class LedgerError(AbmError):
    """Cells appeared or vanished without an event: the run stops."""

    exit_code = 3


class BackendError(AbmError):
    """A backend that was asked for explicitly is not there."""

    exit_code = 2
