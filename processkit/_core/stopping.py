"""How a run ends, as a table: exit, deadline, grace, kill, drain. Events and times in, actions out.

States
    running   nothing has been asked of the tree
    asked     the tree has been sent the soft signal and has until the end of its grace
    killed    the tree has been killed, and the run waits until it is gone
    done      nothing is left to wait for
"""

from __future__ import annotations

RUNNING, ASKED, KILLED, DONE = "running", "asked", "killed", "done"

# Actions: what the driver must do.
SIGNAL = "signal"  #: send the soft signal to the tree
KILL = "kill"  #: kill the tree
LOOK = "look"  #: look whether the tree is empty and report it
REST = "rest"  #: read what is in the pipes at this moment, and no more

# Events. `patience`: the time that the state allows is over. `leave`: the descendants left behind are not this run's to end.
ASK, SLAY, PATIENCE, EMPTY, LEAVE = "ask", "slay", "patience", "empty", "leave"

# (state, event) → (state, action)
TRANSITIONS: dict[tuple[str, str], tuple[str, str]] = {
    (RUNNING, ASK): (ASKED, SIGNAL),
    (RUNNING, SLAY): (KILLED, KILL),
    (RUNNING, PATIENCE): (KILLED, KILL),
    (RUNNING, EMPTY): (DONE, ""),
    (RUNNING, LEAVE): (DONE, REST),
    (ASKED, ASK): (ASKED, ""),
    (ASKED, SLAY): (KILLED, KILL),
    (ASKED, PATIENCE): (KILLED, KILL),
    (ASKED, EMPTY): (DONE, REST),
    (KILLED, ASK): (KILLED, ""),
    (KILLED, SLAY): (KILLED, ""),
    (KILLED, PATIENCE): (DONE, REST),
    (KILLED, EMPTY): (DONE, REST),
}

#: Seconds for which pipes are still read after the direct child's exit before the processes that hold them are killed; the
#: second value is for pipes that the caller reads line by line.
DRAIN, LONG_DRAIN = 0.2, 5.0
#: Seconds in which a tree whose pipes are closed may end by itself before its processes count as left behind.
SETTLE = 0.01
#: Seconds after which a deadline that nobody acts on is another thread's to keep.
LATE = 0.1
#: Seconds that a killed tree may hang in the kernel before the run ends without it.
KILL_PATIENCE = 10.0


class Stopping:
    """The end of one run. `actions` holds what to do next, in order; `wake` is when to call `tick` if nothing happens before."""

    __slots__ = (
        "_deadline",
        "_exited",
        "_grace",
        "_open",
        "_patience",
        "_shared",
        "abandoned",
        "actions",
        "drain",
        "found_left",
        "given_up",
        "state",
        "timed_out",
    )

    def __init__(self, streams: int, deadline: float | None, grace: float | None, shared: bool = False) -> None:
        self.state = RUNNING
        self.actions: list[str] = []
        #: The run's own deadline passed while the direct child was running.
        self.timed_out = False
        #: The direct child ended and left live descendants, which were killed.
        self.found_left = False
        #: The direct child did not end in the time that `hurry` left it.
        self.given_up = False
        #: The tree was killed, and has not become empty in time.
        self.abandoned = False
        self._open = streams
        # The child is a member of a group: descendants that it leaves behind belong to the group.
        self._shared = shared
        self._deadline = deadline
        self._grace = grace
        self._patience: float | None = None
        self._exited = False
        #: Seconds for which pipes are still read after the direct child's exit; None: as long as any process holds them, and then
        #: descendants left behind are not ended either.
        self.drain: float | None = DRAIN

    @property
    def wake(self) -> float | None:
        """The next moment at which time alone changes something."""
        if self._deadline is None or self._patience is None:
            return self._deadline if self._patience is None else self._patience
        return min(self._deadline, self._patience)

    @property
    def watching(self) -> bool:
        """Whether the run now waits only for the tree to become empty."""
        return self._exited and (self.state != RUNNING or not self._open)

    @property
    def has_exited(self) -> bool:
        """Whether the direct child has ended."""
        return self._exited

    def exited(self, now: float) -> None:
        """The direct child has ended."""
        self._exited = True
        if self.state == RUNNING:
            self._await_pipes(now)
        self._look()

    def drain_for(self, seconds: float | None, now: float) -> None:
        """From now on pipes are read for `seconds` after the exit."""
        self.drain = seconds
        if self.state == RUNNING and self._exited:
            self._await_pipes(now)

    def _await_pipes(self, now: float) -> None:
        """The child has exited: set the time that its pipes and its descendants still have."""
        if self.drain is None:
            return  # no caller has asked for the end: descendants may go on, and only the deadline ends them
        self._patience = now + (self.drain if self._open else SETTLE)
        if self._deadline is not None and self._deadline > now:
            self._patience = min(self._patience, self._deadline)
        self._deadline = None

    def closed(self, now: float) -> None:
        """One more of the child's streams has reached its end."""
        self._open -= 1
        if self.state == RUNNING and self._exited and not self._open and self.drain is not None:
            self._patience = now + SETTLE
        self._look()

    def looked(self, empty: bool) -> None:
        """The answer to LOOK."""
        if empty and self.watching and self.state != DONE:
            self._go(EMPTY)

    def is_due(self, now: float) -> bool:
        """Whether the deadline has passed, so that the next `tick` acts on it."""
        return self._deadline is not None and now >= self._deadline

    def overdue(self, now: float) -> str:
        """What should have been done by `tick` for the deadline's sake, long ago: SIGNAL, KILL or nothing. Changes nothing."""
        deadline = self._deadline
        if self.state != RUNNING or self._exited or deadline is None or now < deadline + LATE:
            return ""
        return SIGNAL if self._grace is not None and now < deadline + self._grace + LATE else KILL

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self.timed_out = not self._exited
            self.stop(now, self._grace)
        if self._patience is not None and now >= self._patience:
            if self.state == RUNNING and self._shared:
                self._go(LEAVE)
            else:
                self.found_left = self.state == RUNNING and self._exited
                self.given_up = self.state == RUNNING and not self._exited
                self.abandoned = self.state == KILLED
                self._go(PATIENCE)
            self._patience = now + KILL_PATIENCE if self.state == KILLED else None
        self._look()

    def end_by(self, deadline: float) -> None:
        """Add a deadline; the earlier one counts."""
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    def hurry(self, moment: float) -> None:
        """End the run at `moment` at the latest: its output by then is kept, and it does not count as timed out."""
        if self.state == RUNNING and (self._patience is None or moment < self._patience):
            self._patience = moment

    def stop(self, now: float, grace: float | None) -> None:
        """End the tree: at once, or after asking it and waiting `grace` seconds."""
        self._deadline = None
        self._go(SLAY if grace is None else ASK)
        if self.state == ASKED and grace is not None:
            self._patience = now + grace
        elif self.state == KILLED:
            self._patience = now + KILL_PATIENCE
        self._look()

    def wait_until(self, moment: float) -> None:
        """The kill was refused by some: the tree that was killed is waited for until `moment` at the latest."""
        if self.state == KILLED and self._patience is not None:
            self._patience = min(self._patience, moment)

    def nobody_asked(self, now: float) -> None:
        """The answer to SIGNAL: there was no process to ask, or no way to ask it, so there is nothing to wait for."""
        if self.state == ASKED:
            self.stop(now, None)

    def _look(self) -> None:
        if self._shared and self.state == RUNNING and self._exited and not self._open:
            self._go(LEAVE)
        if self.watching and self.state != DONE and LOOK not in self.actions:
            self.actions.append(LOOK)

    def _go(self, event: str) -> None:
        self.state, action = TRANSITIONS[self.state, event]
        if self.state == DONE:
            self._deadline = self._patience = None
        if action:
            self.actions.append(action)
