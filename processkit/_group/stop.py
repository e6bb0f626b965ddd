"""One graceful stop of a group, and its report."""

from __future__ import annotations

import time

from .._base import PUBLIC
from .._base.log import DEBUG, listener, log
from .._base.values import Value, store
from .._core.stopping import ASKED, DONE, Stopping
from .._os import SIGTERM
from .._os.members import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._os.port import GroupContainer


# Where the system does not tell when a tree becomes empty, we look this often (seconds).
FIRST_LOOK, LAST_LOOK = 0.002, 0.05


class ShutdownReport(Value):
    """How `stop` went."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = (
        "soft_signal", "attempted_signal", "members_before", "members_after", "drained_within_grace", "escalated", "elapsed_seconds",
    )  # fmt: skip
    soft_signal: str
    """`sent`, also to an empty group; `unsupported` if no member could be asked to end."""
    attempted_signal: str | None
    """`term`, or None if it is `unsupported`."""
    members_before: int | None
    """Live members before the signal, descendants included."""
    members_after: int | None
    """Live members at the end, those left alive without `escalate` included."""
    drained_within_grace: bool
    """Whether the tree became empty before the grace was over; True for an empty group."""
    escalated: bool
    """Whether the rest was killed."""
    elapsed_seconds: float
    """Seconds from the signal to the end of the stop."""

    def __init__(
        self,
        soft_signal: str,
        attempted_signal: str | None,
        members_before: int | None,
        members_after: int | None,
        drained_within_grace: bool,
        escalated: bool,
        elapsed_seconds: float,
    ) -> None:
        store(
            self, (soft_signal, attempted_signal, members_before, members_after, drained_within_grace, escalated, elapsed_seconds)
        )


class Stop:
    """One graceful stop: a group as a run whose only part is its tree, driven by `_core.stopping`."""

    __slots__ = ("_before", "_escalate", "_grace", "_logger", "_pause", "_sent", "_started", "_stopping", "container")

    def __init__(self, container: GroupContainer, grace: float, escalate: bool, logger: Any) -> None:
        self.container = container
        self._grace = grace
        self._escalate = escalate
        self._logger = logger
        self._started = time.monotonic()
        self._stopping = Stopping(0, None, None)
        self._pause = FIRST_LOOK
        self._before: int | None = 0
        self._sent = 0

    def begin(self) -> float | None:
        """Ask the tree to end. Return the seconds to wait before `look`; None: there is nothing to wait for."""
        self._stopping.stop(self._started, self._grace)
        self._stopping.exited(self._started)  # there is no direct child to wait for
        tree = self.container.tree
        self._before = count_of(tree)
        self._sent = tree.ask(SIGTERM) if self._before != 0 else 0
        return self.look()

    def wait(self, seconds: float) -> None:
        """Sleep until the tree may have become empty, at most `seconds`."""
        self.container.tree.wait_change(self._left(), min(seconds, LAST_LOOK))

    def _left(self) -> float:
        wake = self._stopping.wake
        return 0.0 if wake is None else max(0.0, wake - time.monotonic())

    def look(self) -> float | None:
        """Return None if it is over, else the seconds to wait before looking again."""
        stopping = self._stopping
        stopping.looked(self.container.tree.empty())
        if stopping.state == ASKED:
            # A tree that became empty in time has drained, whatever the clock says.
            if not self._sent:
                stopping.nobody_asked(time.monotonic())
            stopping.tick(time.monotonic())
        stopping.actions.clear()  # the signal has been sent; the kill is `end`'s
        if stopping.state != ASKED:
            return None
        self._pause = min(self._pause * 2, LAST_LOOK)
        return min(self._pause, self._left())

    def end(self) -> ShutdownReport:
        """Kill what is left, if that was asked for, and return the report."""
        drained = self._stopping.state == DONE
        escalated = not drained and self._escalate
        if escalated:
            self.container.slay()
        elif drained:
            self.container.thaw()  # an empty group is suspended no longer: new members must run
        after = count_of(self.container.tree)
        elapsed = time.monotonic() - self._started
        asked = bool(self._sent) or self._before == 0
        delivery = "sent" if asked else "unsupported"
        log(
            listener(self._logger), DEBUG, "graceful shutdown", signal="term", delivery=delivery, grace_ms=int(self._grace * 1000), members_before=self._before,
            members_after=after, drained=drained, escalated=escalated, elapsed_ms=int(elapsed * 1000),
        )  # fmt: skip
        return ShutdownReport(delivery, "term" if asked else None, self._before, after, drained, escalated, elapsed)
