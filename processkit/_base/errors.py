"""What processkit raises.

    ProcessError
     ├─ NonZeroExit         the exit code is not one that was accepted
     ├─ Timeout             (TimeoutError) the run's own deadline passed
     ├─ Signalled           a signal ended it
     ├─ ProcessNotFound     (FileNotFoundError) no such program
     ├─ PermissionDenied    (PermissionError) the program, or what was asked for it, is not allowed
     ├─ ResourceLimit       a limit cannot be enforced here
     ├─ Unsupported         this system cannot do it
     ├─ OutputTooLarge      the output passed its cap in `error` mode
     ├─ Cancelled           its cancellation token was cancelled
     ├─ IdleTimeout         no line came for too long
     ├─ InvalidJson         the output is no JSON
     └─ WaitTimeout         (TimeoutError) something did not become ready in time
         └─ NotReady        the process ended first

The text of an exception names the program, never its arguments or environment; it may end with the last line of output.
"""

from __future__ import annotations

from . import PUBLIC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .outcome import Outcome
    from .types import StrPath

EXCERPT = 200


class ProcessError(Exception):
    """Something about a process went wrong; the base of everything here."""

    __module__ = PUBLIC


class NonZeroExit(ProcessError):
    """The process ended with a code outside its success codes."""

    __module__ = PUBLIC
    code: int
    program: str
    stdout: str
    stderr: str
    stdout_bytes: bytes | None
    diagnostic: str | None


class Timeout(ProcessError, TimeoutError):
    """The run's own deadline passed and its tree was ended."""

    __module__ = PUBLIC
    program: str
    stdout: str
    stderr: str
    stdout_bytes: bytes | None
    diagnostic: str | None
    timeout_seconds: float | None = None


class Signalled(ProcessError):
    """A signal ended the process; `signal` is None where nobody knows which."""

    __module__ = PUBLIC
    signal: int | None
    program: str
    stdout: str
    stderr: str
    stdout_bytes: bytes | None
    diagnostic: str | None


def _with_errno(error: Any) -> tuple[Any, ...]:
    """How an OSError whose errno was set later is pickled: it is neither in its arguments nor in its dictionary."""
    return type(error), error.args, {**vars(error), "errno": error.errno}


class ProcessNotFound(ProcessError, FileNotFoundError):
    """There is no such program; `searched` lists the directories that were searched, None for a path."""

    __module__ = PUBLIC
    program: str
    searched: str | None = None
    __reduce__ = _with_errno


class PermissionDenied(ProcessError, PermissionError):
    """The system refused the program, or something that was asked for it."""

    __module__ = PUBLIC
    program: str | None = None
    __reduce__ = _with_errno


class ResourceLimit(ProcessError):
    """A resource limit is invalid or cannot be enforced here; the group or run was not started."""

    __module__ = PUBLIC


class Unsupported(ProcessError):
    """This system cannot do `operation`."""

    __module__ = PUBLIC
    operation = ""


class OutputTooLarge(ProcessError):
    """The output passed its cap."""

    __module__ = PUBLIC
    program: str
    max_lines: int | None
    max_bytes: int | None
    total_lines: int
    total_bytes: int


class Cancelled(ProcessError):
    """The run's cancellation token was cancelled; its tree was ended."""

    __module__ = PUBLIC
    program: str


class IdleTimeout(ProcessError):
    """No watched output line came for `idle_timeout_seconds`."""

    __module__ = PUBLIC
    idle_timeout_seconds: float


class InvalidJson(ProcessError):
    """The output is not valid JSON."""

    __module__ = PUBLIC
    program: str
    stdout: str | None


class WaitTimeout(ProcessError, TimeoutError):
    """What was waited for did not come in time; nothing was done to the process."""

    __module__ = PUBLIC

    def __init__(
        self,
        message: str,
        *,
        timeout_seconds: float,
        host: str | None = None,
        port: int | None = None,
        path: StrPath | None = None,
    ) -> None:
        super().__init__(message)
        self.timeout_seconds = timeout_seconds
        self.host = host
        self.port = port
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_wait_timeout, (self.args[0], self.timeout_seconds, self.host, self.port, self.path)


class NotReady(WaitTimeout):
    """The process ended before it was ready; `outcome` says how."""

    __module__ = PUBLIC
    outcome: Outcome | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_not_ready, (*super().__reduce__()[1], self.outcome)  # type: ignore[misc]


def _rebuild_not_ready(message: str, timeout_seconds: float, host: Any, port: Any, path: Any, outcome: Any) -> NotReady:
    made = NotReady(message, timeout_seconds=timeout_seconds, host=host, port=port, path=path)
    made.outcome = outcome
    return made


def _rebuild_wait_timeout(
    message: str, timeout_seconds: float, host: str | None, port: int | None, path: StrPath | None
) -> WaitTimeout:
    return WaitTimeout(message, timeout_seconds=timeout_seconds, host=host, port=port, path=path)


def failure(text: str, program: str | None = None) -> ProcessError:
    """A plain ProcessError about `program`."""
    error = ProcessError(text)
    error.program = program  # type: ignore[attr-defined]
    return error


def unsupported(operation: str, why: str) -> Unsupported:
    """`operation` cannot be done here."""
    error = Unsupported(f"{operation} is not supported here: {why}")
    error.operation = operation
    return error


def cancelled(program: str) -> Cancelled:
    """The error of a run whose token was cancelled."""
    error: Any = Cancelled(f"{program} was cancelled")
    error.program = program
    return error  # type: ignore[no-any-return]


def too_large(program: str, max_bytes: int | None, max_lines: int | None, total_bytes: int, total_lines: int) -> OutputTooLarge:
    """A stream passed its cap."""
    most = " and ".join(f"{most} {unit}" for most, unit in ((max_bytes, "bytes"), (max_lines, "lines")) if most is not None)
    error: Any = OutputTooLarge(
        f"{program}: output exceeded its capture ceiling of {most}: {total_bytes} bytes, {total_lines} lines"
    )
    error.program = program
    error.max_bytes = max_bytes
    error.max_lines = max_lines
    error.total_bytes = total_bytes
    error.total_lines = total_lines
    return error  # type: ignore[no-any-return]


def excerpt(diagnostic: str | None) -> str:
    """The tail of a message: the last line that has text, cut."""
    if diagnostic is None:
        return ""
    line = diagnostic.rstrip().rpartition("\n")[2].strip()
    return f": {line[:EXCERPT]}" if line else ""


def require_loop(program: str) -> None:
    """Refuse to go on without a running asyncio loop; nothing has been started or spent."""
    import asyncio

    if asyncio._get_running_loop() is None:
        raise failure(f"{program}: no running asyncio event loop", program)
