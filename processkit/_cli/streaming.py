"""`run` line by line: the command's output is read, checked, and written again to our own streams."""

from __future__ import annotations

import sys

from .status import DELIVERY_FAILED, SIGNALLED, Undelivered, complain, reader_gone, silence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .. import Command, Outcome, RunningProcess
    from .options import Options

#: The signal that ends a process that writes to a pipe without a reader. signal(7)
SIGPIPE = 13


def streamed(command: Command, options: Options) -> Command:
    """Return `command` with pipes, or a terminal, instead of our own streams."""
    if options.pty:
        command = command.pty(cols=options.pty_cols, rows=options.pty_rows)
        if sys.stdin is not None:
            # The raw stream: a reading thread would still hold the lock of the buffered one when this process ends.
            command = command.stdin_reader(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
    else:
        command = command.inherit_stdin()
    return command


def looked_at(command: Command, options: Options) -> Command:
    """Return `command` with the checks of its output."""
    if options.output_limit is not None:
        command = command.output_limit(max_bytes=options.output_limit, on_overflow="error")
    if options.sanitize_vt:
        command = command.sanitize_vt()
    return command if options.idle_timeout is None else command.idle_timeout(options.idle_timeout)


def follow(process: RunningProcess) -> Outcome:
    """Write every line again and return the outcome. Undelivered if our stream cannot be written; the caller ends the command."""
    for event in process.output_events():
        _say(event.stream, event.text)
    return process.outcome()


def _say(name: str, line: str) -> None:
    stream = getattr(sys, name)
    if stream is None:
        return
    data = line + "\n"
    try:
        binary = getattr(stream, "buffer", None)
        if binary is None:
            stream.write(data)
        else:
            binary.write(data.encode("utf-8", "surrogatepass"))
        stream.flush()
    except (OSError, ValueError) as error:
        silence(name)
        if reader_gone(error):
            raise Undelivered(SIGNALLED + SIGPIPE) from error
        complain(f"could not write {name}: {error}")
        raise Undelivered(DELIVERY_FAILED) from error
