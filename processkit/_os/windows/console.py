"""A console for a child, and our side of it. CreatePseudoConsole"""

from __future__ import annotations

import _thread
import sys

from ..._abi import winconsole
from ..._abi.foreign import reference

if sys.platform != "win32":
    raise ImportError("this room is for Windows")


def has_consoles() -> bool:
    """Whether this Windows can make pseudo consoles (10, version 1809, or newer)."""
    try:
        return bool(winconsole.kernel32.open().CreatePseudoConsole)
    except AttributeError:
        return False


def is_console(handle: int | None) -> bool:
    """Whether a handle is that of a console. GetConsoleMode"""
    return bool(winconsole.GetConsoleMode(handle, reference(winconsole.DWORD())))


class Console:
    """One pseudo console, owned until `close`; its pipes belong to the caller."""

    __slots__ = ("handle",)

    def __init__(self, columns: int, rows: int, read: int, write: int) -> None:
        made = winconsole.HPCON()
        winconsole.CreatePseudoConsole(_size(columns, rows), read, write, 0, reference(made))
        self.handle: int = made.value or 0

    def resize(self, columns: int, rows: int) -> None:
        """Change the console's size."""
        winconsole.ResizePseudoConsole(self.handle, _size(columns, rows))

    def close(self) -> None:
        """End the console, so that its output comes to an end. Idempotent.

        On a thread of its own: before Windows 11 24H2 the call returns only when all output has been read.
        """
        handle, self.handle = self.handle, 0
        if handle:
            _thread.start_new_thread(winconsole.ClosePseudoConsole, (handle,))


def _size(columns: int, rows: int) -> winconsole.COORD:
    return winconsole.COORD(X=min(columns, 32767), Y=min(rows, 32767))
