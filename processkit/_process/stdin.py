"""Writing to a process while it runs: awaitable (`ProcessStdin`), or as a standard file object. api.md §12, §30.1"""

from __future__ import annotations

import io
import os

from .._base import PUBLIC
from .._base.errors import failure
from .._base.validate import byte_payload, text
from .._drive.session import running_loop
from .._os.errors import NotHere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._base.types import ReadableBuffer
    from .._drive.run import Run
    from .._drive.session import Session
    from .._os.feed import Feed
    from .handle import Handle

_CONTROLS = {
    **{chr(ord("a") + n): bytes((n + 1,)) for n in range(26)},
    **{chr(ord("A") + n): bytes((n + 1,)) for n in range(26)},
    "[": b"\x1b",
    "\\": b"\x1c",
    "]": b"\x1d",
    "^": b"\x1e",
    "_": b"\x1f",
    "?": b"\x7f",
}


class _Pen:
    """A process's stdin, until it is closed. While a writer waits, the output of the process is read and kept, without bound."""

    __slots__ = ("_feed", "_owner", "_program", "_run", "_session", "closed")

    def __init__(self, handle: Handle, keeps_open: bool = True) -> None:
        self._owner = os.getpid()
        self._session: Session
        self._feed: Feed
        self._run: Run
        self._session, self._feed, self._run = handle._take_stdin(keeps_open)
        self._program = handle._plan.program
        self.closed = False

    def put(self, data: bytes) -> Callable[[], bool]:
        """Queue `data`; return a function that is true once it is written. OSError if stdin is closed or not read any more."""
        if os.getpid() != self._owner:
            raise failure(f"{self._program}: this stdin belongs to the process that this one was forked from", self._program)
        if self.closed:
            raise OSError(f"the stdin of {self._program} is closed")
        if self._feed.closed:
            raise BrokenPipeError(f"{self._program} does not read its stdin any more")
        mark = self._feed.offer(data)
        self._session.do(self._run.write_more)
        return lambda: self._feed.written >= mark

    def wait(self, written: Callable[[], bool], lift: int = 1) -> None:
        """Block until `written()`; BrokenPipeError if the process does not read it."""
        run = self._session.runs[0]
        run.lifted += lift
        try:
            self._session.until(lambda: written() or self._feed.closed)
        except NotHere as error:
            raise failure(str(error), self._program) from error
        finally:
            run.lifted -= lift
        self._check(written)

    async def await_(self, written: Callable[[], bool], lift: int = 1) -> None:
        """Async twin of `wait`."""
        run = self._session.runs[0]
        run.lifted += lift
        try:
            await self._session.auntil(lambda: written() or self._feed.closed)
        except NotHere as error:
            raise failure(str(error), self._program) from error
        finally:
            run.lifted -= lift
        self._check(written)

    def fail(self, error: BaseException) -> None:
        """End the run because its source failed; the verb that waits for it raises `error`."""
        if self._run.failure is None:
            self._run.failure = error
        self._session.stop()

    def _check(self, written: Callable[[], bool]) -> None:
        if self._feed.broken or not written():
            raise BrokenPipeError(f"{self._program} does not read its stdin any more")

    def close(self) -> None:
        """End the input once all is written. Idempotent."""
        if not self.closed:
            self.closed = True
            if os.getpid() == self._owner:
                self._session.do(self._finish)

    def _finish(self) -> None:
        self._feed.finish()
        self._run.write_more()  # a terminal is told by writing

    @property
    def is_wanted(self) -> bool:
        """Whether the run still goes on."""
        return not self._session.over

    @property
    def is_done(self) -> Callable[[], bool]:
        """A function that is true once all is written, or never will be."""
        return lambda: not self._feed.pending


class ProcessStdin:
    """The stdin of a running process, for an event loop. Dropping it closes it.

    Its methods raise BrokenPipeError if the process does not read any more and, but for `close`, OSError after `close`. While one
    waits, the output of the process is read and kept, so that neither side blocks.
    """

    __module__ = PUBLIC
    __slots__ = ("_pen",)

    def __init__(self, handle: Handle) -> None:
        self._pen = _Pen(handle)

    async def write(self, data: ReadableBuffer) -> None:
        """Write all of `data`: bytes, bytearray or memoryview, else TypeError."""
        pen = self._pen
        await pen.await_(pen.put(byte_payload(data, "data")))

    async def write_line(self, line: str) -> None:
        r"""Write `line` as UTF-8, then `\n`."""
        pen = self._pen
        await pen.await_(pen.put((text(line, "line") + "\n").encode("utf-8", "surrogateescape")))

    async def send_control(self, control: str) -> None:
        """Write the byte that a terminal sends for Ctrl and this character: a letter or ``[ \\ ] ^ _ ?``, else ValueError."""
        byte = _CONTROLS.get(text(control, "control"))
        if byte is None:
            raise ValueError(f"control must be one letter or one of [ \\ ] ^ _ ?, not {control!r}")
        pen = self._pen
        await pen.await_(pen.put(byte))

    async def flush(self) -> None:
        """Return once everything before it is written."""
        pen = self._pen
        await pen.await_(pen.put(b""))

    async def close(self) -> None:
        """End the input once all is written, and wait for that. Idempotent."""
        pen = self._pen
        pen.close()
        if not pen.is_done():
            await pen.await_(pen.is_done)

    def __del__(self) -> None:
        pen = getattr(self, "_pen", None)
        if pen is not None:
            pen.close()

    def __reduce__(self) -> str:
        raise TypeError("a ProcessStdin cannot be pickled")


class _RawStdin(io.RawIOBase):
    """The raw file under the buffer of `stdin_writer`."""

    def __init__(self, handle: Handle) -> None:
        super().__init__()
        self._pen = _Pen(handle)

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Write all of `data` and return its length."""
        payload = bytes(data)
        self._pen.wait(self._pen.put(payload))
        return len(payload)

    def close(self) -> None:
        """End the input once all is written."""
        pen = getattr(self, "_pen", None)
        if pen is not None and not self.closed:
            pen.close()
        super().close()


def stdin_writer(handle: Handle, encoding: str | None) -> Any:
    """Return a file that writes to its stdin; LookupError for an unknown encoding."""
    import codecs

    if encoding is not None:
        codecs.lookup(encoding)
    writer = io.BufferedWriter(_RawStdin(handle))
    return writer if encoding is None else io.TextIOWrapper(writer, encoding, newline="\n", line_buffering=True)


# Writing from a source.

CHUNK = 1 << 16


def check_source(source: Any) -> Any:
    """Return `source` if it can be read or iterated over, else TypeError."""
    if isinstance(source, (str, bytes, bytearray, memoryview)):
        raise TypeError(
            f"source must be a reader or an iterable of bytes; for {type(source).__name__} there is stdin_bytes and stdin_text"
        )
    if not any(hasattr(source, name) for name in ("read", "__iter__", "__aiter__")):
        raise TypeError(f"source must have read, or be an iterable or async iterable of bytes, not {type(source).__name__}")
    return source


def pour(handle: Handle, source: Any) -> None:
    """Begin to write all of `source`, then end-of-file: an async one in a task of the running loop, any other on a thread.

    The thread ends with the source, or when the process does not read any more; but not while the source's `read` blocks it.
    """
    pen = _Pen(handle, keeps_open=False)
    is_async = hasattr(source, "__aiter__")
    if is_async and running_loop() is not None:
        import asyncio

        task = asyncio.ensure_future(_pour_awaited(pen, source, True))
        handle._pouring = task
        return
    import threading

    def work() -> None:
        """Write all of the source."""
        if is_async:
            import asyncio

            asyncio.run(_pour_awaited(pen, source, False))
        else:
            _pour(pen, source)

    threading.Thread(target=work, name="processkit-stdin", daemon=True).start()


def _pour(pen: _Pen, source: Any) -> None:
    try:
        for chunk in _chunks(source):
            pen.wait(pen.put(_checked(chunk)), lift=0)
    except BrokenPipeError:
        pass  # a child that does not want it is no error
    except BaseException as error:
        pen.fail(error)
    finally:
        pen.close()


async def _pour_awaited(pen: _Pen, source: Any, here: bool) -> None:
    """As `_pour`, from an async source; `here`: the loop that runs this also moves the process on."""
    try:
        async for chunk in source:
            written = pen.put(_checked(chunk))
            if here:
                await pen.await_(written, lift=0)
            else:
                pen.wait(written, lift=0)
    except BrokenPipeError:
        pass  # a child that does not want it is no error
    except BaseException as error:
        if pen.is_wanted:
            pen.fail(error)
        else:
            raise  # cancelled by us
    finally:
        pen.close()


def _chunks(source: Any) -> Any:
    # `read1` returns the bytes at hand; the `read` of a buffered file waits for all that was asked for.
    read = getattr(source, "read1", None) or getattr(source, "read", None)
    return source if read is None else iter(lambda: read(CHUNK) or b"", b"")


def _checked(chunk: Any) -> bytes:
    if isinstance(chunk, str):
        raise TypeError("the source of stdin must give bytes, not str")
    return byte_payload(chunk, "each chunk of the source")
