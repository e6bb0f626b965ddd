"""A child on Windows: watched by its process handle, which also keeps its pid from being given to another process."""

from __future__ import annotations

import sys

from ..._abi import windows
from ..._abi.foreign import reference
from ..._abi.signals import SIGKILL
from ..lock import Lock
from .handles import close, is_signalled, wait_for
from .job import KILLED, Job
from .stdio import Streams

if sys.platform != "win32":
    raise ImportError("this room is for Windows")


class WindowsChild:
    """One child of this process. It owns the process handle and our ends of the pipes until `reap`."""

    __slots__ = (
        "_console",
        "_kept",
        "_lock",
        "_status",
        "_streams",
        "ended",
        "events_at_end",
        "pid",
        "pipes",
        "port",
        "stays",
        "tree",
    )

    def __init__(self, process: int, pid: int, streams: Streams, tree: Job) -> None:
        #: It is a member of a group and lives on without its handle; else collecting it ends it.
        self.stays = False
        self.pid = pid
        self.ended = process
        self.tree = tree
        #: Always None: on Windows no spawn lingers.
        self.events_at_end = None
        #: The port on which the streams complete, for life: that of the child's job, or that of an event loop.
        self.port: object = None
        #: The objects that represent the streams to event loops.
        self.pipes: dict[int, object] = {}
        self._lock = Lock()
        self._status: int | None = None
        self._streams = streams.ours
        streams.ours = []
        self._console, streams.console = streams.console, None
        # Our side of a console whose streams have been closed by the caller.
        self._kept: list[int] = []

    def __del__(self) -> None:
        # 1. The child has been born. 2. A signal handler raises before its handle exists, or at the first instruction of the
        # handle's own finalizer. 3. Only this finalizer can end it.
        if not getattr(self, "stays", True):
            self.end()

    def end(self) -> None:
        """Kill its tree, wait and reap, unless it has been reaped."""
        if self.ended >= 0 and self.status() is None:
            self.tree.kill()
            self.wait_killed()
        self.reap()

    def status(self) -> int | None:
        """The status in the form of wait(2): the exit code above the lowest byte, or SIGKILL for a child that our kill ended."""
        with self._lock:
            if self._console is not None and self.ended >= 0 and is_signalled(self.ended):
                self._console.close()  # so that its output ends
            if self._status is None and self.ended >= 0 and is_signalled(self.ended):
                code = windows.DWORD()
                windows.GetExitCodeProcess(self.ended, reference(code))
                self._status = SIGKILL if self.tree.killed and code.value == KILLED else int(code.value) << 8
            return self._status

    def linger(self, seconds: float) -> None:
        """Does nothing: `is_over` is never true here."""

    def is_over(self) -> bool:
        """Always False: only a waiter sees the end."""
        return False

    def take_left(self) -> list[bytes]:
        """Never called."""
        raise NotImplementedError

    def left_at_end(self) -> list[bytes] | None:
        """Always None: on Windows no spawn lingers."""
        return None

    def wait_killed(self) -> None:
        """Wait until the process that was just killed has ended."""
        wait_for([self.ended], 10.0)

    def reap(self) -> None:
        """Close all handles that are still open. Idempotent."""
        self.status()
        with self._lock:
            handles, self._streams = [*self._streams, *self._kept, self.ended], [-1, -1, -1]
            self._kept = []
            self.ended = -1
        if self._console is not None:
            self._console.close()
        for handle in handles:
            if handle >= 0:
                close(handle)
        self.tree.release(self.pid)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of its terminal."""
        if self._console is not None:
            self._console.resize(columns, rows)

    def typed(self, data: bytes) -> bytes:
        """`data` as it is typed at a console, where a line ends with the Enter key."""
        return data if self._console is None else data.replace(b"\r\n", b"\r").replace(b"\n", b"\r")

    def end_of_input(self, line_ended: bool) -> bytes:
        """The bytes that end a console's input when typed: Ctrl+Z on a line of its own."""
        if self._console is None:
            return b""
        return b"\x1a\r" if line_ended else b"\r\x1a\r"

    def stream(self, number: int) -> int:
        """Our end of stream 0, 1 or 2; -1 where it is no pipe, or closed."""
        return self._streams[number]

    def close_stream(self, number: int) -> None:
        """Close our end; a child that reads finds end-of-file, one that writes an error. Idempotent."""
        handle, self._streams[number] = self._streams[number], -1
        if handle >= 0 and self._console is not None:
            # A console whose input breaks off ends the processes that use it, so our side stays open until the child is reaped.
            self._kept.append(handle)
        elif handle >= 0:
            close(handle)
