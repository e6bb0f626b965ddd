"""How the end of a run is told: in results, in errors, in the log."""

from __future__ import annotations

from .._base.errors import too_large
from .._base.log import DEBUG, WARNING, listener, log, warn_left_alive
from .._os import STDERR, STDOUT, identify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .._base.outcome import Outcome
    from .._core.caps import Cap
    from .._core.capture import Capture
    from .._plan.settings import Settings


# Seconds that a process takes at most from the end of its pipes to its end.
ENDING = 0.5


def value_of(sink: Any) -> str:
    """Return the text that a sink captured."""
    return str(sink.value())


def refuse_too_large(program: str, cap: Cap | None, sinks: dict[int, Capture]) -> None:
    """Raise OutputTooLarge if a stream passed its cap in `error` mode."""
    for stream in (STDOUT, STDERR):
        sink: Any = sinks[stream]
        if getattr(sink, "too_large", False):
            assert cap is not None
            most_lines, lines = (cap.max_lines, sink.lines_seen) if sink.has_lines else (None, 0)
            raise too_large(program, cap.max_bytes, most_lines, sink.bytes_seen, lines)


def log_end(settings: Settings, program: str, outcome: Outcome, seconds: float, timeout: float | None) -> None:
    """Log that a process has ended after so many seconds; `timeout`: what ended it, if that is not its own timeout."""
    logger = listener(settings.logger)
    if logger is None:
        return
    timeout = settings.timeout if timeout is None else timeout
    if outcome.timed_out and timeout is not None:
        log(logger, WARNING, "timeout elapsed", program=program, timeout_ms=int(timeout * 1000))
    log(logger, DEBUG, "process exited", program=program, outcome=_word(outcome), elapsed_ms=int(seconds * 1000))


def tell_left(logger: Any, program: str, left: Iterable[int]) -> None:
    """Name the processes that could not be killed, in a log record and a RuntimeWarning: no result could."""
    named = name_left(left)
    if named:
        log(listener(logger), WARNING, "processes left alive", program=program, left=named)
        warn_left_alive(f"{program}: could not be killed, and left alive: {named}")


def name_left(left: Iterable[int]) -> str:
    """Return `pid (program)` of each that lives, in one line."""
    found = [(pid, identify(pid)) for pid in left]
    return ", ".join(f"{pid} ({each.name or 'unknown'})" for pid, each in found if each is not None)


def said_of_drop(handle: Any) -> str:
    """Return what is to be said of a handle that was dropped while it was open: nothing if all of its tree has ended."""
    try:
        if handle._run is not None and not handle._run.open_streams:
            for stage in getattr(handle, "_stages", [handle]):
                stage._child.linger(ENDING)  # it has closed its pipes, as in the midst of its exit
        # In a cycle the child's own finalizer may have come first, and ended it.
        was_ended = handle._child.ended < 0
        is_over = not was_ended and handle._has_ended() and handle._child.tree.empty()
    except OSError:
        is_over = False  # nobody knows
    return "" if is_over else f"{handle!r} was dropped while it was open; its tree is killed"


def _word(outcome: Outcome) -> str:
    if outcome.timed_out:
        return "timed_out"
    return f"code:{outcome.code}" if outcome.code is not None else f"signal:{outcome.signal}"
