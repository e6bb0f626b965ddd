"""One wait for all events of a run on Windows: of its pipes, its child's end and its tree, on one completion port.

`Waiter` blocks on the port of the child's job; `LoopWaiter` lets the Proactor of a running event loop do the same or, where the
loop has none, a thread that blocks. All report the same events to the same callback: (what, bytes).
"""

from __future__ import annotations

import sys
import time

from ..._abi import windows
from ..._abi.foreign import address, bytes_at, last_error, memory, reference, windows_error
from ..errors import NotHere
from ..feed import Feed
from ..terms import ENDED, STDERR, STDIN, STDOUT, TREE
from .handles import SLICE, wait_for
from .job import JOB, Job
from .stdio import PIPE_SIZE

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..port import Child

    Report = Callable[[int, bytes], None]

#: A job's message may get lost ("not guaranteed": JOBOBJECT_ASSOCIATE_COMPLETION_PORT), so a waiter also looks this often.
LOOK = 1.0
MOMENT = 0.001
#: A job reports an exit a moment before the process handle is signalled.
EXIT_PATIENCE = 5.0
GONE = (windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA, windows.ERROR_HANDLE_EOF, windows.ERROR_INVALID_HANDLE)


def write_ready(child: Child, feed: Feed) -> None:
    """Write all bytes; only for as many as a pipe takes without a reader."""
    while feed.pending:
        transfer = Transfer(child.stream(STDIN), STDIN)
        ok, count = transfer.finish() if transfer.write(feed.next(PIPE_SIZE)) else (False, 0)
        if not ok:
            feed.end()
            return
        feed.gone(count)


class Transfer:
    """One overlapped read or write, and the memory that the system uses until the transfer is over."""

    __slots__ = ("_overlapped", "_room", "handle", "pending", "what", "where")

    def __init__(self, handle: int, what: int) -> None:
        self.handle = handle
        self.what = what
        self.pending = False
        self._overlapped = windows.OVERLAPPED()
        self._room = memory(PIPE_SIZE)
        #: The address that identifies its completion.
        self.where = address(self._overlapped)

    def read(self) -> bool:
        """Begin to read; False at the end of the stream."""
        return self._begun(windows.ReadFile(self.handle, reference(self._room), PIPE_SIZE, None, reference(self._overlapped)))

    def write(self, data: memoryview) -> bool:
        """Begin to write; False when the stream has no reader any more."""
        self._room[: len(data)] = data.tobytes()
        return self._begun(windows.WriteFile(self.handle, reference(self._room), len(data), None, reference(self._overlapped)))

    def _begun(self, done: int) -> bool:
        code = 0 if done else last_error()
        if code in GONE:
            return False
        if code not in (0, windows.ERROR_IO_PENDING):
            raise windows_error("WriteFile" if self.what == STDIN else "ReadFile", code)
        self.pending = True
        return True

    def data(self, count: int) -> bytes:
        """The `count` bytes that were read."""
        return bytes_at(address(self._room), count)

    def finish(self) -> tuple[bool, int]:
        """Wait for the transfer's end; returns (success, number of bytes)."""
        count = windows.DWORD()
        done = windows.GetOverlappedResult(self.handle, reference(self._overlapped), reference(count), True)
        while self._overlapped.Internal == windows.STATUS_PENDING:
            # The call waited for the file, which other transfers signal too. Until Internal changes the system uses the memory.
            time.sleep(MOMENT)
            done = windows.GetOverlappedResult(self.handle, reference(self._overlapped), reference(count), True)
        self.pending = False
        return bool(done), int(count.value)

    def stop(self) -> bytes:
        """Cancel the transfer and wait until the system has released its memory; returns the bytes read by then."""
        if not self.pending:
            return b""
        windows.CancelIoEx(self.handle, reference(self._overlapped))
        done, count = self.finish()
        return self.data(count) if done and self.what != STDIN else b""


def available(handle: int) -> int:
    """How many bytes a pipe holds."""
    count = windows.DWORD()
    return int(count.value) if windows.PeekNamedPipe(handle, None, 0, None, reference(count), None) else 0


class Waiter:
    """Blocks until something happens to one child."""

    __slots__ = ("_child", "_closed", "_ended", "_feed", "_looked", "_paused", "_transfers", "_tree")

    def __init__(self, child: Child, feed: Feed | None) -> None:
        self._child = child
        self._feed = feed
        assert isinstance(child.tree, Job)
        self._tree = child.tree
        self._ended = False
        self._closed = False
        # Never looked: events are reported before the clock is read, so the first wait begins with a look.
        self._looked = -LOOK
        # Streams on which no read is begun for now.
        self._paused: set[int] = set()
        self._transfers: dict[int, Transfer] = {}
        known = claim(child, self._tree.port)
        for what in (STDIN, STDOUT, STDERR):
            handle = child.stream(what)
            if handle >= 0:
                if not known:
                    self._tree.port.watch(handle, what)
                self._transfers[what] = Transfer(handle, what)

    def watch_tree(self) -> bool:
        """False: the job's message is reported as TREE, but it may get lost and comes early, so the tree is polled too."""
        return False

    def feed(self, feed: Feed) -> None:
        """The feed has bytes to write."""
        self._feed = feed
        self._tree.port.wake()

    def pour_into(self, direct: Callable[[int], object]) -> None:
        """Nothing to do: the system reads into buffers that are given to it beforehand."""

    def pause(self, what: int) -> None:
        """Begin no more reads of a stream; the bytes of a read that is under way are still reported."""
        self._paused.add(what)

    def resume(self, what: int) -> None:
        """Begin reads of a stream again."""
        self._paused.discard(what)
        self._tree.port.wake()

    def unwatch(self, handle: int) -> None:
        """Stop the transfer of a stream; called before the stream is closed."""
        for what, transfer in list(self._transfers.items()):
            if transfer.handle == handle:
                self._stopped(transfer)
                del self._transfers[what]

    def _stopped(self, transfer: Transfer) -> bytes:
        """Stop a transfer; returns the bytes that it had read by then."""
        if not transfer.pending:
            return b""
        data = transfer.stop()
        self._tree.port.was_waited_out(transfer.where, transfer)
        return data

    def read_now(self, handle: int) -> bytes | None:
        """The bytes in the pipe; None when it is empty at this moment."""
        for transfer in self._transfers.values():
            if transfer.handle == handle and transfer.pending:
                return self._stopped(transfer) or None
        if not available(handle):
            return None
        transfer = Transfer(handle, STDOUT)
        if not transfer.read():
            return None
        done, count = transfer.finish()
        self._tree.port.was_waited_out(transfer.where, transfer)
        return transfer.data(count) if done else None

    def waker(self) -> Callable[[], None]:
        """A function that has `wait` return soon, from any thread, also after `close`."""
        return self._tree.port.wake

    def wait(self, seconds: float | None, report: Report, slice_: float = SLICE) -> None:
        """Block for at most `seconds`, and never so long that Ctrl+C goes unhandled; report the events."""
        now = time.monotonic()
        if not self._ended and now - self._looked > LOOK:
            self._looked = now
            self._look(report)
        if self._begin(report):
            return
        left = slice_ if seconds is None else min(seconds, slice_)
        found = self._tree.port.take(left)
        while found is not None and not self._closed:
            self._told(report, *found)
            found = self._tree.port.take(0.0)

    def _begin(self, report: Report) -> bool:
        """Begin every transfer that is not under way; returns whether a stream was at its end, which is reported."""
        ended = False
        for what, transfer in list(self._transfers.items()):
            if transfer.pending or what in self._paused:
                continue
            if what == STDIN:
                self._begin_to_write(transfer, report)
            elif not transfer.read():
                ended = True
                self._over(what, report)
        return ended

    def _begin_to_write(self, transfer: Transfer, report: Report) -> None:
        if self._child.stream(STDIN) < 0:
            del self._transfers[STDIN]
        elif self._feed is not None and self._feed.pending and not transfer.write(self._feed.next(PIPE_SIZE)):
            self._over(STDIN, report)

    def _over(self, what: int, report: Report) -> None:
        self._transfers.pop(what, None)
        if what == STDIN and self._feed is not None:
            self._feed.end()
        report(what, b"")

    def _told(self, report: Report, key: int, count: int, where: int, code: int) -> None:
        if key == JOB:
            self._message(count, where, report)
            return
        transfer = self._transfers.get(key)
        if transfer is None or transfer.where != where or not transfer.pending:
            return  # the completion is of a stream that is not watched any more
        transfer.pending = False
        if code == windows.ERROR_OPERATION_ABORTED:
            return  # the thread that began the transfer has ended, so the system cancelled it: it is begun again
        if code:
            self._over(key, report)
        elif key == STDIN:
            assert self._feed is not None
            self._feed.gone(count)
            report(STDIN, b"")
        elif count:
            report(key, transfer.data(count))

    def _message(self, message: int, pid: int, report: Report) -> None:
        exits = (windows.JOB_OBJECT_MSG_EXIT_PROCESS, windows.JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS)
        if message in exits and pid == self._child.pid and not self._ended:
            wait_for([self._child.ended], EXIT_PATIENCE)
            self._look(report)
        elif message == windows.JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO:
            self._look(report)
            report(TREE, b"")

    def _look(self, report: Report) -> None:
        if not self._ended and self._child.status() is not None:
            self._ended = True
            report(ENDED, b"")

    def close(self, report: Report | None = None) -> None:
        """Stop all transfers before the handles are closed; bytes that have been read by then are reported. Idempotent."""
        self._closed = True
        transfers, self._transfers = self._transfers, {}
        for what, transfer in transfers.items():
            data = self._stopped(transfer)
            if data and report is not None:
                report(what, data)


def claim(child: Any, port: object) -> bool:
    """Whether a child's streams already complete on `port`; NotHere if they do on another: a file has one port for its life."""
    known, child.port = child.port, port
    if known is not None and known is not port:
        child.port = known
        raise NotHere("on Windows only the event loop that began to read a process can go on with it")
    return known is not None
