"""Readiness of a started process: as in `_host.readiness`, but NotReady at once if the process ends first. It is never touched."""

from __future__ import annotations

import errno
import os
import time

from .._base.errors import NotReady, ProcessError, WaitTimeout, require_loop, unsupported
from .attend import await_end, last_words, read_out, reading, wait_for_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Generator
    from typing import Any, Callable

    from .running import RunningProcess

    Attempt = Callable[[], Generator[None, None, object]]
    Wait = Callable[[float], Coroutine[Any, Any, None]]
    Talk = Callable[[socket.socket], Generator[None, None, bool]]

#: Seconds between two looks at a connection that is being made.
STEP = 0.01
#: Seconds for the last attempt, once the process has ended.
LAST_LOOK = 0.2


def not_ready(process: RunningProcess, what: str, timeout: float, place: dict[str, Any]) -> NotReady | None:
    """Return the NotReady of a process that has ended; None while it lives."""
    outcome = process.poll()
    if outcome is None:
        return None
    how = f"ended with code {outcome.code}" if outcome.code is not None else f"ended with signal {outcome.signal}"
    if outcome.timed_out:
        how = "was ended by its timeout"
    said = last_words(process)
    return NotReady(f"{process._names()} {how} before {what}{said}", timeout_seconds=timeout, outcome=outcome, **place)


def until(
    process: RunningProcess,
    what: str,
    missed: str,
    attempt: Attempt,
    *,
    timeout: float,
    interval: float,
    **place: Any,
) -> None:
    """Return once an attempt has succeeded; NotReady if the process ends first, WaitTimeout (saying `missed`) after `timeout`.

    The output of the process is read meanwhile, so that it does not block on a full pipe before it is ready.
    """
    from .._base.validate import check_interval, check_timeout

    check_timeout(timeout)
    check_interval(interval)
    with reading(process):
        _try_until(process, what, missed, attempt, timeout, interval, place)


def _try_until(
    process: RunningProcess, what: str, missed: str, attempt: Attempt, timeout: float, interval: float, place: dict[str, Any]
) -> None:
    from .._host.readiness import FIRST_WINDOW

    started = time.monotonic()
    deadline, first_until = started + timeout, started + min(interval, FIRST_WINDOW)
    last: BaseException | None = None
    trying: Generator[None, None, object] | None = None
    is_first = True
    try:
        while True:
            ended = not_ready(process, what, timeout, place)
            if ended is not None:
                # 1. It makes something ready, as a launcher starts a server. 2. It ends. 3. The last attempt was before both.
                if _succeeds(attempt()):
                    return
                raise ended
            trying = trying or attempt()
            try:
                next(trying)
            except StopIteration as over:
                if over.value:
                    return
                trying, is_first = None, False
            except (OSError, ProcessError) as error:
                last, trying, is_first = error, None, False
            left = (max(deadline, first_until) if is_first else deadline) - time.monotonic()
            if left <= 0:
                raise WaitTimeout(f"{missed} within {timeout} s", timeout_seconds=timeout, **place) from last
            wait_for_end(process, time.monotonic() + min(interval if trying is None else STEP, left))
    finally:
        if trying is not None:
            trying.close()


def _succeeds(trying: Generator[None, None, object]) -> bool:
    """Whether this attempt succeeds in a moment."""
    deadline = time.monotonic() + LAST_LOOK
    try:
        while time.monotonic() < deadline:
            next(trying)
            time.sleep(STEP)
    except StopIteration as over:
        return bool(over.value)
    except (OSError, ProcessError):
        pass
    finally:
        trying.close()
    return False


async def auntil(process: RunningProcess, what: str, wait: Wait, timeout: float, **place: Any) -> None:
    """Await `wait(timeout)`; raise NotReady if the process ends first, and one last look finds nothing either."""
    import asyncio

    require_loop(process.args[0])
    process._check_usable()
    ready = asyncio.ensure_future(wait(timeout))
    ended = asyncio.ensure_future(await_end(process))
    with reading(process):
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ready, ended):
                if not task.done():
                    task.cancel()
            await asyncio.wait({ready, ended})
        if ready.cancelled():
            ended.result()
            await read_out(process)
    if not ready.cancelled():
        ready.result()
        return
    try:
        # 1. It makes something ready, as a launcher starts a server. 2. It ends. 3. The last attempt was before both.
        await wait(0.0)
    except WaitTimeout:
        error = not_ready(process, what, timeout, place)
        assert error is not None
        raise error from None


# Attempts: each is a generator that yields whenever it has to wait, for none may block while the process is watched.


def asked(question: Callable[[], object]) -> Attempt:
    """Return an attempt that succeeds if `question()` is true."""

    def attempt() -> Generator[None, None, object]:
        """Ask once; never waits."""
        return question()
        yield

    return attempt


def _connected(family: int, kind: int, address: Any, talk: Talk | None) -> Generator[None, None, bool]:
    """Connect, then `talk` over the connection, and close it."""
    import socket

    from .._host.readiness import refuse_itself

    with socket.socket(family, kind) as connection:
        connection.setblocking(False)
        error = connection.connect_ex(address)
        if error in (errno.EINPROGRESS, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)):
            while not _is_writable(connection):
                yield
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        refuse_itself(connection.getsockname(), connection.getpeername())
        return True if talk is None else (yield from talk(connection))


def _is_writable(connection: socket.socket) -> bool:
    """Whether the pending connect or send has ended, well or not."""
    import selectors

    # poll(2) takes descriptors above 1023, unlike select(2), and needs no descriptor of its own, unlike epoll(7).
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        selector.register(connection, selectors.EVENT_WRITE)
        return bool(selector.select(0))


def port_accepts(host: str, port: int, talk: Talk | None = None) -> Attempt:
    """Return an attempt at a TCP connection to any address of the host; it is closed at once, or after `talk`."""

    def attempt() -> Generator[None, None, bool]:
        """Connect once. Resolving the host's name is the one step that blocks."""
        import socket

        last: Exception | None = None
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return (yield from _connected(family, kind, address, talk))
            except OSError as error:
                last = error
        raise last or OSError(errno.EADDRNOTAVAIL, f"{host} has no address")

    return attempt


def socket_accepts(path: str) -> Attempt:
    """Return an attempt at a connection to the Unix socket at `path`; it is closed at once. Unsupported where there are none."""
    import socket

    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise unsupported("wait_for_unix_socket", "there are no Unix sockets")
    return lambda: _connected(family, socket.SOCK_STREAM, path, None)


def http_answers(host: str, port: int, path: str, expected: Any) -> Attempt:
    """Return an attempt at GET `path` with an accepted status. ValueError for a host or path that a request cannot hold."""
    from .._host.readiness import MOST_STATUS_LINE, accept, http_request

    address, request = http_request(host, port, path)

    def ask(connection: socket.socket) -> Generator[None, None, bool]:
        """Send one request and check its status line."""
        left, answer = request, b""
        while left:
            try:
                left = left[connection.send(left) :]
            except BlockingIOError:
                yield
        while b"\n" not in answer and len(answer) < MOST_STATUS_LINE:
            try:
                more = connection.recv(4096)
            except BlockingIOError:
                yield
                continue
            if not more:
                break
            answer += more
        accept(answer.partition(b"\n")[0], expected)
        return True

    return port_accepts(address, port, ask)
