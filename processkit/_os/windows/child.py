"""A child on Windows: noticed by its process handle, which also keeps its pid from being given to another."""

from __future__ import annotations

import _thread
import sys

from ..._abi import windows
from ..._abi.foreign import reference
from ..._abi.signals import SIGKILL
from .handles import close, is_signalled, wait_for
from .job import KILLED, Job
from .stdio import Streams

if sys.platform != "win32":
    raise ImportError("this room is for Windows")


class WindowsChild:
    """One process of ours. It owns the process handle and our ends of the pipes until `reap`."""

    __slots__ = (
        "_console",
        "_kept",
        "_lock",
        "_status",
        "_streams",
        "claimed",
        "ended",
        "events_at_end",
        "pid",
        "pipes",
        "port",
        "tree",
    )

    def __init__(self, process: int, pid: int, streams: Streams, tree: Job) -> None:
        #: Somebody has it who will reap it.
        self.claimed = False
        self.pid = pid
        self.ended = process
        self.tree = tree
        #: No spawn lingers here.
        self.events_at_end = None
        #: What the streams complete on, for life: the port of its job, or the one of an event loop.
        self.port: object = None
        #: What event loops take for the streams.
        self.pipes: dict[int, object] = {}
        self._lock = _thread.RLock()
        self._status: int | None = None
        self._streams = streams.ours
        streams.ours = []
        self._console, streams.console = streams.console, None
        # Our side of a console of which nobody wants to hear any more.
        self._kept: list[int] = []

    def __del__(self) -> None:
        # 1. It has been born. 2. A signal handler raises before its handle is there. 3. Nobody else can end it.
        if not getattr(self, "claimed", True):
            self.end()

    def end(self) -> None:
        """Kill its tree, wait and reap, unless it has been reaped."""
        if self.ended >= 0 and self.status() is None:
            self.tree.kill()
            self.wait_killed()
        self.reap()

    def status(self) -> int | None:
        """As wait(2) would have it: the exit code above the lowest byte, or SIGKILL for who ended because we killed."""
        with self._lock:
            if self._console is not None and self.ended >= 0 and is_signalled(self.ended):
                self._console.close()  # its output ends
            if self._status is None and self.ended >= 0 and is_signalled(self.ended):
                code = windows.DWORD()
                windows.GetExitCodeProcess(self.ended, reference(code))
                self._status = SIGKILL if self.tree.killed and code.value == KILLED else int(code.value) << 8
            return self._status

    def linger(self, seconds: float) -> None:
        """Nothing to wait for: it is never over before somebody waits for it."""

    def is_over(self) -> bool:
        """False: that is seen by who waits."""
        return False

    def take_left(self) -> list[bytes]:
        """Never called."""
        raise NotImplementedError

    def left_at_end(self) -> list[bytes] | None:
        """None: no spawn lingers here."""
        return None

    def wait_killed(self, patience: float = 10.0) -> None:
        """Wait until the process that was just killed has ended."""
        wait_for([self.ended], patience)

    def reap(self) -> None:
        """Close what is still open. Idempotent."""
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
        """`data` as it is typed: a line of a console ends with the Enter key."""
        return data if self._console is None else data.replace(b"\r\n", b"\r").replace(b"\n", b"\r")

    def end_of_input(self, line_ended: bool) -> bytes:
        """What is typed to end the input of a console: Ctrl+Z in a line of its own."""
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
            # A console whose input breaks off ends who uses it, so our side stays open until the child is reaped.
            self._kept.append(handle)
        elif handle >= 0:
            close(handle)
