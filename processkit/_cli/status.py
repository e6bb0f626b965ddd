"""What this process says of itself: its exit statuses (api.md §26.4), its own words, and its status when they reach nobody."""

from __future__ import annotations

import sys

USAGE, DELIVERY_FAILED, IDLE, TIMED_OUT, INTERNAL, NOT_EXECUTABLE, NOT_FOUND = 2, 119, 123, 124, 125, 126, 127
#: Plus the number of the signal that ended the command.
SIGNALLED = 128
INTERRUPTED = 130


class Undelivered(Exception):
    """Our own output could not be written; `status` is the exit status that says so."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


_undelivered = False


def complain(text: str) -> None:
    """Write one line to stderr, if there is one."""
    shown = text.replace("\r", "\\r").replace("\n", "\\n")
    tell(f"processkit: {shown}\n")


def tell(text: str, is_wanted: bool = False) -> None:
    """Write text to stderr, if there is one. A failure is ignored, for the status says the same; but if the user asked for the
    text (`is_wanted`), the status of this process becomes DELIVERY_FAILED.
    """
    global _undelivered
    if sys.stderr is not None:
        try:
            sys.stderr.write(text)
        except (OSError, ValueError) as error:
            silence("stderr")
            _undelivered = _undelivered or (is_wanted and not reader_gone(error))


def say(text: str) -> None:
    """Write lines to stdout; if they cannot be delivered, the status of this process becomes DELIVERY_FAILED."""
    global _undelivered
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text + "\n")
    except (OSError, ValueError) as error:
        silence("stdout")
        if not reader_gone(error):
            _undelivered = True
            complain(f"could not write stdout: {error}")


def reader_gone(error: Exception) -> bool:
    """Return whether the reader of our output is gone, which is no failure of ours."""
    import errno
    import signal

    # Without SIGPIPE (Windows) the C runtime reports EINVAL for a pipe whose reader is gone.
    no_sigpipe = not hasattr(signal, "SIGPIPE") and isinstance(error, OSError) and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or no_sigpipe


def flushed(status: int) -> int:
    """Flush our streams; return `status` folded to 32 bits, or DELIVERY_FAILED if our output could not be delivered."""
    if _undelivered:
        status = DELIVERY_FAILED
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            silence(name)
            if not reader_gone(error):
                complain(f"could not flush {name}: {error}")
                status = DELIVERY_FAILED
    return (status + 2**31) % 2**32 - 2**31


def silence(name: str) -> None:
    """Drop the stream with its buffer, so that the interpreter's own flush at exit stays quiet."""
    setattr(sys, name, None)
