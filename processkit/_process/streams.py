"""The streams of a running process: iterators, sync and async, over its lines and events. api.md §11"""

from __future__ import annotations

from itertools import chain
from types import coroutine

from .._base import PUBLIC
from .._base.boundary import bounded
from .._base.errors import IdleTimeout, InvalidJson, failure
from .._base.validate import label, positive_int
from .._base.values import Value, store
from .._core.caps import DROP_NEWEST, DROP_OLDEST, longest_line
from .._core.capture import BLOCK, BUFFER, Discard
from .._core.channel import CappedChannel, Channel, LineSink
from .._core.encodings import default_decoder
from .._core.lines import Lines
from .._core.stopping import LONG_DRAIN
from .._os import STDERR, STDOUT
from .._os.errors import NotHere
from .._os.lock import Lock
from .._os.terms import PIPE
from .handle import LINES, MERGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Iterator
    from typing import Any, Callable

    from .._base.outcome import Outcome
    from .._core.capture import Capture
    from .._core.channel import Maker
    from .._plan.settings import Settings
    from .handle import Handle

MOST_JSON_SHOWN = 2048
_OVERFLOWS = (BLOCK, DROP_NEWEST, DROP_OLDEST)


class OutputEvent(tuple):  # type: ignore[type-arg]
    """One line of one stream."""

    # A tuple of the text: tuples are made fastest, and a busy process has millions of lines. Equal only to its own kind.
    __module__ = PUBLIC
    __slots__ = ()
    is_stderr = False
    """Whether the line came from stderr."""
    stream = "stdout"
    """`stdout` or `stderr`."""

    @property
    def text(self) -> str:
        """The line, without its end."""
        return str(self[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OutputEvent) and self.is_stderr == other.is_stderr and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((OutputEvent, self.is_stderr, self[0]))

    def __repr__(self) -> str:
        return f"OutputEvent({self.stream}, {self.text!r})"

    def __getnewargs__(self) -> tuple[object, ...]:
        return (tuple(self),)


class _StderrEvent(OutputEvent):
    """One line of stderr."""

    __module__ = __name__
    __slots__ = ()
    is_stderr = True
    stream = "stderr"


class LifecycleEvent(Value):
    """A process has started, written a line, or ended; fields that do not apply are None."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("kind", "pid", "stream", "text", "outcome")
    kind: str
    """`started`, `stdout`, `stderr` or `exited`."""
    pid: int | None
    """The process id, of `started`."""
    stream: str | None
    """`stdout` or `stderr`, of a line."""
    text: str | None
    """The line, without its end."""
    outcome: Outcome | None
    """How the process ended, of `exited`."""

    def __init__(
        self,
        kind: str,
        pid: int | None = None,
        stream: str | None = None,
        text: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        store(self, (kind, pid, stream, text, outcome))


def _as_output(kind: type[OutputEvent]) -> Maker:
    return lambda lines: map(kind, zip(lines))


def _as_lifecycle(stream: str) -> Maker:
    return lambda lines: (LifecycleEvent(stream, stream=stream, text=line) for line in lines)


def line_sink(settings: Settings, stream: int, channel: Channel, capped: bool, make: Maker | None = None) -> LineSink:
    """Return a sink that decodes and splits a stream as the command says."""
    decoder, lone_cr, clean = settings.text_of(stream)
    cap = settings.cap if capped else None
    longest = None if cap is None else longest_line(cap, clean)
    return LineSink(Lines(decoder or default_decoder, lone_cr, longest), channel, cap, clean, make)


def kept_channel() -> Channel:
    """Return a channel that keeps everything."""
    channel = Channel(lock=Lock())
    channel.keep_all()
    return channel


class _Stream:
    """Base of the streams: an iterator, also async, that ends with the process or with the handle, which it holds.

    Taking an item raises IdleTimeout if the command's `idle_timeout` has ended the process, and ProcessError if another thread's
    event loop is waiting for the same process, or in a forked copy of this process.
    """

    __slots__ = ("_channel", "_handle", "_items", "_program", "_run", "_session", "_told")
    #: The use that it makes of the output: see `handle`.
    _how = LINES
    _listens: tuple[int, ...] = (STDOUT, STDERR)

    def __init__(self, handle: Handle, buffer: int = BUFFER, on_overflow: str = BLOCK) -> None:
        most, overflow = positive_int(buffer, "buffer"), label(on_overflow, "on_overflow", _OVERFLOWS)
        handle._check_streamable()
        settings, plan = handle._settings, handle._plan
        streams = 1 if self._how == LINES else (plan.stdout == PIPE) + (plan.stderr == PIPE)
        # Reentrant, for a signal handler may take an item while one is being put.
        lock = Lock()
        cap = settings.cap
        channel = Channel(streams, most, overflow, lock) if cap is None else CappedChannel(cap, streams, lock)
        self._channel = channel
        self._items: Iterator[Any] = iter(())
        self._told = False
        self._handle = handle
        self._program = plan.program
        self._session = handle._bind(self._how, self._sinks(settings), None if self._how == LINES else LONG_DRAIN, self._listens)
        self._run = self._session.runs[0]
        # The child is never to block on its pipe, so it is read on while nothing is taken.
        if cap is not None or overflow != BLOCK:
            self._read_by_itself()

    def _sinks(self, settings: Settings) -> dict[int, Capture]:
        return {
            STDOUT: line_sink(settings, STDOUT, self._channel, True),
            STDERR: line_sink(settings, STDERR, kept_channel(), False),
        }

    @property
    def dropped_lines(self) -> int:
        """Lines that were dropped because they were not taken in time, or because an `output_limit` did not let them be kept."""
        return self._channel.dropped

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is not None and not self._told:
            # A stream that is dropped before its end no longer makes a verb raise OutputTooLarge: api.md §8.
            for sink in run.sinks.values():
                if getattr(sink, "channel", None) is self._channel:
                    sink.forgive()

    # One by one.

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(_Chunks(self._next_chunk))

    def __next__(self) -> Any:
        while True:
            for item in self._items:
                return item
            self._items = self._next_chunk()

    def __aiter__(self) -> Any:
        return self

    @coroutine
    def __anext__(self) -> Generator[Any, None, Any]:
        while True:
            for item in self._items:
                return item
            items = self._channel.take()
            if items is None:
                yield from self._wait_more().__await__()
                items = self._channel.take() or self._end()
                if items is None:
                    raise StopAsyncIteration
            self._items = items

    # Chunks of items.

    def _is_ready(self) -> bool:
        return self._channel.waiting or self._channel.ended

    @bounded
    def _next_chunk(self) -> Iterator[Any]:
        """Return the items at hand, waiting until there are some; StopIteration at the end."""
        items = self._channel.take()
        if items is None:
            try:
                self._session.until(self._is_ready)
            except NotHere as error:
                raise failure(str(error), self._program) from error
            items = self._channel.take() or self._end()
            if items is None:
                raise StopIteration
        return items

    @bounded
    async def _wait_more(self) -> None:
        try:
            await self._session.auntil(self._is_ready)
        except NotHere as error:
            raise failure(str(error), self._program) from error

    def _read_by_itself(self) -> None:
        """Have the event loop that runs here, or else a thread, read on while nothing is taken; it ends with the stream."""
        try:
            if self._session.join_loop():
                return
        except NotHere as error:
            raise failure(str(error), self._program) from error
        import threading

        session, channel = self._session, self._channel
        pump = threading.Thread(target=_read_on, args=(session, channel), name="processkit-pump", daemon=True)
        pump.start()

    def _end(self) -> Iterator[Any] | None:
        """Return None at the end of the stream, or raise what ended it."""
        if not self._told:
            self._told = True
            if self._run.idle_timed_out:
                seconds = self._run.idle_seconds
                assert seconds is not None
                text = f"{self._program} was idle: no watched output line for {seconds} s"
                raise IdleTimeout(text, idle_timeout_seconds=seconds, program=self._program)
        return None


class _Chunks:
    """An iterator over a stream's chunks, which are iterators themselves: nothing is lost when another consumer goes on."""

    __slots__ = ("_next",)

    def __init__(self, following: Callable[[], Iterator[Any]]) -> None:
        self._next = following

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> Iterator[Any]:
        return self._next()


def _read_on(session: Any, channel: Channel) -> None:
    try:
        session.until(lambda: channel.ended)
    except NotHere:
        pass  # an event loop has taken over


class StdoutLines(_Stream):
    """The lines of stdout, as `RunningProcess.stdout_lines` returns them; they end when the last holder closes the pipe."""

    __module__ = PUBLIC
    __slots__ = ()
    _listens = (STDOUT,)

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[str]: ...
        def __next__(self) -> str: ...
        def __aiter__(self) -> StdoutLines: ...
        def __anext__(self) -> Awaitable[str]: ...  # type: ignore[override]


class JsonLines(_Stream):
    """The JSON values in the lines of stdout. A bad or blank line raises InvalidJson; the next one can still be taken."""

    __module__ = PUBLIC
    __slots__ = ("_number",)
    _listens = (STDOUT,)

    def __init__(self, handle: Handle, buffer: int = BUFFER, on_overflow: str = BLOCK) -> None:
        super().__init__(handle, buffer, on_overflow)
        self._number = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._parsed(super().__next__())

    @coroutine
    def __anext__(self) -> Generator[Any, None, Any]:
        return self._parsed((yield from super().__anext__()))

    def _parsed(self, line: str) -> Any:
        import json

        self._number += 1
        number = self._number + self._channel.skipped
        try:
            return json.loads(line)
        except json.JSONDecodeError as bad:
            place = f"line {number}, column {bad.colno}, byte offset {bad.pos}: {bad.msg}"
            raise self._invalid(place, line) from bad
        except (ValueError, RecursionError) as bad:
            raise self._invalid(f"line {number} (no decode position available): {bad}", line) from bad

    def _invalid(self, place: str, line: str) -> InvalidJson:
        program = self._program
        return InvalidJson(f"{program}: stdout is not valid JSON: {place}: {line[:MOST_JSON_SHOWN]!r}", program=program)


class _Merged(_Stream):
    """Base of the streams that follow the process to its end; the handle is spent then, but for one verb that asks how it ended.

    Pipes that descendants hold open are read for 5 s at most after the end.
    """

    __slots__ = ()
    _how = MERGED

    def _is_ready(self) -> bool:
        return self._channel.waiting or self._channel.is_cut  # or the run is over, for which a session ends every wait

    def _end(self) -> Iterator[Any] | None:
        if self._run.done:
            self._handle._seen_to_the_end()
        return super()._end()


class StderrLines(_Merged):
    """The lines of stderr, as `RunningProcess.stderr_lines` returns them; stdout is read and discarded."""

    __module__ = PUBLIC
    __slots__ = ()

    def _sinks(self, settings: Settings) -> dict[int, Capture]:
        self._channel.close()  # stdout brings no items
        return {STDOUT: Discard(), STDERR: line_sink(settings, STDERR, self._channel, True)}

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[str]: ...
        def __next__(self) -> str: ...
        def __aiter__(self) -> StderrLines: ...
        def __anext__(self) -> Awaitable[str]: ...  # type: ignore[override]


class OutputEvents(_Merged):
    """An OutputEvent for each line of both streams: in order within a stream, between the two as they were read."""

    __module__ = PUBLIC
    __slots__ = ()

    def _sinks(self, settings: Settings) -> dict[int, Capture]:
        return {
            stream: line_sink(settings, stream, self._channel, True, _as_output(kind))
            for stream, kind in ((STDOUT, OutputEvent), (STDERR, _StderrEvent))
        }

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[OutputEvent]: ...
        def __next__(self) -> OutputEvent: ...
        def __aiter__(self) -> OutputEvents: ...
        def __anext__(self) -> Awaitable[OutputEvent]: ...  # type: ignore[override]


class LifecycleEvents(_Merged):
    """A LifecycleEvent `started`, one for each line of both streams, and at the end `exited`."""

    __module__ = PUBLIC
    __slots__ = ("_exited",)

    def __init__(self, handle: Handle, buffer: int = BUFFER, on_overflow: str = BLOCK) -> None:
        super().__init__(handle, buffer, on_overflow)
        self._exited = False
        self._items = iter([LifecycleEvent("started", pid=handle._child.pid)])

    def __iter__(self) -> Iterator[LifecycleEvent]:
        return self

    def _end(self) -> Iterator[Any] | None:
        more = super()._end()
        if self._exited or not self._session.over:
            return more
        self._exited = True
        return iter([LifecycleEvent("exited", outcome=self._handle._outcome_so_far())])

    def _sinks(self, settings: Settings) -> dict[int, Capture]:
        return {
            stream: line_sink(settings, stream, self._channel, True, _as_lifecycle(name))
            for stream, name in ((STDOUT, "stdout"), (STDERR, "stderr"))
        }

    if TYPE_CHECKING:

        def __next__(self) -> LifecycleEvent: ...
        def __aiter__(self) -> LifecycleEvents: ...
        def __anext__(self) -> Awaitable[LifecycleEvent]: ...  # type: ignore[override]
