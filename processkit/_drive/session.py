"""Runs that make progress while a caller waits for something from them: a line, room for input, an answer, the end.

There is no thread of ours: the waiting caller moves the runs on. In an event loop, its callbacks do that, also between two
waits. Without one, the first waiting thread runs a loop of ours, and the other threads wait for the events that it brings; when
it has what it wanted, the next thread takes over. So nothing is read while no caller waits, which is the back-pressure that a
pipe gives anyway.
"""

from __future__ import annotations

import _thread
import os
import sys
import time
from collections import deque
from functools import partial

from .._os.errors import NotHere
from .._os.lock import Lock
from .driver import Driver, resolve
from .ownloop import OwnLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from _thread import LockType
    from asyncio import AbstractEventLoop
    from typing import Callable

    from .ownloop import Loop
    from .run import Run

#: Seconds that a thread waits at most, each time, for events that another thread brings.
SLICE = 0.5
#: Seconds that a loop on another thread gets to unregister everything.
PATIENCE = 2.0


def running_loop() -> AbstractEventLoop | None:
    """The asyncio loop that runs on this thread, None without one."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


class Session:
    """Owns its runs' registrations with the loops until `close`.

    Which thread may touch what:
    - a run and its driver: only the one that leads. That is the thread that holds `_lead` and runs our own loop, or the thread of
      the asyncio loop in `_loop`, in its callbacks. `do` is the way there for every other thread.
    - `_loop` and `_drivers` change only under `_lead`. `_leader` is the thread in `run_once`, so that a callback that would wait for
      its own run is refused. `_claims` counts event loops that are about to take over: no other thread begins to lead meanwhile.
    - `_actions` and `_parked` are appended to by any thread; whoever stops leading empties the first and wakes the second.

    Which lock is taken inside which: a channel's lock inside `_lead`, and none inside a channel's. A handle never calls into its
    session while it holds its own lock (`_attend` only makes it there), so a callback that leads may take the handle's lock.
    """

    __slots__ = (
        "__weakref__",
        "_actions",
        "_claims",
        "_closed",
        "_drivers",
        "_lead",
        "_leader",
        "_loop",
        "_owner",
        "_parked",
        "judge",
        "runs",
    )

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        #: Called after every step of a run; returns which steps are to be taken next, and by which run.
        self.judge: Callable[[], list[tuple[Run, Callable[[], None]]]] | None = None
        self._owner = os.getpid()
        self._closed = False
        # Actions for the thread that leads.
        self._actions: deque[Callable[[], None]] = deque()
        self._drivers: list[Driver] = []
        # An asyncio loop, or one of ours.
        self._loop: Loop | None = None
        # Held by the thread that runs a loop of ours.
        self._lead = Lock()
        self._leader = 0
        # How many event loops are about to take over.
        self._claims = 0
        # The waiting callers: the condition of each (None: any event), and the function that wakes it.
        self._parked: list[tuple[Callable[[], bool] | None, Callable[[], None]]] = []

    @property
    def over(self) -> bool:
        """Whether the session's runs will not change any more."""
        return self._closed or all(run.done for run in self.runs)

    @property
    def is_led_here(self) -> bool:
        """Whether the calling thread is moving the runs on, so that the call comes from one of their callbacks."""
        return self._leader == _thread.get_ident()

    @property
    def may_wait_for_us(self) -> bool:
        """Whether another thread that closes this session may be waiting for the calling one."""
        return self.is_led_here or running_loop() is not None

    def until(self, ready: Callable[[], bool], deadline: float | None = None) -> bool:
        """Move the runs on until `ready()`; False at the deadline (monotonic time), or if all runs end before that."""
        while not ready():
            self._raise_errors()
            if self.over:
                return ready()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._advance(left)
            if left == 0.0:
                return ready()
        self._raise_interrupts()
        return True

    async def auntil(self, ready: Callable[[], bool], deadline: float | None = None) -> bool:
        """The same as `until`, in a running event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        self._attach(loop)
        looked = False
        while not ready():
            self._raise_errors()
            if self.over:
                return ready()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if left == 0.0 and not looked:
                looked = True
                for _ in range(3):  # turns of the loop: one to see that a descriptor is ready, one to read it
                    await asyncio.sleep(0)
                continue
            if left == 0.0:
                return ready()
            await self._park(loop, ready, left)
        self._raise_interrupts()
        return True

    async def _park(self, loop: asyncio.AbstractEventLoop, ready: Callable[[], bool], left: float | None) -> None:
        self._check_here()
        self._attach(loop)
        future = loop.create_future()
        entry = (ready, partial(resolve, future))
        timer = None if left is None else loop.call_later(left, resolve, future)
        self._parked.append(entry)
        self._relieve()
        try:
            await future
        finally:
            if entry in self._parked:
                self._parked.remove(entry)
            if timer is not None:
                timer.cancel()

    def join_loop(self) -> bool:
        """From now on the event loop of this thread moves the runs on; False if none is running."""
        loop = running_loop()
        if loop is not None:
            self._attach(loop)
            self._relieve()
        return loop is not None

    def do(self, action: Callable[[], None]) -> None:
        """Have `action` run where the runs are moved on: at once if no thread is doing that. Called from any thread."""
        loop = self._other_loop()
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._act, action)
                return
            except RuntimeError:
                pass  # it was closed meanwhile
        self._actions.append(action)
        if isinstance(loop, OwnLoop):
            loop.wake()
        self._perform()

    def _perform(self) -> None:
        """Run the pending actions, unless another thread leads; that thread calls this when it has stopped."""
        while self._actions and self._lead.acquire(blocking=False):
            try:
                if self._is_left_behind():
                    self._detach()
                while self._actions:
                    self._act(self._actions.popleft())
            finally:
                self._lead.release()
            self._wake_all()

    def _act(self, action: Callable[[], None]) -> None:
        """Run `action`, then let every driver set its timer to its run's next moment; nothing once the session is closed."""
        if self._closed:
            return  # the tree may be another run's by now
        action()
        for driver in self._drivers:
            driver.settle()

    def tick(self) -> None:
        """Let the runs see that time has passed, in case no driver has."""
        self.do(self._tick)

    def _tick(self) -> None:
        for run in self.runs:
            if not run.done:
                run.tick()

    def stop(self) -> None:
        """Kill every tree."""
        self.do(self._stop)

    def _stop(self) -> None:
        for run in self.runs:
            run.stop(None)

    def close(self) -> None:
        """Unregister everything and wake every waiting caller; the trees have been killed. Idempotent."""
        if os.getpid() != self._owner or (self._closed and self._loop is None and not self._drivers):
            return
        self._closed = True
        # 1. The loop is busy elsewhere, and we wait for it no longer. 2. The tree becomes another run's. 3. The loop goes on: none
        # of its callbacks may touch the tree any more.
        for driver in [*self._drivers]:
            driver.over = True
        loop = self._other_loop()
        if loop is not None:
            gone = _thread.allocate_lock()
            gone.acquire()
            try:
                loop.call_soon_threadsafe(self._detach_and, gone.release)
                gone.acquire(timeout=PATIENCE)
            except RuntimeError:
                self._detach()  # it was closed meanwhile
        else:
            if isinstance(loop, OwnLoop):
                loop.wake()
            with self._lead:
                self._detach()
        self._wake_all()

    def _check_here(self) -> None:
        if os.getpid() != self._owner:
            raise NotHere("this stream belongs to the process that this one was forked from")

    def _other_loop(self) -> AbstractEventLoop | None:
        """The asyncio loop that moves the runs on, if it runs on another thread; else None."""
        loop = self._loop
        if loop is None or isinstance(loop, OwnLoop) or loop is running_loop():
            return None
        return loop if not loop.is_closed() and loop.is_running() else None

    def _is_left_behind(self) -> bool:
        """Whether the event loop that moved the runs on has been closed."""
        loop = self._loop
        return loop is not None and not isinstance(loop, OwnLoop) and bool(loop.is_closed())

    def _advance(self, left: float | None) -> None:
        """Move the runs on by one step, or wait until another thread has."""
        self._check_here()
        gate = _thread.allocate_lock()
        gate.acquire()
        entry = (None, partial(_open, gate))
        # Before the attempt to lead: the thread that leads now wakes us when it stops.
        self._parked.append(entry)
        try:
            led = self._other_loop() is None and self._led(left)
            if not led and not gate.acquire(timeout=SLICE if left is None else min(left, SLICE)):
                for run in self.runs:
                    run.stand_in()
        finally:
            if entry in self._parked:
                self._parked.remove(entry)

    def _led(self, left: float | None) -> bool:
        """Run a loop of ours once; False if another thread does, or an event loop is about to take over."""
        if self._claims or not self._lead.acquire(blocking=False):
            return False
        try:
            if self._leader:
                raise NotHere("this is called by the very run that it would wait for")
            self._leader = _thread.get_ident()
            try:
                if not isinstance(self._loop, OwnLoop):
                    self._attach_own()
                own = self._loop
                if self._closed or not isinstance(own, OwnLoop):
                    return True
                self._relieve()
                own.run_once(left)
            finally:
                self._leader = 0
        finally:
            self._lead.release()
            self._perform()
            self._wake_all()
        return True

    def _attach_own(self) -> None:
        own = OwnLoop()
        try:
            self._attach(own)
        finally:
            if self._loop is not own:
                own.close()  # the session was closed meanwhile

    def _attach(self, loop: Loop) -> None:
        """From now on `loop` moves the runs on."""
        if self._loop is loop or self._closed:
            return
        self._check_here()
        if self._other_loop() is not None:
            raise NotHere("an event loop on another thread is waiting for the same process")
        self._claims += 1
        try:
            if isinstance(self._loop, OwnLoop):
                self._loop.wake()  # the thread that runs that loop then gives way
            led = self._lead.acquire(timeout=PATIENCE)
        finally:
            self._claims -= 1
        if not led:
            raise NotHere("another thread is waiting for the same process, and busy with what it said")
        try:
            if self._closed:
                return
            self._detach()
            self._loop = loop
            try:
                for run in self.runs:
                    if not run.done:
                        self._drivers.append(Driver(loop, run, self._tell))
            except BaseException:
                self._detach()  # else the next caller would wait in a loop that watches nothing
                raise
        finally:
            self._lead.release()
        if not self._leader:
            self._perform()  # actions that another thread has queued meanwhile

    def _detach(self) -> None:
        while self._drivers:  # an interrupted one is taken up again: a driver goes once it is closed
            driver = self._drivers[-1]
            driver.close()
            if driver in self._drivers:
                self._drivers.remove(driver)
        loop, self._loop = self._loop, None
        if isinstance(loop, OwnLoop):
            loop.close()

    def _detach_and(self, then: Callable[[], None]) -> None:
        try:
            self._detach()
        finally:
            then()

    def _relieve(self) -> None:
        for run in self.runs:
            run.relieve()

    def _raise_errors(self) -> None:
        for driver in self._drivers:
            if driver.error is not None:
                raise driver.error

    def _raise_interrupts(self) -> None:
        """Raise what a signal handler raised in a callback, although what was waited for is there."""
        for driver in self._drivers:
            if driver.error is not None and not isinstance(driver.error, Exception):
                raise driver.error

    def _tell(self) -> None:
        """A run has taken a step: execute the judge's orders and wake the callers that can go on."""
        if self.judge is not None:
            for run, order in self.judge():
                for driver in self._drivers:
                    if driver.run is run:
                        driver.step(order)
        for ready, wake in [*self._parked]:
            if (ready is not None and (ready() or self.over or any(driver.error for driver in self._drivers))) or (
                ready is None and not self._leader
            ):
                wake()

    def _wake_all(self) -> None:
        """Wake every waiting caller, so that each checks its own condition."""
        loop = self._loop
        for _, wake in [*self._parked]:
            if loop is None or isinstance(loop, OwnLoop) or loop is running_loop():
                wake()
            else:
                try:
                    loop.call_soon_threadsafe(wake)
                except RuntimeError:
                    wake()  # the loop was closed, and with it the tasks that wait


def _open(gate: LockType) -> None:
    try:
        gate.release()
    except RuntimeError:
        pass  # it is open already
