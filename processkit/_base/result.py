"""What a finished run was."""

from __future__ import annotations

from . import PUBLIC
from .errors import IdleTimeout, NonZeroExit, ProcessError, Signalled, Timeout, excerpt
from .outcome import Outcome
from .values import Value, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R", bound="_Result")


class Ended(Value):
    """What has an outcome mirrors it."""

    __slots__ = ()
    outcome: Outcome

    @property
    def code(self) -> int | None:
        """The exit code, None when it did not exit by itself."""
        return self.outcome.code

    @property
    def signal(self) -> int | None:
        """The signal that ended it, if one did."""
        return self.outcome.signal

    @property
    def timed_out(self) -> bool:
        """Whether its deadline ended it."""
        return self.outcome.timed_out


class Finished(Ended):
    """A run whose stdout was not captured: its outcome and its stderr."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("outcome", "stderr")
    outcome: Outcome
    stderr: str

    def __init__(self, outcome: Outcome, stderr: str) -> None:
        store(self, (outcome, stderr))

    @property
    def exited_zero(self) -> bool:
        """Whether it ended with exit code 0."""
        return self.outcome.exited_zero


class _Result(Ended):
    """What text and bytes results share."""

    __slots__ = ()
    _fields = (
        "program", "stdout", "stderr", "outcome", "timeout", "success_codes",
        "duration_seconds", "truncated", "pid", "args", "mechanism", "leaked", "idle_seconds",
    )  # fmt: skip
    # Not what differs between two runs that went the same way.
    _compared = 6
    program: str
    stderr: str
    outcome: Outcome
    timeout: float | None
    success_codes: tuple[int, ...]
    duration_seconds: float
    truncated: bool
    pid: int | None
    args: tuple[str, ...]
    mechanism: str
    leaked: int
    #: Seconds without a line after which it was ended; None: it was not.
    idle_seconds: float | None

    def __init__(
        self,
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
        """Whether it was ended because no line came for too long."""
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
        """What it said about itself: stripped stderr if that has text, else stripped stdout, else None."""
        return self.stderr.strip() or self._stdout_text().strip() or None

    def ensure_success(self: R) -> R:
        """This object if it is a success, else raise what a checking verb would: NonZeroExit, Signalled, (Idle)Timeout."""
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
        if self.outcome.code is None:
            which = "an unknown signal" if self.signal is None else f"signal {self.signal}"
            return Signalled(f"{self.program} was killed by {which}{tail}", signal=self.signal, **said)
        return NonZeroExit(f"{self.program} exited with code {self.outcome.code}{tail}", code=self.outcome.code, **said)


class ProcessResult(_Result):
    """A finished run with its captured text."""

    __module__ = PUBLIC
    __slots__ = ()
    stdout: str

    @property
    def combined(self) -> str:
        """Both with a newline between them, or the one that is not empty."""
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

    def _stdout_text(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    def _stdout_bytes(self) -> bytes | None:
        return self.stdout

    def __repr__(self) -> str:
        return (
            f"BytesResult(program={self.program!r}, code={self.code}, is_success={self.is_success}, "
            f"stdout=<{len(self.stdout)} bytes>)"
        )
