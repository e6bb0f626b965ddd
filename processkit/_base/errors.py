"""What processkit raises.

    ProcessError
     ├─ NonZeroExit         the exit code is not a success code
     ├─ Timeout             (TimeoutError) the run's own deadline passed
     ├─ Signalled           a signal ended it
     ├─ ProcessNotFound     (FileNotFoundError) no such program
     ├─ PermissionDenied    (PermissionError) the system refuses the program, or what was asked for it
     ├─ ResourceLimit       a limit cannot be enforced here
     ├─ Unsupported         this system cannot do it
     ├─ OutputTooLarge      the output passed its cap in `error` mode
     ├─ Cancelled           its cancellation token was cancelled
     ├─ IdleTimeout         no line came for too long
     ├─ InvalidJson         the output is not JSON
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
    """Base of every exception of this package. If a failure concerns one program, `program` is its name as it was given."""

    __module__ = PUBLIC
    program: str | None = None
    """The program as it was given; None if the failure concerns none."""

    def __init__(self, *args: object, program: str | None = None) -> None:
        super().__init__(*args)
        self.program = program


class _Failed(ProcessError):
    """A run that did not succeed, with its captured output."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    stdout: str
    """The captured stdout as text, partial if it did not exit by itself; "" if it was not captured."""
    stderr: str
    """The captured stderr, partial if it did not exit by itself; "" if it was not captured."""
    stdout_bytes: bytes | None
    """The exact bytes of stdout if the failure comes from a BytesResult, else None."""
    diagnostic: str | None
    """Stripped stderr if that has text, else stripped stdout, else None."""

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
    """The exit code; a crash on Windows has a negative one."""

    def __init__(self, *args: object, code: int = 1, **said: Any) -> None:
        super().__init__(*args, **said)
        self.code = code


class Timeout(_Failed, TimeoutError):
    """The run's own deadline passed and its tree was ended."""

    __module__ = PUBLIC
    timeout_seconds: float | None
    """The configured `timeout` in seconds; None if unknown."""

    def __init__(self, *args: object, timeout_seconds: float | None = None, **said: Any) -> None:
        super().__init__(*args, **said)
        self.timeout_seconds = timeout_seconds


class Signalled(_Failed):
    """A signal ended the process."""

    __module__ = PUBLIC
    signal: int | None
    """The number of the signal; None if it is unknown."""

    def __init__(self, *args: object, signal: int | None = None, **said: Any) -> None:
        super().__init__(*args, **said)
        self.signal = signal


class IdleTimeout(_Failed):
    """No watched output line came for too long and the tree was ended. Not a Timeout."""

    __module__ = PUBLIC
    idle_timeout_seconds: float
    """The configured `idle_timeout` in seconds."""

    def __init__(self, *args: object, idle_timeout_seconds: float = 0.0, **said: Any) -> None:
        super().__init__(*args, **said)
        self.idle_timeout_seconds = idle_timeout_seconds


def _with_errno(error: Any) -> tuple[Any, ...]:
    """Pickle an OSError whose errno was set later, which is neither in its arguments nor in its dictionary."""
    return _rebuild_with_errno, (type(error), error.args, vars(error), error.errno)


def _rebuild_with_errno(kind: Any, args: tuple[Any, ...], fields: dict[str, Any], errno: int | None) -> Any:
    made = kind(*args)
    vars(made).update(fields)
    made.errno = errno
    return made


class ProcessNotFound(ProcessError, FileNotFoundError):
    """There is no such program."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    searched: str | None
    """The searched directories, joined by `os.pathsep`; None if there was no search: for a path, or at the launch itself."""
    __reduce__ = _with_errno

    def __init__(self, *args: object, program: str = "", searched: str | None = None, errno: int | None = None) -> None:
        super().__init__(*args, program=program)
        self.searched = searched
        self.errno = errno


class PermissionDenied(ProcessError, PermissionError):
    """The system refuses the program, or something that was asked for it."""

    __module__ = PUBLIC
    __reduce__ = _with_errno

    def __init__(self, *args: object, program: str | None = None, errno: int | None = None) -> None:
        super().__init__(*args, program=program)
        self.errno = errno


class ResourceLimit(ProcessError):
    """A resource limit is invalid or cannot be enforced here; nothing was started."""

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
    """A stream passed its `output_limit` in `error` mode."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    max_lines: int | None
    """The cap in lines; None if there is none, or for the stdout of `output_bytes`."""
    max_bytes: int | None
    """The cap in bytes; None if there is none."""
    total_lines: int
    """Complete lines read from the stream that passed its cap; 0 for the stdout of `output_bytes`."""
    total_bytes: int
    """Bytes read from that stream."""

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
    """The run's cancellation token was cancelled; its tree is gone, or was never started."""

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
    """The first 2048 characters of stdout; None if a stream raises it, whose message holds the line."""

    def __init__(self, *args: object, program: str = "", stdout: str | None = None) -> None:
        super().__init__(*args, program=program)
        self.stdout = stdout


class ExitStatusLost(ProcessError):
    """The process has ended, and something else in this process took its exit status: nobody knows whether it succeeded."""

    __module__ = PUBLIC
    program: str
    """The program, as it was given."""
    pid: int | None
    """The process id that it had."""

    def __init__(self, *args: object, program: str = "", pid: int | None = None) -> None:
        super().__init__(*args, program=program)
        self.pid = pid


class WaitTimeout(ProcessError, TimeoutError):
    """A condition did not become true in time; nothing was done to any process."""

    __module__ = PUBLIC
    timeout_seconds: float
    """The given timeout in seconds."""
    host: str | None
    """The host that was tried; None if none was."""
    port: int | None
    """The port that was tried; None if none was."""
    path: StrPath | None
    """The file, socket, pipe name or HTTP path that was tried, as it was given; None if none was."""

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
    """The process ended before it was ready. The message ends with its last output."""

    __module__ = PUBLIC
    outcome: Outcome | None
    """How the process ended."""

    def __init__(self, message: str, *, timeout_seconds: float, outcome: Outcome | None = None, **place: Any) -> None:
        super().__init__(message, timeout_seconds=timeout_seconds, **place)
        self.outcome = outcome


def _rebuild(kind: type[WaitTimeout], message: str, attributes: dict[str, Any]) -> WaitTimeout:
    return kind(message, **attributes)


def failure(text: str, program: str | None = None) -> ProcessError:
    """Return a plain ProcessError about `program`."""
    return ProcessError(text, program=program)


def unsupported(operation: str, why: str) -> Unsupported:
    """Return the error of an `operation` that cannot be done here."""
    return Unsupported(f"{operation} is not supported here: {why}", operation=operation)


def cancelled(program: str) -> Cancelled:
    """Return the error of a run whose token was cancelled."""
    return Cancelled(f"{program} was cancelled", program=program)


def status_lost(program: str, pid: int | None) -> ExitStatusLost:
    """Return the error of a process whose exit status something else took."""
    import signal

    number = getattr(signal, "SIGCHLD", None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        why = "this process ignores SIGCHLD, so the system keeps no exit status; signal.signal(SIGCHLD, SIG_DFL) before it starts"
    else:
        why = "something in this process waits for any child (os.wait, waitpid(-1)); it should wait for the pids of its own children"
    return ExitStatusLost(f"{program} has ended, but its exit status was lost: {why}", program=program, pid=pid)


def too_large(program: str, max_bytes: int | None, max_lines: int | None, total_bytes: int, total_lines: int) -> OutputTooLarge:
    """Return the error of a stream that passed its cap."""
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
    """Return the end of a message: the last line of `diagnostic` that has text, cut to EXCERPT characters."""
    if diagnostic is None:
        return ""
    line = diagnostic.rstrip().rpartition("\n")[2].strip()
    return f": {line[:EXCERPT]}" if line else ""


def require_loop(program: str) -> None:
    """Raise ProcessError without a running asyncio loop, before anything is started or spent."""
    import asyncio

    if asyncio._get_running_loop() is None:
        raise failure(f"{program}: no running asyncio event loop", program)
