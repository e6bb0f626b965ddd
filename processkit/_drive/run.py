"""One run in progress: the core's decisions, a child, and the sinks of its streams. Both drivers feed it."""

from __future__ import annotations

import time

from .._core.stopping import DONE, KILL, KILLED, LOOK, REST, RUNNING, SIGNAL, Stopping
from .._os import ENDED, STDERR, STDOUT, TREE
from .._os.members import count_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Protocol

    from .._core.capture import Capture, Fillable
    from .._os.feed import Feed
    from .._os.port import Child
    from .taps import Taps

    class Token(Protocol):
        def is_cancelled(self) -> bool: ...

    class Sampler(Protocol):
        next: float

        def tick(self, now: float) -> None: ...

    class Watcher(Protocol):
        def watch_tree(self) -> bool: ...
        def unwatch(self, descriptor: int) -> None: ...
        def feed(self, feed: Feed) -> None: ...
        def pause(self, what: int) -> None: ...
        def resume(self, what: int) -> None: ...
        def read_now(self, descriptor: int) -> bytes | None: ...
        def pour_into(self, direct: Callable[[int], Fillable | None]) -> None: ...


#: Where no event tells that a tree has become empty, it is polled: first after the one interval, then ever less often, up to
#: the other.
FIRST_LOOK, LAST_LOOK = 0.002, 0.05
# A process that escaped may write for ever: when the run ends, at most this many bytes of each pipe are still read.
MOST_REST = 1 << 20


def act_on_tree(child: Child, stopping: Stopping, soft_signal: int) -> None:
    """Execute the actions that concern the tree alone; used where no driver is attached to read and look."""
    for action in (SIGNAL, KILL):
        if action in stopping.actions:
            # It is taken out once it is done: after an error it is tried again.
            if action == KILL:
                kill_tree(child, stopping)
                stopping.actions.remove(action)
            else:
                asked = child.tree.ask(soft_signal)
                stopping.actions.remove(action)
                if not asked:
                    stopping.nobody_asked(time.monotonic())


def kill_tree(child: Child, stopping: Stopping) -> None:
    """Kill the child's tree; who may not be killed is waited for no longer than the system says."""
    child.tree.kill()
    refused = child.tree.unkillable()
    if refused:
        stopping.wait_until(max(refused.values()))


class Run:
    """Takes events (`report`, `tick`), executes actions on the child's tree, and is `done` when nothing is left to do."""

    __slots__ = (
        "_ended", "_idle_deadline", "_look_again", "_pause", "_paused", "_stood_in", "_watcher", "cancelled", "child", "failure", "feed", "idle_seconds",
        "idle_streams", "idle_timed_out", "leaked", "lifted", "listeners", "sampler", "sinks", "soft_signal", "stopping", "taps", "token",
        "wake",
    )  # fmt: skip

    def __init__(
        self,
        child: Child,
        stopping: Stopping,
        sinks: dict[int, Capture],
        soft_signal: int,
        feed: Feed | None,
        token: Token | None = None,
    ) -> None:
        self.child = child
        self.stopping = stopping
        self.sinks = sinks
        self.soft_signal = soft_signal
        #: Live descendants that the direct child left behind and that were killed, or all members that could not be killed.
        self.leaked = 0
        self.feed = feed
        self.token = token
        #: The error that ended the run and that did not come from the process.
        self.failure: BaseException | None = None
        #: The token was cancelled before the run was over.
        self.cancelled = False
        #: Makes the driver call `look_at_token` soon; set by a driver, called from any thread.
        self.wake: Callable[[], None] | None = None
        #: How many callers want everything read, even into sinks that are full.
        self.lifted = 0
        #: Called with the bytes read of a stream, and with b"" at its end.
        self.listeners: list[Callable[[int, bytes], None]] = []
        #: The further destinations of the streams.
        self.taps: Taps | None = None
        #: Measures the process at intervals.
        self.sampler: Sampler | None = None
        #: After this many seconds without a line the tree is ended; None: the child may be silent.
        self.idle_seconds: float | None = None
        self.idle_timed_out = False
        #: The streams whose lines count against `idle_seconds`.
        self.idle_streams: tuple[int, ...] = (STDOUT, STDERR)
        # Streams that are not read for now, because their sinks are full.
        self._paused: set[int] = set()
        self._idle_deadline: float | None = None
        self._ended = False
        self._watcher: Watcher | None = None
        self._look_again: float | None = None
        self._pause = FIRST_LOOK
        # What `stand_in` has done.
        self._stood_in: tuple[str, ...] = ()

    def attach(self, watcher: Watcher) -> None:
        """Attach the driver's waiter and execute what was decided before."""
        self._watcher = watcher
        watcher.pour_into(self._direct)
        for stream in self._paused:
            watcher.pause(stream)
        self._hear()
        self.act()

    def detach(self) -> None:
        """Detach the driver's waiter; another driver may be attached later."""
        self._watcher = None

    def relieve(self) -> None:
        """Resume the streams whose sinks were full and have room now."""
        taps = self.taps
        if taps is not None and taps.error is not None and self.failure is None:
            self.failure = taps.error
            self.stop(None)
        for stream in [*self._paused]:
            if not self._is_full(stream):
                self._paused.discard(stream)
                if self._watcher is not None and self.child.stream(stream) >= 0:
                    self._watcher.resume(stream)

    def write_more(self) -> None:
        """The feed has more to write."""
        if self._watcher is not None and self.feed is not None:
            self._watcher.feed(self.feed)

    def change_sinks(self, sinks: dict[int, Capture]) -> None:
        """From now on the streams go to `sinks`, and so does what was held of them so far."""
        held: Any = self.sinks
        self.sinks = {stream: held[stream].hand_over(sink) for stream, sink in sinks.items()}
        self.relieve()

    def listen(self, seconds: float | None, streams: tuple[int, ...] = (STDOUT, STDERR)) -> None:
        """From now on one of `streams` must bring a line every `seconds`; None: the child may be silent."""
        self.idle_streams = streams
        self.idle_seconds = seconds if streams else None
        self._hear()

    def _hear(self) -> None:
        """Restart the idle deadline: a line has come, or listening begins."""
        if self.idle_seconds is not None and not self._ended:
            self._idle_deadline = time.monotonic() + self.idle_seconds

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self.stopping.state == DONE and (self.taps is None or not self.taps.busy)

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended, even if it left descendants behind."""
        return self._ended or self.done

    @property
    def open_streams(self) -> bool:
        """Whether output may still come through a pipe."""
        return self.child.stream(STDOUT) >= 0 or self.child.stream(STDERR) >= 0

    def seconds_left(self) -> float | None:
        """Seconds for which only an event can change anything; None: for ever."""
        wake = self.stopping.wake
        if self._look_again is not None:
            wake = self._look_again if wake is None else min(wake, self._look_again)
        if self.sampler is not None:
            wake = self.sampler.next if wake is None else min(wake, self.sampler.next)
        if self._idle_deadline is not None:
            wake = self._idle_deadline if wake is None else min(wake, self._idle_deadline)
        if self.taps is not None and self.taps.until is not None and self.taps.busy:
            wake = self.taps.until if wake is None else min(wake, self.taps.until)
        return None if wake is None else max(0.0, wake - time.monotonic())

    def report(self, what: int, data: bytes) -> None:
        """Handle an event: bytes or the end of a stream, the child's end, news of the tree."""
        if what in (STDOUT, STDERR):
            self._take(what, data)
        elif what == ENDED and not self._ended:
            self._idle_deadline = None
            self._ended = True
            self.stopping.exited(time.monotonic())
        elif what == TREE:
            self.stopping.actions.append(LOOK)
        if self.stopping.actions:
            self.act()

    def tick(self) -> None:
        """Time passed."""
        now = time.monotonic()
        if self.sampler is not None:
            self.sampler.tick(now)
        if self._idle_deadline is not None and now >= self._idle_deadline:
            self._idle_deadline = None
            if not self._paused.isdisjoint(self.idle_streams):
                self._hear()  # we are not reading: the child's last output still waits here
            elif self.stopping.state == RUNNING and not self.stopping.is_due(now):
                # If the run's own deadline has passed too, it was the earlier one.
                self.idle_timed_out = True
                self.stopping.stop(now, None)
        if self._look_again is not None and now >= self._look_again:
            self._look_again = None
            self.stopping.actions.append(LOOK)
        self.stopping.tick(now)
        self.act()

    def stop(self, grace: float | None) -> None:
        """End the tree, at once or with a grace."""
        now = time.monotonic()
        if self.taps is not None:
            self.taps.hurry(now + (grace or 0.0))
        if self.stopping.state != DONE:
            self.stopping.stop(now, grace)
            self.act()

    def pulse(self) -> None:
        """Between two lines of a slow tap: apply the clock and the token to the tree, and do nothing else yet."""
        stopping, now = self.stopping, time.monotonic()
        if self.taps is None or stopping.has_exited or stopping.state == DONE:
            return
        if self.token is not None and not self.cancelled and self.token.is_cancelled():
            self.cancelled = True
            stopping.stop(now, None)
        elif stopping.wake is not None and now >= stopping.wake:
            stopping.tick(now)
        act_on_tree(self.child, stopping, self.soft_signal)
        if stopping.state == KILLED:
            self.taps.hurry(now)

    def stand_in(self) -> None:
        """The thread that leads is busy: apply the clock and the token to the tree. All else is left to that thread."""
        if self.has_ended or self.child.status() is not None:
            return
        if self.token is not None and not self.cancelled and self.token.is_cancelled():
            self.cancelled = True
            self.child.tree.kill()
            return
        due = self.stopping.overdue(time.monotonic())
        if due and due not in self._stood_in:
            self._stood_in += (due,)
            self.stopping.timed_out = True
            self.child.tree.kill() if due == KILL else self.child.tree.ask(self.soft_signal)

    def interrupt(self) -> None:
        """The token was cancelled. Called from any thread."""
        wake = self.wake
        if wake is not None:
            wake()

    def look_at_token(self) -> None:
        """End the tree if the token has been cancelled."""
        if self.token is not None and not self.done and not self.cancelled and self.token.is_cancelled():
            self.cancelled = True
            self.stop(None)

    def act(self) -> None:
        """Execute the decided actions; while no driver is attached, only those that concern the tree alone."""
        if self._watcher is None:
            act_on_tree(self.child, self.stopping, self.soft_signal)
            return
        actions = self.stopping.actions
        while actions:
            action = actions.pop(0)
            if action == SIGNAL:
                if not self.child.tree.ask(self.soft_signal):
                    self.stopping.nobody_asked(time.monotonic())
            elif action == KILL:
                if self.stopping.found_left:
                    self.leaked = count_of(self.child.tree) or 0
                elif self.taps is not None:
                    self.taps.hurry(time.monotonic())
                kill_tree(self.child, self.stopping)
            elif action == REST:
                if self.stopping.abandoned:
                    self.leaked = max(self.leaked, count_of(self.child.tree) or 0)
                    self.child.tree.give_up()
                self._read_rest()
            elif not self.done:
                self._look()

    def _look(self) -> None:
        empty = self.child.tree.empty()
        self.stopping.looked(empty)
        assert self._watcher is not None
        if empty or self._watcher.watch_tree():
            return
        self._look_again = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LAST_LOOK)

    def _take(self, stream: int, data: bytes) -> None:
        if data:
            sink = self.sinks[stream]
            lines = sink.lines_seen if self.idle_seconds is not None and stream in self.idle_streams else -1
            self._deliver(stream, data)
            if 0 <= lines < sink.lines_seen:
                self._hear()
            if sink.flooded and self.stopping.state == RUNNING:
                self.stop(None)
            if self._is_full(stream) and self._watcher is not None:
                self._paused.add(stream)
                self._watcher.pause(stream)
        else:
            self._close(stream)
            self.stopping.closed(time.monotonic())

    def _direct(self, stream: int) -> Fillable | None:
        """The sink of a stream whose bytes nothing but the sink wants."""
        if self.listeners or self.taps is not None or self.idle_seconds is not None:
            return None
        sink: Any = self.sinks[stream]
        return sink if hasattr(sink, "fill") else None

    def _deliver(self, stream: int, data: bytes) -> None:
        for listener in self.listeners:
            listener(stream, data)
        if self.taps is not None:
            self.taps.put(stream, data)
        if data:
            self.sinks[stream].feed(data)
        else:
            self.sinks[stream].close()

    def _is_full(self, stream: int) -> bool:
        return (self.sinks[stream].full and not self.lifted) or (self.taps is not None and self.taps.full)

    def _close(self, stream: int) -> None:
        self._deliver(stream, b"")
        self.child.close_stream(stream)

    def _read_rest(self) -> None:
        """Read what is in the pipes at this moment and close them; a process that still holds one is out of reach."""
        for stream in (STDOUT, STDERR):
            descriptor = self.child.stream(stream)
            assert self._watcher is not None
            if descriptor < 0:
                continue
            self._paused.discard(stream)
            most = MOST_REST
            while most > 0:
                data = self._watcher.read_now(descriptor)
                if not data:
                    break
                self._deliver(stream, data)
                most -= len(data)
            self._watcher.unwatch(descriptor)
            self._close(stream)
