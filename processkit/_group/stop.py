"""One graceful stop of a group, and its report."""

from __future__ import annotations

import time

from .._base import PUBLIC
from .._base.log import DEBUG, listener, log
from .._base.values import Value, store
from .._os import SIGTERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._os.port import GroupContainer


# Where nothing tells when a tree is empty, it is asked this often.
FIRST_LOOK, LAST_LOOK = 0.002, 0.05


class ShutdownReport(Value):
    """How a group was stopped."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = (
        "soft_signal", "attempted_signal", "members_before", "members_after", "drained_within_grace", "escalated", "elapsed_seconds",
    )  # fmt: skip
    soft_signal: str
    attempted_signal: str | None
    members_before: int | None
    members_after: int | None
    drained_within_grace: bool
    escalated: bool
    elapsed_seconds: float

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
    """One graceful stop: ask, look until it is empty or the grace is over, kill."""

    __slots__ = ("_before", "_drained", "_escalate", "_grace", "_logger", "_pause", "_sent", "_started", "container")

    def __init__(self, container: GroupContainer, grace: float, escalate: bool, logger: Any) -> None:
        self.container = container
        self._grace = grace
        self._escalate = escalate
        self._logger = logger
        self._started = time.monotonic()
        self._pause = FIRST_LOOK
        self._drained = False
        self._before = 0
        self._sent = 0

    def begin(self) -> float | None:
        """Ask; how long to wait before `look`, None when there is nothing to wait for."""
        tree = self.container.tree
        self._before = len(tree.members())
        self._sent = tree.ask(SIGTERM) if self._before else 0
        return self.look()

    def wait(self, seconds: float) -> None:
        """Sleep until the tree may have become empty, at most `seconds`."""
        left = self._grace - (time.monotonic() - self._started)
        self.container.tree.wait_change(max(left, 0.0), min(seconds, LAST_LOOK))

    def look(self) -> float | None:
        """Whether it is over; else how long to wait before looking again."""
        if self.container.tree.empty():
            self._drained = True
            return None
        left = self._grace - (time.monotonic() - self._started)
        if left <= 0 or not self._sent:
            return None
        self._pause = min(self._pause * 2, LAST_LOOK)
        return min(self._pause, left)

    def end(self) -> ShutdownReport:
        """Kill what is left, if that was asked for; the report."""
        escalated = not self._drained and self._escalate
        if escalated:
            self.container.slay()
        elif self._drained:
            self.container.thaw()  # nobody is suspended any more, and who comes next is not to be
        after = len(self.container.tree.members())
        elapsed = time.monotonic() - self._started
        asked = bool(self._sent) or not self._before
        delivery = "sent" if asked else "unsupported"
        log(
            listener(self._logger), DEBUG, "graceful shutdown", signal="term", delivery=delivery, grace_ms=int(self._grace * 1000), members_before=self._before,
            members_after=after, drained=self._drained, escalated=escalated, elapsed_ms=int(elapsed * 1000),
        )  # fmt: skip
        return ShutdownReport(delivery, "term" if asked else None, self._before, after, self._drained, escalated, elapsed)
