"""How a run ends, as a table: exit, deadline, grace, kill, drain. Events and times in, actions out.

States
    running   nothing has been asked of the tree
    asked     it has been sent the soft signal and has until the end of its grace
    killed    it has been killed, and we wait until it is gone
    done      nothing is left to wait for
"""

from __future__ import annotations

RUNNING, ASKED, KILLED, DONE = "running", "asked", "killed", "done"

# What the driver is to do.
SIGNAL = "signal"  #: send the soft signal to the tree
KILL = "kill"  #: kill the tree
LOOK = "look"  #: look whether the tree is empty and report it
REST = "rest"  #: read what is in the pipes at this moment, and no more

# What happens. `patience`: the time that the state allows is over. `leave`: what the child left behind is not ours to end.
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

#: Seconds for which pipes are still read after the direct child's exit before what holds them is killed, and for which those
#: are that somebody follows line by line.
DRAIN, LONG_DRAIN = 0.2, 5.0
#: Seconds that a tree whose pipes are closed gets to finish dying by itself before it counts as left behind.
SETTLE = 0.01
#: Seconds that a killed tree may hang in the kernel before the run ends without it.
KILL_PATIENCE = 10.0


class Stopping:
    """The end of one run. `actions` is what to do next, in order; `wake` when to call `tick` if nothing happens before."""

    __slots__ = (
        "_deadline",
        "_exited",
        "_grace",
        "_open",
        "_patience",
        "_shared",
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
        #: It did not end in the time that `hurry` left it.
        self.given_up = False
        self._open = streams
        # A member of a group: what it leaves behind belongs to the group.
        self._shared = shared
        self._deadline = deadline
        self._grace = grace
        self._patience: float | None = None
        self._exited = False
        #: Seconds for which pipes are still read after the direct child's exit; None: as long as somebody holds them, and then
        #: what was left behind is not ended either.
        self.drain: float | None = DRAIN

    @property
    def wake(self) -> float | None:
        """The next moment at which time alone changes something."""
        if self._deadline is None or self._patience is None:
            return self._deadline if self._patience is None else self._patience
        return min(self._deadline, self._patience)

    @property
    def watching(self) -> bool:
        """Whether only the tree's emptiness is waited for."""
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
        """From now on pipes are read for so long after the exit."""
        self.drain = seconds
        if self.state == RUNNING and self._exited:
            self._await_pipes(now)

    def _await_pipes(self, now: float) -> None:
        """The child has exited: how long what is left may take."""
        if self.drain is None:
            return  # nobody has asked for the end: what is left behind may go on, and only the deadline ends it
        self._patience = now + (self.drain if self._open else SETTLE)
        if self._deadline is not None and self._deadline > now:
            self._patience = min(self._patience, self._deadline)
        self._deadline = None

    def closed(self, now: float) -> None:
        """One more of its streams has reached its end."""
        self._open -= 1
        if self.state == RUNNING and self._exited and not self._open and self.drain is not None:
            self._patience = now + SETTLE
        self._look()

    def looked(self, empty: bool) -> None:
        """The answer to LOOK."""
        if empty and self.watching and self.state != DONE:
            self._go(EMPTY)

    def is_due(self, now: float) -> bool:
        """Whether the deadline has passed, and the next `tick` will say so."""
        return self._deadline is not None and now >= self._deadline

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
                self._go(PATIENCE)
            self._patience = now + KILL_PATIENCE if self.state == KILLED else None
        self._look()

    def end_by(self, deadline: float) -> None:
        """There is one more deadline; the earlier one counts."""
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    def hurry(self, moment: float) -> None:
        """Nobody wants it any more after this; what it has said by then is kept, and it has not timed out."""
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

    def nobody_asked(self, now: float) -> None:
        """The answer to SIGNAL: there was nobody to ask, or no way to, so there is nothing to wait for."""
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
