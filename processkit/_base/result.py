"""The values that describe a finished run: how it ended and what was captured."""

from __future__ import annotations

from . import PUBLIC
from .errors import IdleTimeout, NonZeroExit, ProcessError, Signalled, Timeout, excerpt, status_lost
from .outcome import Outcome
from .values import Value, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict, TypeVar

    class Facts(TypedDict):
        """The fields of a result beside the program, what was captured and the outcome."""

        timeout: float | None
        success_codes: tuple[int, ...]
        duration_seconds: float
        truncated: bool
        pid: int | None
        args: tuple[str, ...]
        mechanism: str
        leaked: int
        idle_seconds: float | None

    R = TypeVar("R", bound="_Result")


class Ended(Value):
    """Base of the values that have an outcome and mirror it."""

    __slots__ = ()
    outcome: Outcome

    @property
    def code(self) -> int | None:
        """The exit code; None if it did not exit by itself."""
        return self.outcome.code

    @property
    def signal(self) -> int | None:
        """The number of the signal that killed it; None if none did or it is unknown."""
        return self.outcome.signal

    @property
    def timed_out(self) -> bool:
        """Whether its `timeout` ended it."""
        return self.outcome.timed_out


class Finished(Ended):
    """The outcome and the stderr of a run whose stdout was not captured."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("outcome", "stderr")
    outcome: Outcome
    """How it ended."""
    stderr: str
    """The captured text of stderr; "" if it is not piped or was delivered by a stream."""

    def __init__(self, outcome: Outcome, stderr: str) -> None:
        store(self, (outcome, stderr))

    @property
    def exited_zero(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.outcome.exited_zero


class _Result(Ended):
    """What text and bytes results share. Equal if program, captured output, outcome, timeout and success codes are."""

    __slots__ = ()
    _fields = (
        "program", "stdout", "stderr", "outcome", "timeout", "success_codes",
        "duration_seconds", "truncated", "pid", "args", "mechanism", "leaked", "idle_seconds",
    )  # fmt: skip
    # The fields after these differ between two runs that went the same way.
    _compared = 6
    program: str
    """The program as it was given; of a pipeline the stage that decides the result, or all names if the whole chain timed out."""
    stderr: str
    """The captured text of stderr, lines joined by newlines; empty if it is not piped."""
    outcome: Outcome
    """How it ended."""
    timeout: float | None
    """The configured `timeout` in seconds; None: no limit."""
    success_codes: tuple[int, ...]
    """The exit codes that count as success, in ascending order."""
    duration_seconds: float
    """Seconds from the launch to the result."""
    truncated: bool
    """Whether an `output_limit` that drops has dropped something."""
    pid: int | None
    """The process id that it had."""
    args: tuple[str, ...]
    """The program and the arguments, as they were given."""
    mechanism: str
    """The mechanism that contained it: `cgroup_v2`, `process_group`, `job_object` or `leash`."""
    leaked: int
    """Descendants that were still alive after the process had exited, and were killed; 0 for a member of a ProcessGroup."""
    idle_seconds: float | None
    """The `idle_timeout` in seconds that ended it; None: it did not."""

    def __init__(
        self,
        *,
        program: str,
        stdout: Any,
        stderr: str,
        outcome: Outcome,
        timeout: float | None,
        success_codes: tuple[int, ...],
        duration_seconds: float,
        truncated: bool,
        pid: int | None,
        args: tuple[str, ...],
        mechanism: str,
        leaked: int,
        idle_seconds: float | None = None,
    ) -> None:
        facts = (duration_seconds, truncated, pid, args, mechanism, leaked, idle_seconds)
        store(self, (program, stdout, stderr, outcome, timeout, success_codes, *facts))

    @property
    def idle_timed_out(self) -> bool:
        """Whether its `idle_timeout` ended it."""
        return self.idle_seconds is not None

    @property
    def is_success(self) -> bool:
        """Whether it exited by itself with one of its success codes."""
        return self.outcome.code in self.success_codes

    def _stdout_text(self) -> str:
        raise NotImplementedError

    def _stdout_bytes(self) -> bytes | None:
        return None

    @property
    def diagnostic(self) -> str | None:
        """Stripped stderr if that has text, else stripped stdout, else None."""
        return self.stderr.strip() or self._stdout_text().strip() or None

    def ensure_success(self: R) -> R:
        """Return this object if it is a success, else raise NonZeroExit, Signalled, Timeout, IdleTimeout or ExitStatusLost."""
        if self.is_success:
            return self
        raise self._failure()

    def _failure(self) -> ProcessError:
        tail = excerpt(self.diagnostic)
        said: dict[str, Any] = {
            "program": self.program,
            "stdout": self._stdout_text(),
            "stderr": self.stderr,
            "stdout_bytes": self._stdout_bytes(),
            "diagnostic": self.diagnostic,
        }
        if self.idle_seconds is not None:
            text = f"{self.program} was idle: no watched output line for {self.idle_seconds} s{tail}"
            return IdleTimeout(text, idle_timeout_seconds=self.idle_seconds, **said)
        if self.timed_out:
            return Timeout(f"{self.program} timed out after {self.timeout} s{tail}", timeout_seconds=self.timeout, **said)
        if self.outcome.status_lost:
            return status_lost(self.program, self.pid)
        if self.outcome.code is None:
            which = "an unknown signal" if self.signal is None else f"signal {self.signal}"
            return Signalled(f"{self.program} was killed by {which}{tail}", signal=self.signal, **said)
        return NonZeroExit(f"{self.program} exited with code {self.outcome.code}{tail}", code=self.outcome.code, **said)


class ProcessResult(_Result):
    """A finished run with its captured text."""

    __module__ = PUBLIC
    __slots__ = ()
    stdout: str
    """The captured text of stdout, lines joined by newlines, without a final one."""

    @property
    def combined(self) -> str:
        """Stdout, a newline and stderr; or the one of them that is not empty."""
        return f"{self.stdout}\n{self.stderr}" if self.stdout and self.stderr else self.stdout or self.stderr

    def _stdout_text(self) -> str:
        return self.stdout

    def __repr__(self) -> str:
        return f"ProcessResult(program={self.program!r}, code={self.code}, is_success={self.is_success})"


class BytesResult(_Result):
    """A finished run whose stdout is exact bytes."""

    __module__ = PUBLIC
    __slots__ = ()
    stdout: bytes
    """The exact bytes of stdout, as far as an `output_limit` keeps them."""

    def _stdout_text(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    def _stdout_bytes(self) -> bytes | None:
        return self.stdout

    def __repr__(self) -> str:
        return (
            f"BytesResult(program={self.program!r}, code={self.code}, is_success={self.is_success}, "
            f"stdout=<{len(self.stdout)} bytes>)"
        )
