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
    program: str | None = None
    """The program, as it was given; None where none is meant."""

    def __init__(self, *args: object, program: str | None = None) -> None:
        super().__init__(*args)
        self.program = program


class _Failed(ProcessError):
    """A run that did not succeed, with what it said."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    stdout: str
    """What was captured of its stdout, as text; "" where it was not captured."""
    stderr: str
    """What was captured of its stderr; "" where it was not captured."""
    stdout_bytes: bytes | None
    """The exact bytes of its stdout, where bytes were asked for; else None."""
    diagnostic: str | None
    """What it said about itself: stripped stderr if that has text, else stripped stdout, else None."""

    def __init__(
        self,
        *args: object,
        program: str = "",
        stdout: str = "",
        stderr: str = "",
        stdout_bytes: bytes | None = None,
        diagnostic: str | None = None,
    ) -> None:
        super().__init__(*args, program=program)
        self.stdout = stdout
        self.stderr = stderr
        self.stdout_bytes = stdout_bytes
        self.diagnostic = diagnostic


class NonZeroExit(_Failed):
    """The process ended with a code outside its success codes."""

    __module__ = PUBLIC
    code: int
    """The exit code; on Windows what a crash leaves is a negative number."""

    def __init__(self, *args: object, code: int = 1, **said: Any) -> None:
        super().__init__(*args, **said)
        self.code = code


class Timeout(_Failed, TimeoutError):
    """The run's own deadline passed and its tree was ended."""

    __module__ = PUBLIC
    timeout_seconds: float | None
    """The timeout that passed, in seconds; None where it is not known."""

    def __init__(self, *args: object, timeout_seconds: float | None = None, **said: Any) -> None:
        super().__init__(*args, **said)
        self.timeout_seconds = timeout_seconds


class Signalled(_Failed):
    """A signal ended the process."""

    __module__ = PUBLIC
    signal: int | None
    """The number of the signal; None where it is not known."""

    def __init__(self, *args: object, signal: int | None = None, **said: Any) -> None:
        super().__init__(*args, **said)
        self.signal = signal


class IdleTimeout(_Failed):
    """No watched output line came for too long and the tree was ended. Not a Timeout."""

    __module__ = PUBLIC
    idle_timeout_seconds: float
    """The idle timeout that passed, in seconds."""

    def __init__(self, *args: object, idle_timeout_seconds: float = 0.0, **said: Any) -> None:
        super().__init__(*args, **said)
        self.idle_timeout_seconds = idle_timeout_seconds


def _with_errno(error: Any) -> tuple[Any, ...]:
    """How an OSError whose errno was set later is pickled: it is neither in its arguments nor in its dictionary."""
    return type(error), error.args, {**vars(error), "errno": error.errno}


class ProcessNotFound(ProcessError, FileNotFoundError):
    """There is no such program."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    searched: str | None
    """The directories that were searched, as in PATH; None for a program that was given as a path."""
    __reduce__ = _with_errno

    def __init__(self, *args: object, program: str = "", searched: str | None = None, errno: int | None = None) -> None:
        super().__init__(*args, program=program)
        self.searched = searched
        self.errno = errno


class PermissionDenied(ProcessError, PermissionError):
    """The system refused the program, or something that was asked for it."""

    __module__ = PUBLIC
    __reduce__ = _with_errno

    def __init__(self, *args: object, program: str | None = None, errno: int | None = None) -> None:
        super().__init__(*args, program=program)
        self.errno = errno


class ResourceLimit(ProcessError):
    """A resource limit is invalid or cannot be enforced here; the group or run was not started."""

    __module__ = PUBLIC


class Unsupported(ProcessError):
    """This system cannot do `operation`."""

    __module__ = PUBLIC
    operation: str
    """What cannot be done here, by the name of the method or option."""

    def __init__(self, *args: object, operation: str = "", program: str | None = None) -> None:
        super().__init__(*args, program=program)
        self.operation = operation


class OutputTooLarge(ProcessError):
    """The output passed its cap."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    max_lines: int | None
    """The cap in lines; None: there was none."""
    max_bytes: int | None
    """The cap in bytes; None: there was none."""
    total_lines: int
    """Lines of the stream that passed it, as far as they were read; 0 for exact bytes."""
    total_bytes: int
    """Bytes of the stream that passed it, as far as they were read."""

    def __init__(
        self,
        *args: object,
        program: str = "",
        max_lines: int | None = None,
        max_bytes: int | None = None,
        total_lines: int = 0,
        total_bytes: int = 0,
    ) -> None:
        super().__init__(*args, program=program)
        self.max_lines = max_lines
        self.max_bytes = max_bytes
        self.total_lines = total_lines
        self.total_bytes = total_bytes


class Cancelled(ProcessError):
    """The run's cancellation token was cancelled; its tree was ended."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""

    def __init__(self, *args: object, program: str = "") -> None:
        super().__init__(*args, program=program)


class InvalidJson(ProcessError):
    """The output is not valid JSON."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    stdout: str | None
    """The beginning of stdout, at most 2048 characters; None when a stream of lines found it."""

    def __init__(self, *args: object, program: str = "", stdout: str | None = None) -> None:
        super().__init__(*args, program=program)
        self.stdout = stdout


class WaitTimeout(ProcessError, TimeoutError):
    """What was waited for did not come in time; nothing was done to the process."""

    __module__ = PUBLIC
    timeout_seconds: float
    """For how long was waited, in seconds."""
    host: str | None
    """The host that was asked, where one was."""
    port: int | None
    """The port that was asked, where one was."""
    path: StrPath | None
    """The path of the file, socket, pipe or request that was asked for, where there was one."""

    def __init__(
        self,
        message: str,
        *,
        timeout_seconds: float,
        host: str | None = None,
        port: int | None = None,
        path: StrPath | None = None,
        program: str | None = None,
    ) -> None:
        super().__init__(message, program=program)
        self.timeout_seconds = timeout_seconds
        self.host = host
        self.port = port
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args[0], vars(self))


class NotReady(WaitTimeout):
    """The process ended before it was ready."""

    __module__ = PUBLIC
    outcome: Outcome | None
    """How it ended."""

    def __init__(self, message: str, *, timeout_seconds: float, outcome: Outcome | None = None, **place: Any) -> None:
        super().__init__(message, timeout_seconds=timeout_seconds, **place)
        self.outcome = outcome


def _rebuild(kind: type[WaitTimeout], message: str, attributes: dict[str, Any]) -> WaitTimeout:
    return kind(message, **attributes)


def failure(text: str, program: str | None = None) -> ProcessError:
    """A plain ProcessError about `program`."""
    return ProcessError(text, program=program)


def unsupported(operation: str, why: str) -> Unsupported:
    """`operation` cannot be done here."""
    return Unsupported(f"{operation} is not supported here: {why}", operation=operation)


def cancelled(program: str) -> Cancelled:
    """The error of a run whose token was cancelled."""
    return Cancelled(f"{program} was cancelled", program=program)


def too_large(program: str, max_bytes: int | None, max_lines: int | None, total_bytes: int, total_lines: int) -> OutputTooLarge:
    """A stream passed its cap."""
    most = " and ".join(f"{most} {unit}" for most, unit in ((max_bytes, "bytes"), (max_lines, "lines")) if most is not None)
    return OutputTooLarge(
        f"{program}: output exceeded its capture ceiling of {most}: {total_bytes} bytes, {total_lines} lines",
        program=program,
        max_lines=max_lines,
        max_bytes=max_bytes,
        total_lines=total_lines,
        total_bytes=total_bytes,
    )


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
