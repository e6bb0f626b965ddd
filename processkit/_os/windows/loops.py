"""Event loops that wait for children on Windows: the Proactor of asyncio, or a thread beside a loop that knows only sockets."""

from __future__ import annotations

import _thread
import sys
import time
from collections import deque

from ..feed import Feed
from ..terms import ENDED, STDERR, STDIN, STDOUT
from .handles import MOST_WAITED, SLICE, is_signalled, wait_for
from .job import Job
from .stdio import PIPE_SIZE
from .waiting import LOOK, Waiter, claim

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..port import Child, EventLoop
    from .waiting import Report


class LoopWaiter:
    """Makes a running event loop report the events of one child."""

    __slots__ = ("_how",)

    def __init__(
        self,
        loop: EventLoop,
        child: Child,
        feed: Feed | None,
        report: Report,
        lasting: bool = False,
        fail: Callable[[BaseException], None] | None = None,  # noqa: ARG002
    ) -> None:
        # A file has one port for its life. So a run that another loop, or none, may continue is waited for on its job's own port.
        ours: Any = child
        on_proactor = getattr(loop, "_proactor", None) is not None and not lasting and ours.port is not ours.tree.port
        self._how: _OnProactor | _OnThread = (_OnProactor if on_proactor else _OnThread)(loop, child, feed, report)

    def watch_tree(self) -> bool:
        """False: no event tells a loop of the tree."""
        return False

    def feed(self, feed: Feed) -> None:
        """The feed has bytes to write."""
        self._how.feed(feed)

    def pour_into(self, direct: Callable[[int], object]) -> None:
        """Nothing to do: the system reads into buffers that are given to it beforehand."""

    def pause(self, what: int) -> None:
        """Begin no more reads of a stream; the bytes of a read that is under way are still reported."""
        self._how.pause(what)

    def resume(self, what: int) -> None:
        """Begin reads of a stream again."""
        self._how.resume(what)

    def unwatch(self, handle: int) -> None:
        """Stop watching a stream; called before it is closed."""
        self._how.unwatch(handle)

    def read_now(self, handle: int) -> bytes | None:
        """The bytes in the pipe; None when it is empty at this moment."""
        return self._how.read_now(handle)

    def close(self) -> None:
        """Stop all transfers; called before the handles are closed. Idempotent."""
        self._how.close()


class _Pipe:
    """A pipe as the Proactor takes it. The Proactor registers this object, so there is one for each stream of a child."""

    __slots__ = ("__weakref__", "_handle")

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def fileno(self) -> int:
        """The handle."""
        return self._handle


def _pipes(child: Any) -> dict[int, _Pipe]:
    found: dict[int, _Pipe] = child.pipes
    return found


class _OnProactor:
    """Waits through the Proactor: its completion port serves the pipes, its registered wait the process."""

    __slots__ = ("_child", "_feed", "_paused", "_proactor", "_report", "_under_way")

    def __init__(self, loop: Any, child: Child, feed: Feed | None, report: Report) -> None:
        proactor = loop._proactor
        claim(child, proactor)
        self._proactor = proactor
        self._child = child
        self._feed = feed
        self._report = report
        # what → (the pipe, the loop's future)
        self._under_way: dict[int, tuple[_Pipe | None, Any]] = {}
        # Streams on which no read is begun for now, and whether one would be due.
        self._paused: dict[int, bool] = {}
        if child.status() is None:
            self._start(ENDED, None, proactor.wait_for_handle(child.ended))
        else:
            loop.call_soon(report, ENDED, b"")  # before any timer: a child that ended in time did not time out
        for what in (STDOUT, STDERR):
            if child.stream(what) >= 0:
                self._read(what)
        if feed is not None:
            self.feed(feed)

    def _start(self, what: int, pipe: _Pipe | None, future: Any) -> None:
        self._under_way[what] = pipe, future
        future.add_done_callback(lambda done: self._done(what, pipe, done))

    def _pipe(self, what: int) -> _Pipe:
        pipes = _pipes(self._child)
        if what not in pipes:
            pipes[what] = _Pipe(self._child.stream(what))
        return pipes[what]

    def _read(self, what: int) -> None:
        pipe = self._pipe(what)
        self._start(what, pipe, self._proactor.recv(pipe, PIPE_SIZE))

    def feed(self, feed: Feed) -> None:
        """Begin to write the feed's bytes, unless a write is under way."""
        self._feed = feed
        if STDIN in self._under_way or not feed.pending or self._child.stream(STDIN) < 0:
            return
        pipe = self._pipe(STDIN)
        try:
            self._start(STDIN, pipe, self._proactor.send(pipe, feed.next(PIPE_SIZE).tobytes()))
        except OSError:
            feed.end()

    def _done(self, what: int, pipe: _Pipe | None, future: Any) -> None:
        if self._under_way.get(what, (None, None))[1] is not future:
            if not future.cancelled():
                future.exception()  # retrieved, so that the loop does not log it: the stream is not watched any more
            return
        del self._under_way[what]
        if future.cancelled():
            return
        error = future.exception()
        if what == ENDED:
            self._report(ENDED, b"")
        elif pipe is not None and what == STDIN:
            self._wrote(error, future)
        elif pipe is not None:
            data = b"" if error is not None else future.result()
            if data and what in self._paused:
                self._paused[what] = True
            elif data:
                self._read(what)
            self._report(what, data)

    def _wrote(self, error: BaseException | None, future: Any) -> None:
        assert self._feed is not None
        if error is not None:
            self._feed.end()
        else:
            self._feed.gone(future.result())
            self.feed(self._feed)
        self._report(STDIN, b"")

    def pause(self, what: int) -> None:
        """Begin no more reads of a stream; the bytes of a read that is under way are still reported."""
        self._paused.setdefault(what, what not in self._under_way)

    def resume(self, what: int) -> None:
        """Begin reads of a stream again, at once if one is due."""
        if self._paused.pop(what, False):
            self._read(what)

    def unwatch(self, handle: int) -> None:
        """Cancel the transfer of a stream; called before the stream is closed."""
        for what, (pipe, future) in list(self._under_way.items()):
            if pipe is not None and pipe.fileno() == handle:
                del self._under_way[what]
                future.cancel()

    def read_now(self, handle: int) -> bytes | None:
        """The bytes of the read that is under way, if it is complete; else None, and the read is cancelled."""
        for what, (pipe, future) in list(self._under_way.items()):
            if pipe is not None and pipe.fileno() == handle:
                del self._under_way[what]
                return self._completed(future)
        return None

    @staticmethod
    def _completed(future: Any) -> bytes | None:
        """The data of a read that is complete, even if the loop does not know that yet; else None, and the read is cancelled."""
        try:
            if future.cancelled():
                return None
            if future.done():
                return future.result() or None
            operation = future._ov
            data = None if operation.pending else operation.getresult()
        except OSError:
            return None
        future.cancel()
        return data or None

    def close(self) -> None:
        """Cancel all transfers; bytes that have been read by then are reported. Idempotent."""
        under_way, self._under_way = self._under_way, {}
        for what, (pipe, future) in under_way.items():
            data = self._completed(future) if pipe is not None and what != STDIN else None
            future.cancel()
            if data:
                self._report(what, data)


class _OnThread:
    """Waits for a loop that supports only sockets: a thread blocks in its place and lives as long as the run."""

    __slots__ = ("_child", "_closed", "_ended", "_inbox", "_loop", "_report", "_tree", "_waiter")

    def __init__(self, loop: EventLoop, child: Child, feed: Feed | None, report: Report) -> None:
        self._loop = loop
        self._child = child
        self._report = report
        self._closed = False
        # The thread's reports that the loop has not taken yet.
        self._inbox: deque[tuple[int, bytes]] = deque()
        assert isinstance(child.tree, Job)
        self._tree = child.tree
        self._waiter = Waiter(child, feed)
        self._ended = _thread.allocate_lock()
        self._ended.acquire()
        _thread.start_new_thread(self._live, ())

    def _live(self) -> None:
        try:
            while not self._closed:
                self._waiter.wait(None, self._post, LOOK)
        finally:
            try:
                # On this thread, because the system cancels a thread's transfers when the thread ends.
                self._waiter.close(self._keep)
            finally:
                self._ended.release()

    def _keep(self, what: int, data: bytes) -> None:
        self._inbox.append((what, data))

    def _post(self, what: int, data: bytes) -> None:
        self._keep(what, data)
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            self._closed = True  # the loop was closed: no run takes reports any more

    def _deliver(self) -> None:
        while self._inbox:
            self._report(*self._inbox.popleft())

    def feed(self, feed: Feed) -> None:
        """The feed has bytes to write."""
        self._waiter.feed(feed)

    def pause(self, what: int) -> None:
        """Begin no more reads of a stream; the bytes of a read that is under way are still reported."""
        self._waiter.pause(what)

    def resume(self, what: int) -> None:
        """Begin reads of a stream again."""
        self._waiter.resume(what)

    def _stop(self) -> None:
        if not self._closed:
            self._closed = True
            self._tree.port.wake()
        with self._ended:
            pass  # the thread has ended

    def unwatch(self, handle: int) -> None:
        """Does nothing: the run is about to close a stream that has ended, and the thread does not touch it any more."""

    def read_now(self, handle: int) -> bytes | None:
        """First the bytes that the thread has read, then those in the pipe; the thread is ended before another one reads."""
        self._stop()
        what = next(what for what in (STDOUT, STDERR) if self._child.stream(what) == handle)
        data = b"".join(data for whose, data in self._inbox if whose == what)
        if data:
            self._inbox = deque((whose, data) for whose, data in self._inbox if whose != what)
            return data
        return self._waiter.read_now(handle)

    def close(self) -> None:
        """End the thread and its transfers; bytes that it has read by then are reported. Idempotent."""
        self._stop()
        self._deliver()


class Sleeper:
    """The sleep of an event loop of ours, until a thread wakes it: the waiting for children is done by threads."""

    __slots__ = ("_woken",)

    def __init__(self) -> None:
        self._woken = _thread.allocate_lock()
        self._woken.acquire()

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """NotImplementedError: on Windows there are no descriptors to wait for."""
        raise NotImplementedError("Windows has no readable descriptors")

    def remove(self, descriptor: int) -> None:
        """Does nothing: no descriptor can have been added."""

    def wake(self) -> None:
        """Make `sleep` return soon. Called from any thread."""
        try:
            self._woken.release()
        except RuntimeError:
            pass  # the sleeper has been woken already

    def sleep(self, seconds: float | None) -> None:
        """Sleep at most `seconds`, and never so long that Ctrl+C goes unhandled."""
        self._woken.acquire(timeout=SLICE if seconds is None else min(seconds, SLICE))

    def close(self) -> None:
        """Does nothing: the sleeper owns nothing."""


class LoopEnds:
    """Makes a running event loop call `tell` when one of the processes has ended, each given by its `ended` handle."""

    __slots__ = ("_futures", "_loop", "_over")

    def __init__(self, loop: EventLoop, ended: list[int], tell: Callable[[], None]) -> None:
        self._loop = loop
        self._over = False
        self._futures: list[Any] = []
        proactor = getattr(loop, "_proactor", None)
        if proactor is None:
            _thread.start_new_thread(self._wait, (list(ended), tell))
            return
        for handle in ended:
            future = proactor.wait_for_handle(handle)
            future.add_done_callback(lambda done: None if done.cancelled() else tell())
            self._futures.append(future)

    def _wait(self, ended: list[int], tell: Callable[[], None]) -> None:
        while not self._over:
            if any_of(ended, SLICE):
                try:
                    self._loop.call_soon_threadsafe(tell)
                except RuntimeError:
                    pass  # the loop was closed
                return

    def close(self) -> None:
        """Stop waiting. Idempotent."""
        self._over = True
        while self._futures:
            self._futures.pop().cancel()


def any_of(ended: list[int], seconds: float) -> bool:
    """Whether one of the processes ends within `seconds`; handles beyond the limit of one wait are only checked once."""
    return wait_for(ended[:MOST_WAITED], seconds) or any(map(is_signalled, ended[MOST_WAITED:]))


def any_ended(ended: list[int], seconds: float | None) -> None:
    """Block until one of the children has ended, each given by its `ended` handle, for at most `seconds`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = SLICE if deadline is None else min(SLICE, max(0.0, deadline - time.monotonic()))
        if any_of(ended, left) or (deadline is not None and time.monotonic() >= deadline):
            return
