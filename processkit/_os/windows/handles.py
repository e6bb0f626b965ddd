"""Windows handles with one owner: none is inheritable except during one CreateProcessW."""

from __future__ import annotations

import sys

from ..._abi import windows
from ..._abi.foreign import array_of, last_error, reference, windows_error

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

# The most handles that one call waits for: MAXIMUM_WAIT_OBJECTS.
MOST_WAITED = 64
#: Ctrl+C does not wake a thread that waits in the kernel: Python's handler runs after the wait, so no wait is longer than this.
SLICE = 0.1


def close(handle: int) -> None:
    """Close a handle."""
    windows.CloseHandle(handle)


def inheritable_copy(handle: int) -> int:
    """A copy that a child may inherit; the caller closes it as soon as the child exists."""
    here = windows.GetCurrentProcess()
    copy = windows.HANDLE()
    windows.DuplicateHandle(here, handle, here, reference(copy), 0, True, windows.DUPLICATE_SAME_ACCESS)
    assert copy.value is not None
    return int(copy.value)


def is_signalled(handle: int) -> bool:
    """Whether the handle is signalled, as that of a process is after its end."""
    return bool(windows.WaitForSingleObject(handle, 0) == windows.WAIT_OBJECT_0)


def wait_for(handles: list[int], seconds: float) -> bool:
    """Wait until one of at most MOST_WAITED handles is signalled; False after `seconds`."""
    listed = array_of(windows.HANDLE, handles)
    result = windows.WaitForMultipleObjects(len(handles), listed, False, milliseconds(seconds))
    if result == windows.WAIT_FAILED:
        raise windows_error("WaitForMultipleObjects", last_error())
    return bool(result != windows.WAIT_TIMEOUT)


def milliseconds(seconds: float) -> int:
    """The timeout of a wait, rounded up, because the last millisecond would otherwise be spent spinning; never INFINITE."""
    return max(0, min(-int(-seconds * 1000 // 1), windows.INFINITE - 1))


class Handles:
    """Handles that are closed together, by `close` or at the end of the `with` block."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: list[int] = []

    def own(self, handle: int) -> int:
        """Take `handle` over; returns it."""
        self._open.append(handle)
        return handle

    def close(self) -> None:
        """Close all that is owned. Idempotent."""
        while self._open:
            close(self._open.pop())

    def __enter__(self) -> Handles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
