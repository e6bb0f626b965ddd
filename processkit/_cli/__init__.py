"""The command line: the first user of the public API, and the one place that turns what happened into an exit status."""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

USAGE, DELIVERY_FAILED, INTERNAL, INTERRUPTED = 2, 119, 125, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; its exit status. SystemExit for usage errors and help."""
    from .options import parse

    options = parse(list(sys.argv[1:] if argv is None else argv))
    if options.subcommand == "doctor":
        from .doctor import doctor

        return doctor(options.json)
    from .run import run

    return run(options)


def main_and_exit() -> NoReturn:
    """Run the command line of this process and end it by SystemExit with the status."""
    # This process does one thing and ends: whatever a collection could free goes with it.
    gc.disable()
    try:
        status = main()
    except KeyboardInterrupt:
        complain("interrupted")
        status = INTERRUPTED
    except SystemExit as leaving:
        status = _status_of(leaving)
    status = _flushed(status)
    gc.freeze()
    raise SystemExit(status)


_undelivered = False


def complain(text: str) -> None:
    """One line on stderr, if there is one."""
    shown = text.replace("\r", "\\r").replace("\n", "\\n")
    tell(f"processkit: {shown}\n")


def tell(text: str, is_wanted: bool = False) -> None:
    """Text on stderr, if there is one: nobody may be reading it, and the status says it all the same. What was asked for,
    and `is_wanted`, is missed: then the status of this process tells that it could not be delivered.
    """
    global _undelivered
    if sys.stderr is not None:
        try:
            sys.stderr.write(text)
        except (OSError, ValueError) as error:
            silence("stderr")
            _undelivered = _undelivered or (is_wanted and not reader_gone(error))


def say(text: str) -> None:
    """Lines on stdout; when they cannot be delivered the status of this process will tell."""
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
    """Whether nobody reads our output any more, which is no failure of ours."""
    import errno
    import signal

    # Where there is no SIGPIPE (Windows) the C runtime says EINVAL for a pipe whose reader is gone.
    no_sigpipe = not hasattr(signal, "SIGPIPE") and isinstance(error, OSError) and error.errno == errno.EINVAL
    return isinstance(error, BrokenPipeError) or no_sigpipe


def _status_of(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    return leaving.code if isinstance(leaving.code, int) else 1


def _flushed(status: int) -> int:
    """`status` folded to 32 bits, or DELIVERY_FAILED when our own output could not be delivered."""
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
    """Drop what the stream still holds, so that the interpreter's own flush at exit stays quiet."""
    setattr(sys, name, None)
