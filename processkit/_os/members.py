"""The common part of all containers of many children: which child is let in, and which is left behind."""

from __future__ import annotations

import os

from .._core.unraisable import insist
from .errors import Refused
from .lock import Lock
from .unreaped import leave_behind, reap_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    from .port import Child, Tree

    C = TypeVar("C", bound=Child)


CLOSED = "the group is already closed"


def count_of(tree: Tree) -> int | None:
    """How many live members a tree has; None where nobody can tell."""
    try:
        return len(tree.members())
    except OSError:
        return None


class Members:
    """Children are born under its lock until it is sealed; a child whose handle is gone is reaped at the next occasion."""

    __slots__ = ("__weakref__", "_births", "_closed", "_frozen", "_owner", "_sealed", "_spawning", "outlives", "when_closed")

    def __init__(self, outlives: bool) -> None:
        # Held while a child is being born: closing and freezing wait for that. Reentrant, because a signal handler may end the
        # group during a birth on its own thread.
        self._spawning = Lock()
        self._births = 0
        self._owner = os.getpid()
        self._closed = self._sealed = self._frozen = False
        self.outlives = outlives
        #: Called by the group that owns this, once it has been closed.
        self.when_closed: list[Callable[[], None]] = []

    def _bear(self, spawn: Callable[[], C]) -> C:
        """The child that `spawn` makes; Refused where the container takes no more children."""
        child: C | None = None
        try:
            with self._spawning:
                self._check_open()
                reap_ended()
                self._births += 1
                try:
                    child = spawn()
                finally:
                    self._births -= 1
                if self._closed:  # closed by a signal handler, which did not know of the child
                    raise Refused(CLOSED)
            return child
        except BaseException as error:
            if child is not None:
                child.end()
            if self._sealed and isinstance(error, OSError):
                raise Refused(CLOSED) from error
            raise

    def close(self, *, leave: bool = False) -> None:
        """The container's own."""
        raise NotImplementedError

    def __del__(self) -> None:
        # 1. The group is collected. 2. A signal handler raises at the first instruction of its finalizer. 3. Only this one can end it.
        if not getattr(self, "_closed", True) and not self.outlives and os.getpid() == self._owner:
            insist(self.close)

    def _check_open(self) -> None:
        if self._sealed:
            raise Refused(CLOSED)
        if self._frozen:
            # A vfork-like clone returns when the child calls execve, and a child that is born frozen never does.
            raise Refused("the group is suspended")

    def _check_no_birth(self) -> None:
        if self._births:
            raise Refused("the group cannot be suspended from within a start of its own")

    @property
    def _patience(self) -> float:
        """Seconds that a kill is waited for: a group that takes new members meanwhile may never become empty."""
        return 10.0 if self._sealed else 1.0

    def abandon(self, child: Child) -> None:
        """Reap the child at the next occasion after its end."""
        leave_behind(child)

    def seal(self) -> None:
        """Take no more children, and wait for those that are being born. Idempotent."""
        with self._spawning:
            self._sealed = True
