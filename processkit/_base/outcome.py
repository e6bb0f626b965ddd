"""How a process ended."""

from __future__ import annotations

from . import PUBLIC
from .values import Value, store


class Outcome(Value):
    """How a process ended: with a code, by a signal (whose number may be unknown), or at its deadline."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("code", "signal", "timed_out")
    code: int | None
    signal: int | None
    timed_out: bool

    def __init__(self, code: int | None, signal: int | None, timed_out: bool) -> None:
        store(self, (code, signal, timed_out))

    @property
    def exited_zero(self) -> bool:
        """Whether it ended with exit code 0, whatever codes are accepted."""
        return self.code == 0


def outcome_of(status: int | None, timed_out: bool) -> Outcome:
    """The outcome in a wait status (wait(2)); None or -1 is a status that nobody knows."""
    if timed_out:
        return Outcome(None, None, True)
    if status is None or status < 0:
        return Outcome(None, None, False)
    signal = status & 0x7F
    code = status >> 8
    if signal:
        return Outcome(None, signal, False)
    # Windows has 32 bits of it: what a crash leaves there (0xC0000005) is a negative number, as success codes are.
    return Outcome(code if code < 2**31 else code - 2**32, None, False)
