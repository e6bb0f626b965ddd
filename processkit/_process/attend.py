"""Reading on while somebody waits for a process: until it ends, until all it said is read, its last words."""

from __future__ import annotations

import time
from contextlib import contextmanager

from .._base.errors import failure
from .._core.caps import CappedText
from .._core.capture import Held, TextCapture
from .._core.channel import LineSink
from .._core.encodings import default_decoder
from .._core.stopping import DRAIN
from .._drive.session import running_loop
from .._os import STDERR, STDOUT
from .._os.errors import NotHere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable

    from .handle import Handle

WORDS_SIZE, MOST_WORDS = 4096, 5
MOST_SHOWN = 200


@contextmanager
def reading(process: Handle) -> Iterator[None]:
    """Read all output of the process, without bound, while the `with` block waits."""
    run = process._attend().runs[0]
    run.lifted += 1
    try:
        yield
    finally:
        run.lifted -= 1


def wait_for_end(process: Handle, deadline: float) -> None:
    """Block until the process has ended, or until `deadline` (monotonic time); its output is read meanwhile."""
    until_ready(process, process._has_ended, deadline)


async def await_end(process: Handle) -> None:
    """Async twin of `wait_for_end`, without a deadline."""
    await auntil_ready(process, process._has_ended, None)


def until_ready(process: Handle, ready: Callable[[], bool], deadline: float | None) -> bool:
    """Read on until `ready` is true, at most until `deadline`; whether it was. ProcessError where nothing can wait here."""
    try:
        return bool(process._attend().until(ready, deadline))
    except NotHere as error:
        raise failure(str(error), process._plan.program) from error


async def auntil_ready(process: Handle, ready: Callable[[], bool], deadline: float | None) -> bool:
    """Async twin of `until_ready`."""
    try:
        return bool(await process._attend().auntil(ready, deadline))
    except NotHere as error:
        raise failure(str(error), process._plan.program) from error


async def read_out(process: Handle) -> None:
    """Read what a process that has ended left in its pipes; for a moment only, if another process still holds them."""
    await auntil_ready(process, _all_read(process), time.monotonic() + DRAIN)


def _all_read(process: Handle) -> Callable[[], bool]:
    runs = process._attend().runs
    return lambda: not any(run.open_streams for run in runs)


def last_words(process: Handle) -> str:
    """Return the last lines of its output for an exception's text; what its pipes still hold is read first."""
    if running_loop() is None:  # in a loop `read_out` has done that
        with reading(process):
            until_ready(process, _all_read(process), time.monotonic() + DRAIN)
    for lines in (_last_of(process._voice(), STDERR), _last_of(process, STDOUT)):
        text = " | ".join(line.strip() for line in lines if line.strip())
        if text:
            return f": {text[-MOST_SHOWN:]}"
    return ""


def _last_of(process: Handle, stream: int) -> list[str]:
    """Return the last lines of one stream."""
    assert process._run is not None
    sink: Any = process._run.sinks[stream]
    if isinstance(sink, LineSink):
        return sink.recent
    if isinstance(sink, Held):
        decoder = process._settings.text_of(stream)[0] or default_decoder
        return decoder("replace").decode(sink.end_of(WORDS_SIZE), True).splitlines()[-MOST_WORDS:]
    return sink.value().splitlines()[-MOST_WORDS:] if isinstance(sink, (TextCapture, CappedText)) else []
