"""Pseudo console declarations as in the headers of Windows (10, version 1809, and newer). Imports on every system."""

from __future__ import annotations

import ctypes

from .foreign import COM, Library, negative, never

kernel32 = Library("kernel32", globals(), COM)

# <windef.h>
HANDLE = ctypes.c_void_p
DWORD = ctypes.c_uint32
LPDWORD = ctypes.c_void_p
BOOL = ctypes.c_int

# <winnt.h>
HRESULT = ctypes.c_int32


# <wincontypes.h>
class COORD(ctypes.Structure):
    """COORD"""

    _fields_ = [("X", ctypes.c_int16), ("Y", ctypes.c_int16)]


HPCON = ctypes.c_void_p
HPCON_p = ctypes.c_void_p

# <processthreadsapi.h>
PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE = 0x00020016


# <consoleapi.h>
@kernel32.prototype(fails=never)
def GetConsoleMode(hConsoleHandle: HANDLE, lpMode: LPDWORD) -> BOOL: ...


@kernel32.prototype(fails=negative)
def CreatePseudoConsole(size: COORD, hInput: HANDLE, hOutput: HANDLE, dwFlags: DWORD, phPC: HPCON_p) -> HRESULT: ...


@kernel32.prototype(fails=negative)
def ResizePseudoConsole(hPC: HPCON, size: COORD) -> HRESULT: ...


@kernel32.prototype(fails=never)
def ClosePseudoConsole(hPC: HPCON) -> None: ...
