"""The three standard streams of a Windows child: the child's ends, and our overlapped ends of its pipes."""

from __future__ import annotations

import itertools
import os
import sys

from ..._abi import windows
from ..._abi.foreign import ALL_BITS, reference
from ..errors import StreamError
from ..terms import INHERIT, NULL, PIPE, Data, File, Handed, Plan
from .console import Console
from .handles import close

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIPE_SIZE = 65536
_SHARED = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
STANDARD = (windows.STD_INPUT_HANDLE, windows.STD_OUTPUT_HANDLE, windows.STD_ERROR_HANDLE)
_numbers = itertools.count()


class Streams:
    """The child's ends, closed as soon as the spawn has returned or raised, and ours, which the child object takes over."""

    __slots__ = ("_file", "_theirs", "child", "console", "ours")

    def __init__(self, plan: Plan) -> None:
        #: The child's handles for stdin, stdout and stderr; None: the child has none, because we have none.
        self.child: list[int | None] = [None, None, None]
        #: Our ends, -1 where the stream is no pipe.
        self.ours = [-1, -1, -1]
        self._theirs: list[int] = []
        # A temporary file, open until the child has its copy.
        self._file: Any = None
        #: The console that the child gets instead of streams.
        self.console: Console | None = None
        try:
            if plan.pty is not None:
                self._open_console(*plan.pty)
                return
            for number, kind in enumerate((plan.stdin, plan.stdout, plan.stderr)):
                self.child[number] = self._open(number, kind)
        except BaseException:
            self.close()
            raise

    def _open_console(self, columns: int, rows: int) -> None:
        for number in (0, 1):
            theirs, self.ours[number] = _pipe(number)
            self._theirs.append(theirs)
        self.console = Console(columns, rows, *self._theirs)

    def _open(self, number: int, kind: str | File | Data | Handed) -> int | None:
        if isinstance(kind, Handed):
            return kind.handle
        if kind == INHERIT:
            ours = windows.GetStdHandle(STANDARD[number])
            return None if ours in (None, ALL_BITS) else int(ours)
        if isinstance(kind, Data):
            return self._file_with(kind.content)
        if kind == PIPE:
            theirs, self.ours[number] = _pipe(number)
        elif kind == NULL:
            theirs = _opened("NUL", windows.GENERIC_READ | windows.GENERIC_WRITE, windows.OPEN_EXISTING)
        else:
            assert isinstance(kind, File)
            theirs = _redirect(kind, number)
        self._theirs.append(theirs)
        return theirs

    def _file_with(self, content: bytes) -> int:
        """The handle of a temporary file that holds `content`, at its beginning; it is deleted with its last handle."""
        import msvcrt
        import tempfile

        self._file = tempfile.TemporaryFile(buffering=0)
        self._file.write(content)
        self._file.seek(0)
        return msvcrt.get_osfhandle(self._file.fileno())

    def close_theirs(self) -> None:
        """Close the child's ends after the spawn, also a failed one: the child has its copies. Idempotent."""
        while self._theirs:
            close(self._theirs.pop())
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Close both sides, ours unless the child object owns them now. Idempotent."""
        self.close_theirs()
        console, self.console = self.console, None
        if console is not None:
            console.close()
        ours, self.ours = self.ours, []
        for handle in ours:
            if handle >= 0:
                close(handle)


def _pipe(number: int) -> tuple[int, int]:
    """(the child's end, ours): ours is an overlapped server and the child's a plain client, as asyncio makes its pipes too."""
    # No process can have created it (FIRST_PIPE_INSTANCE) or connect remotely; a stranger that connects before us is an error.
    name = rf"\\.\pipe\processkit-{os.getpid()}-{next(_numbers)}-{os.urandom(8).hex()}"
    direction = windows.PIPE_ACCESS_INBOUND if number else windows.PIPE_ACCESS_OUTBOUND
    mode = direction | windows.FILE_FLAG_OVERLAPPED | windows.FILE_FLAG_FIRST_PIPE_INSTANCE
    kind = windows.PIPE_TYPE_BYTE | windows.PIPE_WAIT | windows.PIPE_REJECT_REMOTE_CLIENTS
    ours = windows.CreateNamedPipeW(name, mode, kind, 1, PIPE_SIZE, PIPE_SIZE, 0, None)
    try:
        access = windows.GENERIC_WRITE if number else windows.GENERIC_READ
        return windows.CreateFileW(name, access, 0, None, windows.OPEN_EXISTING, 0, None), ours
    except BaseException:
        close(ours)
        raise


def pipe_between() -> tuple[int, int]:
    """(read end, write end) of a pipe between two children, without overlapped transfers: they do not expect those. CreatePipe"""
    read, write = windows.HANDLE(), windows.HANDLE()
    windows.CreatePipe(reference(read), reference(write), None, 0)
    return int(read.value or 0), int(write.value or 0)


def close_end(handle: int) -> None:
    """Close our copy of one end of a pipe."""
    close(handle)


def _opened(path: str, access: int, how: int) -> int:
    return int(windows.CreateFileW(path, access, _SHARED, None, how, 0, None))


def _redirect(file: File, number: int) -> int:
    try:
        if number == 0:
            return _opened(file.path, windows.GENERIC_READ, windows.OPEN_EXISTING)
        if file.append:
            # With only FILE_APPEND_DATA, not FILE_WRITE_DATA, every write goes to the end. CreateFileW
            return _opened(file.path, windows.FILE_APPEND_DATA | windows.SYNCHRONIZE, windows.OPEN_ALWAYS)
        return _opened(file.path, windows.GENERIC_WRITE, windows.CREATE_ALWAYS)
    except OSError as error:
        opened = StreamError(error.errno, f"{error.strerror}")
        opened.path = file.path
        raise opened from error
