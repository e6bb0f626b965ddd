"""Tees and callbacks: copies of a command's output to files and writers, raw or line by line. api.md §3.7, §3.8"""

from __future__ import annotations

from .._base.log import WARNING, listener, log
from .._core.encodings import default_decoder
from .._core.lines import Lines
from .._core.unraisable import ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._plan.settings import Settings
    from .._plan.sink import Sink


class Tee:
    """One run's use of a sink. A failure ends the tee, not the run."""

    __slots__ = ("_alive", "_settings", "_sink")

    def __init__(self, sink: Sink, settings: Settings) -> None:
        self._sink = sink
        self._settings = settings
        self._alive = True

    def put(self, data: Any) -> None:
        """Write bytes or text."""
        if not self._alive:
            return
        try:
            if self._sink.writer is None:
                self._sink.save(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
            else:
                self._write(data)
        except Exception as error:
            self._give_up(error)

    def _write(self, data: Any) -> None:
        while data:
            count = self._sink.writer.write(data)
            if not isinstance(count, int):
                return
            if not 0 < count <= len(data):
                raise ValueError(f"a tee's write returned {count} of {len(data)}")
            data = data[count:]

    def end(self) -> None:
        """The stream has ended."""
        flush = getattr(self._sink.writer, "flush", None)
        if self._alive and flush is not None:
            try:
                flush()
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._alive = False
        logger = listener(self._settings.logger)
        if logger is not None:
            log(logger, WARNING, "tee disabled", program=self._settings.program, error=type(error).__name__)
        if self._sink.writer is not None:
            ignore(error)


class Tap:
    """The tees and the callback of one stream of one run."""

    __slots__ = ("_callback", "_lines", "_raw", "_tee", "is_over")

    def __init__(self, settings: Settings, stream: int) -> None:
        name = "stdout" if stream == 1 else "stderr"
        self._raw, self._tee = (
            None if sink is None else Tee(sink, settings)
            for sink in (getattr(settings, name + "_raw_tee"), getattr(settings, name + "_tee"))
        )
        self._callback: Callable[[str], object] | None = getattr(settings, "on_" + name)
        #: Asked before each line: whether it and all that follow are to be dropped.
        self.is_over: Callable[[], bool] = lambda: False
        decoder, lone_cr, _ = settings.text_of(stream)
        wants_lines = self._tee is not None or self._callback is not None
        self._lines = Lines(decoder or default_decoder, lone_cr) if wants_lines else None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if self._raw is not None:
            self._raw.put(data)
        if self._lines is not None:
            self._say(self._lines.feed(data))

    def close(self) -> None:
        """The stream has ended."""
        if self._lines is not None:
            self._say(self._lines.close())
        for tee in (self._raw, self._tee):
            if tee is not None:
                tee.end()

    def _say(self, lines: list[Any]) -> None:
        is_over = self.is_over
        for line in lines:
            if is_over():
                return
            if self._callback is not None:
                try:
                    self._callback(line)
                except Exception as error:
                    ignore(error)
            if self._tee is not None:
                self._tee.put(line + "\n")


def taps_of(settings: Settings, *, stdout: bool) -> dict[int, Tap]:
    """Return the taps of a run, by stream."""
    streams = [2] if not stdout else [1, 2]
    names = {1: "stdout", 2: "stderr"}
    kinds = ("{}_tee", "{}_raw_tee", "on_{}")
    return {
        stream: Tap(settings, stream)
        for stream in streams
        if any(getattr(settings, kind.format(names[stream])) is not None for kind in kinds)
    }
