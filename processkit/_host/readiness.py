"""Readiness: waiting until a condition is true, a file exists, a port accepts. No process is touched. api.md §17"""

from __future__ import annotations

import asyncio
import inspect
import os
from errno import ECONNREFUSED

from .._base.errors import ProcessError, WaitTimeout, unsupported
from .._base.validate import check_interval, check_timeout, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Container
    from typing import Any, Callable, TypeVar, Union

    from .._base.types import StrPath

    T = TypeVar("T")
    Status = Union[Container[int], Callable[[int], object], None]

DEFAULT_INTERVAL = 0.05
#: Seconds that the first attempt has at least, or one interval if that is shorter, however short the whole wait is.
FIRST_WINDOW = 0.05
MOST_STATUS_LINE = 65536
#: Turns of the event loop in which an item that is there already comes all the way from a pipe.
TURNS = 10


class _Clock:
    """A deadline on the running loop's clock."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._deadline - self._loop.time())

    async def pause(self, interval: float) -> bool:
        """Sleep for an interval, or for the time left; return False if none is."""
        left = self.left
        if left <= 0:
            return False
        await asyncio.sleep(min(interval, left))
        return True


async def _within(awaitable: Awaitable[T], seconds: float, discard: Callable[[T], None] | None = None) -> asyncio.Future[T]:
    """Return the awaitable as a future that is done, or was cancelled after `seconds`; a future of the caller's is not cancelled.

    A result that comes in the same moment counts. No task of ours runs on, whatever happens; if the caller is cancelled
    meanwhile, `discard` is called with a result that had come.
    """
    theirs = asyncio.isfuture(awaitable)
    future: asyncio.Future[T] = asyncio.ensure_future(awaitable)
    try:
        for _ in range(0 if seconds > 0 else TURNS):  # a result that is there already is found even without waiting
            await asyncio.sleep(0)
        await asyncio.wait({future}, timeout=seconds)
        if not future.done() and not theirs:
            future.cancel()
            await asyncio.wait({future})
    except asyncio.CancelledError:
        if not theirs:
            future.cancel()
            await asyncio.wait({future})
            if not future.cancelled() and future.exception() is None and discard is not None:
                discard(future.result())
        raise
    return future


async def wait_until(predicate: Callable[[], object], *, timeout: float, interval: float = DEFAULT_INTERVAL) -> None:
    """Return once `predicate()`, or the awaitable that it returns, is true; its exceptions come out unchanged.

    WaitTimeout after `timeout` seconds (0: one attempt); `interval`: seconds between attempts (default 0.05). ValueError for a
    negative or NaN `timeout`, or an `interval` that is not above 0.
    """
    clock, every = _Clock(check_timeout(timeout)), check_interval(interval)
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            future = await _within(value, clock.left)
            value = future.done() and not future.cancelled() and future.result()
        if value:
            return
        if not await clock.pause(every):
            raise WaitTimeout(f"condition not met within {timeout} s", timeout_seconds=timeout)


async def wait_for_path(path: StrPath, *, timeout: float, interval: float = DEFAULT_INTERVAL) -> None:
    """Return once `path` exists; seconds and errors as `wait_until`."""
    text = path_text(path, "path")
    clock, every = _Clock(check_timeout(timeout)), check_interval(interval)
    while not os.path.exists(text):  # noqa: ASYNC240 (a stat(2) is no wait)
        if not await clock.pause(every):
            raise WaitTimeout(f"{text} did not appear within {timeout} s", timeout_seconds=timeout, path=path)


async def _probe(
    attempt: Callable[[], Awaitable[Any]], clock: _Clock, interval: float, discard: Callable[[Any], None]
) -> BaseException | None:
    """Return None once an attempt has succeeded, or the error of the last one at the deadline."""
    window = max(clock.left, min(interval, FIRST_WINDOW))
    last: BaseException | None = None
    while True:
        future = await _within(attempt(), window, discard)
        if not future.cancelled():
            error = future.exception()
            if error is None:
                discard(future.result())
                return None
            if not isinstance(error, (OSError, ProcessError)):
                raise error
            last = error
        if not await clock.pause(interval):
            return last or TimeoutError("no attempt came to an end in time")
        window = max(clock.left, 0.001)


def _close(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    streams[1].close()


async def _connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        refuse_itself(writer.get_extra_info("sockname"), writer.get_extra_info("peername"))
    except OSError:
        writer.close()
        raise
    return reader, writer


def refuse_itself(own: object, other: object) -> None:
    """Raise ConnectionRefusedError for a connection to itself: the system may give it the very port that it asks for. RFC 793, 3.4"""
    if own and own == other:
        raise ConnectionRefusedError(ECONNREFUSED, "nobody listens: the connection has met itself")


async def wait_for_port(host: str, port: int, *, timeout: float, interval: float = DEFAULT_INTERVAL) -> None:
    """Return once a TCP connection to it succeeds, which is closed at once; seconds and errors as `wait_until`."""
    clock, every = _Clock(check_timeout(timeout)), check_interval(interval)
    last = await _probe(lambda: _connected(host, port), clock, every, _close)
    if last is not None:
        text = f"{host}:{port} did not accept a connection within {timeout} s"
        raise WaitTimeout(text, timeout_seconds=timeout, host=host, port=port) from last


async def wait_for_unix_socket(path: StrPath, *, timeout: float, interval: float = DEFAULT_INTERVAL) -> None:
    """Return once a connection to this Unix socket succeeds; as `wait_for_port`. Unsupported where there are none."""
    connect = getattr(asyncio, "open_unix_connection", None)
    if connect is None:
        raise unsupported("wait_for_unix_socket", "there are no Unix sockets")
    text = path_text(path, "path")
    clock, every = _Clock(check_timeout(timeout)), check_interval(interval)
    last = await _probe(lambda: connect(text), clock, every, _close)
    if last is not None:
        raise WaitTimeout(f"{text} did not accept a connection within {timeout} s", timeout_seconds=timeout, path=path) from last


async def wait_for_named_pipe(name: str, *, timeout: float, interval: float = DEFAULT_INTERVAL) -> None:
    """Windows: return once this named pipe exists, busy or not, without connecting; as `wait_until`. Unsupported elsewhere."""
    from .._os import named_pipe_exists

    try:
        named_pipe_exists("")
    except NotImplementedError as error:
        raise unsupported("wait_for_named_pipe", str(error)) from None
    except OSError:
        pass
    clock, every = _Clock(check_timeout(timeout)), check_interval(interval)
    last: BaseException | None = None
    while True:
        try:
            if named_pipe_exists(name):
                return
            last = FileNotFoundError(2, f"there is no pipe {name}")
        except OSError as error:
            last = error
        if not await clock.pause(every):
            raise WaitTimeout(f"{name} did not appear within {timeout} s", timeout_seconds=timeout, path=name) from last


async def wait_for_http(
    host: str,
    port: int,
    path: str = "/",
    *,
    timeout: float,
    interval: float = DEFAULT_INTERVAL,
    expected_status: Status = None,
) -> None:
    """Return once GET `path` is answered with an accepted status; seconds and errors as `wait_until`.

    Accepted: any 2xx, or the statuses that `expected_status` contains, or of which it is true if it is callable. ValueError for
    a host or path with white space, control characters, or more than Latin-1. The `__cause__` of WaitTimeout has the last error.
    """
    address, request = http_request(host, port, path)
    clock, every = _Clock(check_timeout(timeout)), check_interval(interval)

    async def ask() -> None:
        """One request."""
        reader, writer = await _connected(address, port)
        try:
            writer.write(request)
            await writer.drain()
            accept(await _status_line(reader), expected_status)
        finally:
            writer.close()

    last = await _probe(ask, clock, every, lambda _: None)
    if last is not None:
        text = f"http://{host_header(address, port)}{path} was not answered as expected within {timeout} s"
        raise WaitTimeout(text, timeout_seconds=timeout, host=host, port=port, path=path) from last


def http_request(host: str, port: int, path: str) -> tuple[str, bytes]:
    """Return the address to connect to and the request to send; ValueError for a host or path that a request cannot hold."""
    _check_text(host, "host")
    _check_text(path, "path")
    address = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    header = host_header(address, port)
    return address, f"GET {path} HTTP/1.1\r\nHost: {header}\r\nConnection: close\r\n\r\n".encode("latin-1")


def host_header(address: str, port: int) -> str:
    """Return the value of the Host header: an IPv6 literal in brackets, its zone escaped. RFC 9110, RFC 6874"""
    return f"[{address.replace('%', '%25')}]:{port}" if ":" in address else f"{address}:{port}"


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, not {type(text).__name__}")
    if any(mark <= " " or "\x7f" <= mark <= "\xa0" or (name == "host" and mark.isspace()) for mark in text):
        raise ValueError(f"{name} must not hold whitespace or control characters")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be latin-1 text") from None


async def _status_line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readline()
    except ValueError:
        raise _answer("the status line has no end", None) from None
    return line


def accept(line: bytes, expected: Status) -> None:
    """Raise unless the status in the first line of an answer is an accepted one."""
    if not line:
        raise ConnectionResetError("the connection was closed before an answer came")
    words = line.split(None, 2)
    token = words[1] if len(words) > 1 and words[0].startswith(b"HTTP/") else b""
    if len(token) != 3 or not token.isdigit():
        raise _answer("the status is not exactly three ASCII digits", None)
    status = int(token)
    if expected is None:
        accepted = 200 <= status < 300
    elif callable(expected):
        accepted = bool(expected(status))
    else:
        accepted = status in expected
    if not accepted:
        raise _answer(f"the status is {status}", status)


def _answer(text: str, status: int | None) -> ProcessError:
    error: Any = ProcessError(text)
    error.status = status
    return error  # type: ignore[no-any-return]


async def wait_for_line(lines: AsyncIterator[T], predicate: str | Callable[[T], object], *, timeout: float) -> T:
    """Return the first item that contains the text `predicate`, or of which it is true if it is callable.

    `lines` is any async iterator; with a text only str items are looked at. WaitTimeout after `timeout` seconds (0: an item that
    is there already counts), ProcessError if the items end before. Exceptions of both come out unchanged.
    """
    clock = _Clock(check_timeout(timeout))
    if not isinstance(predicate, str) and not callable(predicate):
        raise TypeError(f"predicate must be a str or callable, not {type(predicate).__name__}")
    iterator = lines.__aiter__()

    async def following() -> tuple[T] | None:
        """Return the next item in a tuple; None at the end."""
        try:
            return (await iterator.__anext__(),)
        except StopAsyncIteration:
            return None

    while True:
        future = await _within(following(), clock.left)
        if future.cancelled():
            raise WaitTimeout(f"no matching line within {timeout} s", timeout_seconds=timeout)
        found = future.result()
        if found is None:
            raise ProcessError("the stream ended before a matching line")
        item = found[0]
        if predicate in item if isinstance(predicate, str) and isinstance(item, str) else callable(predicate) and predicate(item):
            return item
