"""Watching the output of a process without consuming it: its prompt, its lines, its last lines. api.md §14, §30.1"""

from __future__ import annotations

import time

from .._base.errors import WaitTimeout, failure, require_loop
from .._base.validate import non_negative
from .._core.capture import Held
from .._core.channel import CappedChannel, Channel, LineSink
from .._core.encodings import default_decoder
from .._core.lines import Lines
from .._os import STDERR, STDOUT
from .._os.lock import Lock
from .._os.terms import PIPE
from .attend import auntil_ready, reading, until_ready
from .handle import PROBED, UNBOUND
from .ready import not_ready
from .streams import kept_channel, line_sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, Callable, Union

    from .handle import Handle
    from .running import RunningProcess

    Predicate = Union[str, Callable[[str], object]]


def _question(predicate: Predicate) -> Callable[[str], object]:
    """Return `predicate` as a function of a text."""
    if isinstance(predicate, str):
        wanted = predicate
        return lambda text: wanted in text
    if not callable(predicate):
        raise TypeError(f"predicate must be a str or a callable, not {type(predicate).__name__}")
    return predicate


class _Answer:
    """A question that is asked until it is answered; the waiting verb raises its exception."""

    __slots__ = ("_ask", "error", "found")

    def __init__(self, ask: Callable[[str], object]) -> None:
        self._ask = ask
        self.found: str | None = None
        self.error: BaseException | None = None

    @property
    def is_there(self) -> bool:
        """Whether it is answered, or has failed."""
        return self.found is not None or self.error is not None

    def about(self, text: str) -> bool:
        """Ask about `text`, unless it is answered; return whether it is now."""
        if not self.is_there:
            try:
                if self._ask(text):
                    self.found = text
            except BaseException as error:
                self.error = error
        return self.is_there

    def given(self) -> str | None:
        """Return the text that was found, else None; raise the question's exception."""
        if self.error is not None:
            raise self.error
        return self.found


# Its prompt.


class _Tail:
    """The unterminated last line of a stream, and a question about it."""

    __slots__ = ("_answer", "_program", "_sink", "_timeout", "deadline")

    def __init__(self, handle: Handle, stream: int, predicate: Predicate, timeout: float) -> None:
        self._answer = _Answer(_question(predicate))
        self._timeout = non_negative(timeout, "timeout")
        self._program = handle._plan.program
        handle._check_usable()
        if stream == STDERR and handle._plan.stderr != PIPE:
            raise failure(f"{self._program}: stderr is not piped", self._program)
        if stream == STDOUT and handle._plan.stdout != PIPE:
            raise failure(f"{self._program}: stdout is not observable for readiness probing", self._program)
        if handle._bound == UNBOUND:
            settings = handle._settings
            lock = Lock()
            channel = Channel(lock=lock) if settings.cap is None else CappedChannel(settings.cap, lock=lock)
            sinks: dict[int, Any] = {
                STDOUT: line_sink(settings, STDOUT, channel, True),
                STDERR: line_sink(settings, STDERR, kept_channel(), False),
            }
            handle._bind(PROBED, sinks, None, ())
        run = handle._run
        sink: Any = None if run is None else run.sinks[stream]
        if not isinstance(sink, LineSink):
            raise failure(
                f"{self._program}: this stream is not observable for readiness probing, for it is discarded", self._program
            )
        self._sink = sink
        self.deadline = time.monotonic() + self._timeout

    def is_ready(self) -> bool:
        """Whether there is an answer, or the stream has ended."""
        tail = self._sink.tail
        return (bool(tail) and self._answer.about(tail)) or self._answer.is_there or self._sink.closed

    def verdict(self) -> str:
        """Return the tail that was found, or raise why there is none."""
        found = self._answer.given()
        if found is not None:
            return found
        if self._sink.closed or time.monotonic() < self.deadline:
            raise failure(f"{self._program}: the stream ended before a matching tail", self._program)
        raise WaitTimeout(f"{self._program}: no matching output within {self._timeout} s", timeout_seconds=self._timeout)


def wait_for_tail(process: RunningProcess, stream: int, predicate: Predicate, timeout: float) -> str:
    """See `RunningProcess.wait_for_output`."""
    tail = _Tail(process, stream, predicate, timeout)
    with reading(process):
        until_ready(process, tail.is_ready, tail.deadline)
    return tail.verdict()


def await_for_tail(process: RunningProcess, stream: int, predicate: Predicate, timeout: float) -> Awaitable[str]:
    """See `RunningProcess.await_for_output`."""
    require_loop(process._plan.program)
    tail = _Tail(process, stream, predicate, timeout)

    async def wait() -> str:
        """Wait for the answer."""
        with reading(process):
            await auntil_ready(process, tail.is_ready, tail.deadline)
        return tail.verdict()

    return wait()


# Its lines.


class _Listening:
    """Asks about every line of both streams: those at hand, and those that come while it is entered."""

    __slots__ = ("_answer", "_lines", "_process", "_run")

    def __init__(self, process: RunningProcess, answer: _Answer) -> None:
        self._process = process
        self._answer = answer
        self._run = process._attend().runs[0]
        self._lines: dict[int, Lines] = {}

    def __enter__(self) -> None:
        self._process._attend().do(self._begin)

    def _begin(self) -> None:
        settings = self._process._settings
        for stream, sink in self._run.sinks.items():
            decoder, lone_cr, _ = settings.text_of(stream)
            lines = self._lines[stream] = Lines(decoder or default_decoder, lone_cr)
            if isinstance(sink, Held):
                self._ask(lines.feed(sink.value()))
            elif isinstance(sink, LineSink):
                self._ask([*sink.channel.rest()])
                lines.feed(sink.tail.encode())
        self._run.listeners.append(self._hear)

    def _hear(self, stream: int, data: bytes) -> None:
        lines = self._lines[stream]
        self._ask(lines.feed(data) if data else lines.close())

    def _ask(self, lines: list[str | None]) -> None:
        for line in lines:
            if line is not None and self._answer.about(line):
                return

    def __exit__(self, *_error: object) -> None:
        session = self._process._session
        assert session is not None
        session.do(self._end)

    def _end(self) -> None:
        if self._hear in self._run.listeners:
            self._run.listeners.remove(self._hear)

    def is_ready(self) -> bool:
        """Whether there is an answer, or no line can come any more."""
        return self._answer.is_there or (self._run.has_ended and not self._run.open_streams)


def wait_for_line(process: RunningProcess, predicate: Predicate, timeout: float) -> str:
    """See `RunningProcess.wait_for_line`."""
    answer, seconds = _Answer(_question(predicate)), non_negative(timeout, "timeout")
    listening = _Listening(process, answer)
    with reading(process), listening:
        until_ready(process, listening.is_ready, time.monotonic() + seconds)
    return _line(process, answer, seconds)


async def await_for_line(process: RunningProcess, predicate: Predicate, timeout: float) -> str:
    """See `RunningProcess.await_for_line`."""
    answer, seconds = _Answer(_question(predicate)), non_negative(timeout, "timeout")
    require_loop(process._plan.program)
    listening = _Listening(process, answer)
    with reading(process), listening:
        await auntil_ready(process, listening.is_ready, time.monotonic() + seconds)
    return _line(process, answer, seconds)


def _line(process: RunningProcess, answer: _Answer, seconds: float) -> str:
    found = answer.given()
    if found is not None:
        return found
    ended = not_ready(process, "a matching line came", seconds, {})
    if ended is not None:
        raise ended
    raise WaitTimeout(f"{process._plan.program}: no matching line within {seconds} s", timeout_seconds=seconds)
