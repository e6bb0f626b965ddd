"""How a process ended."""

from __future__ import annotations

from . import PUBLIC
from .values import Value, store


class Outcome(Value):
    """How a process ended: with a code, by a signal, at its deadline, or nobody knows how: see `status_lost`."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("code", "signal", "timed_out", "status_lost")
    code: int | None
    """The exit code; None if it did not exit by itself. A crash on Windows has a negative one (0xC0000005 is -1073741819)."""
    signal: int | None
    """The number of the signal that killed it; None if none did or it is unknown. 9 on Windows for a process that we killed."""
    timed_out: bool
    """Whether its `timeout` ended it; then `code` and `signal` are None."""
    status_lost: bool
    """Whether something else took its exit status: this process ignores SIGCHLD, or waits for any child. waitpid(2)"""

    def __init__(self, code: int | None, signal: int | None, timed_out: bool, status_lost: bool = False) -> None:
        store(self, (code, signal, timed_out, status_lost))

    @property
    def exited_zero(self) -> bool:
        """Whether it ended with exit code 0, whatever its success codes are."""
        return self.code == 0


def outcome_of(status: int | None, timed_out: bool) -> Outcome:
    """Return the outcome in a wait status (wait(2)); None: it hangs in the kernel and was killed; -1: the status was lost."""
    if timed_out:
        return Outcome(None, None, True)
    if status is None or status < 0:
        return Outcome(None, None, False, status_lost=status is not None)
    signal = status & 0x7F
    code = status >> 8
    if signal:
        return Outcome(None, signal, False)
    # A code of Windows has 32 bits; that of a crash (0xC0000005) becomes negative, for success codes are signed.
    return Outcome(code if code < 2**31 else code - 2**32, None, False)
