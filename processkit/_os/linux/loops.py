"""The same wait as in waiting.py, on a running event loop, ours or asyncio's."""

from __future__ import annotations

import os
import select
import sys
from weakref import WeakValueDictionary

from ..forking import after_fork_in_child
from ..posix.descriptors import Epoll, Held, never_waits, pipe_above
from ..posix.guardian import mend, sight, which
from ..posix.reaping import SLICE
from ..posix.waiting import Bell, Watch
from ..terms import STDIN

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..feed import Feed
    from ..port import Child, EventLoop


class Hub:
    """The one descriptor that an event loop watches for all its children: an epoll(7) of theirs. It exists while a child does.

    To watch a descriptor by the loop itself costs several times as much as to add it to the epoll.
    """

    __slots__ = ("__weakref__", "_epoll", "_guard", "_guardian", "_loop", "_users", "_watched")

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._users = 0
        self._watched: dict[int, LoopWaiter] = {}
        self._epoll = Epoll()
        # A descriptor of the guardian, and which one that is.
        self._guard: Held | None = None
        self._guardian: object = None
        try:
            self._watch_guardian()
            loop.add_reader(self._epoll.fileno(), self._ready)
        except BaseException:
            self.forget()
            raise

    @classmethod
    def of(cls, loop: EventLoop) -> Hub:
        """The hub of `loop`, whose number of users is now one higher."""
        hub = _hubs.get(id(loop))
        if hub is None or hub._loop is not loop:
            after_fork_in_child(_forget)
            _hubs[id(loop)] = hub = cls(loop)
        elif hub._guardian is not which():
            hub._forget_guardian()
            hub._watch_guardian()
        hub._users += 1
        return hub

    def watch(self, descriptor: int, mask: int, waiter: LoopWaiter) -> None:
        """From now on `waiter` is told of the events of `descriptor`."""
        self._epoll.it.register(descriptor, mask)
        self._watched[descriptor] = waiter

    def unwatch(self, descriptor: int, waiter: LoopWaiter) -> None:
        """Stop watching a descriptor of `waiter`; called before it is closed."""
        if self._watched.get(descriptor) is waiter:
            del self._watched[descriptor]
            try:
                self._epoll.it.unregister(descriptor)
            except OSError:
                pass  # the program has closed it, and may have a file of its own there

    def _watch_guardian(self) -> None:
        guard, self._guardian = sight()
        if guard >= 0:
            self._guard = Held(guard)
            self._epoll.it.register(guard, select.EPOLLIN)

    def _forget_guardian(self) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if guard.is_ours():
            try:
                self._epoll.it.unregister(guard.number)  # its close would not: the guardian's owner has a copy
            except (OSError, ValueError):
                pass  # the epoll is closed
        guard.close()

    def _guardian_ended(self) -> None:
        self._forget_guardian()
        mend(self._guardian)
        self._watch_guardian()

    def _ready(self) -> None:
        for descriptor, happened in self._epoll.it.poll(0, MOST_EVENTS):
            if self._guard is not None and descriptor == self._guard.number:
                self._guardian_ended()
                continue
            waiter = self._watched.get(descriptor)
            if waiter is not None:
                waiter.happened(descriptor, happened)

    def leave(self) -> None:
        """Remove one user; the hub is closed with the last one."""
        self._users -= 1
        if not self._users:
            _hubs.pop(id(self._loop), None)
            try:
                self._loop.remove_reader(self._epoll.fileno())
            except RuntimeError:
                pass  # the loop was closed, and has forgotten it
            self.forget()

    def forget(self) -> None:
        """Close our descriptors. In a forked child: the hub and the loop are the parent's."""
        self._epoll.close()
        self._forget_guardian()


MOST_EVENTS = 64
# A hub lives as long as its loop, which calls it. (A handle that is dropped in the midst of its finalizer is found by a collection
# then: nothing global leads to it.)
_hubs: WeakValueDictionary[int, Hub] = WeakValueDictionary()


def _forget() -> None:
    while _hubs:
        _hubs.popitem()[1].forget()


class LoopWaiter(Watch):
    """Makes a running event loop report the events of one child."""

    __slots__ = ("_fail", "_hub", "_report")

    def __init__(
        self,
        loop: EventLoop,
        child: Child,
        feed: Feed | None,
        report: Callable[[int, bytes], None],
        lasting: bool = False,  # noqa: ARG002
        fail: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__(child, feed)
        self._report = report
        self._fail = fail
        self._hub: Hub | None = Hub.of(loop)
        try:
            self._watch_all()
        except BaseException:
            self.close()
            raise

    def _watch(self, descriptor: int, what: int, mask: int = select.EPOLLIN) -> None:
        if self._hub is not None:
            super()._watch(descriptor, what, mask)

    def _register(self, descriptor: int, mask: int) -> None:
        if self._hub is not None:
            self._hub.watch(descriptor, mask, self)

    def _unregister(self, descriptor: int) -> None:
        if self._hub is not None:
            self._hub.unwatch(descriptor, self)

    def happened(self, descriptor: int, events: int) -> None:
        """Handle the events of a descriptor. Called by the hub. An error ends this run, and holds up no other one."""
        what = self._what[descriptor]
        try:
            self._act(descriptor, what, events, self._report)
            if what == STDIN:
                self._report(STDIN, b"")
        except BaseException as error:
            if self._fail is None:
                raise
            self._fail(error)

    def close(self) -> None:
        """Stop watching all descriptors; called before they are closed. Idempotent."""
        for descriptor in list(self._what):
            self.unwatch(descriptor)
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.leave()


class Sleeper:
    """The sleep of an event loop of ours: until a descriptor is readable, or a thread wakes it. Owns its bell until `close`."""

    __slots__ = ("_bell", "_callbacks", "_poller")

    def __init__(self) -> None:
        read, write = pipe_above()
        never_waits(write)
        self._bell = Bell(read, write)
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._poller = select.poll()
        self.add(read, self._bell.silence)

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the descriptor is readable."""
        self._callbacks[descriptor] = callback
        self._poller.register(descriptor, select.POLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop watching the descriptor. Idempotent."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def wake(self) -> None:
        """Make `sleep` return soon. Called from any thread, also after `close`."""
        self._bell.ring()

    def sleep(self, seconds: float | None) -> None:
        """Sleep at most `seconds`, and never so long that signals go unhandled; then call back for readable descriptors."""
        left = SLICE if seconds is None else min(seconds, SLICE)
        for descriptor, _ in self._poller.poll(max(0, -int(-left * 1000 // 1))):
            callback = self._callbacks.get(descriptor)
            if callback is not None:
                callback()

    def close(self) -> None:
        """Close the bell. Idempotent."""
        self._bell.close()


class LoopEnds:
    """Makes a running event loop call `tell` whenever one of the processes has ended, each given by its `ended` descriptor."""

    __slots__ = ("_copies", "_loop")

    def __init__(self, loop: EventLoop, ended: list[int], tell: Callable[[], None]) -> None:
        self._loop = loop
        # A copy of each descriptor: the loop may have the original registered already, and one descriptor has only one reader.
        self._copies: list[int] = []
        try:
            for descriptor in ended:
                self._copies.append(os.dup(descriptor))
                loop.add_reader(self._copies[-1], tell)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unregister and close all copies. Idempotent."""
        while self._copies:
            copy = self._copies.pop()
            self._loop.remove_reader(copy)
            os.close(copy)
