"""A terminal for a child, and our side of it: pty(7)."""

from __future__ import annotations

import os
import sys

from .descriptors import above_standard, never_waits

# `signal` makes enumerations of it when it is imported.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

#: The byte that ends the input of a terminal in canonical mode when typed at the beginning of a line: termios(3), VEOF.
END_OF_INPUT = b"\x04"


def open_terminal(columns: int, rows: int) -> tuple[int, int, int]:
    """(the child's side, our end to write to, our end to read from). The terminal does not echo typed input."""
    import termios

    ours, theirs = os.openpty()
    opened = [ours, theirs]
    try:
        opened[0] = ours = above_standard(ours)
        opened[1] = theirs = above_standard(theirs)
        attributes = termios.tcgetattr(theirs)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        set_size(theirs, columns, rows)
        write = above_standard(os.dup(ours))
        opened.append(write)
        never_waits(write)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return theirs, write, ours


def set_size(terminal: int, columns: int, rows: int) -> None:
    """Set the size of a terminal; its foreground processes get SIGWINCH. TIOCSWINSZ(2const)"""
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def in_foreground() -> bool:
    """Whether stdin is our controlling terminal and our process group is in its foreground. tcgetpgrp(3)"""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def take_terminal_back(group: int) -> None:
    """Make our process group the foreground group of our stdin's terminal again, if `group` is that now.

    A shell may have taken the terminal meanwhile, or another child may have it.
    """
    # Our group is in the background now, where tcsetpgrp(3) raises SIGTTOU unless that is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        if os.tcgetpgrp(0) == group:
            os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # the terminal has been hung up
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
