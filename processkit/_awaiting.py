"""Readiness of a started process: as `_readiness`, and over at once when the process ends first. It is never touched."""

from __future__ import annotations

import os
import time

from ._errors import NotReady, ProcessError, WaitTimeout, unsupported
from ._verbs import require_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Callable

    from ._running import RunningProcess

#: One attempt to connect may take so long, however much is left.
LONGEST_ATTEMPT = 1.0


def not_ready(process: RunningProcess, what: str, timeout: float, place: dict[str, Any]) -> NotReady | None:
    """The error of a process that has ended, None while it lives."""
    outcome = process.poll()
    if outcome is None:
        return None
    from ._probing import last_words

    how = f"code {outcome.code}" if outcome.code is not None else f"signal {outcome.signal}"
    said = last_words(process)
    error = NotReady(f"{process.args[0]} ended with {how} before {what}{said}", timeout_seconds=timeout, **place)
    error.outcome = outcome
    return error


def until(
    process: RunningProcess,
    what: str,
    attempt: Callable[[float], object],
    *,
    timeout: float,
    interval: float,
    **place: Any,
) -> None:
    """Return once `attempt(seconds)` is true; NotReady when the process ends first, WaitTimeout after `timeout`.

    What the process says is read meanwhile, so that nothing that is to become ready waits for a full pipe.
    """
    from ._probing import reading, wait_for_end
    from ._readiness import check_interval, check_timeout

    check_timeout(timeout)
    check_interval(interval)
    with reading(process):
        _try_until(process, what, attempt, timeout, interval, place, wait_for_end)


def _try_until(
    process: RunningProcess,
    what: str,
    attempt: Callable[[float], object],
    timeout: float,
    interval: float,
    place: dict[str, Any],
    wait_for_end: Callable[[Any, float], None],
) -> None:
    deadline = time.monotonic() + timeout
    last: BaseException | None = None
    while True:
        ended = not_ready(process, what, timeout, place)
        if ended is not None:
            raise ended
        try:
            if attempt(max(0.05, min(LONGEST_ATTEMPT, deadline - time.monotonic()))):
                return
        except (OSError, ProcessError) as error:
            last = error
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeout(f"{what} did not happen within {timeout} s", timeout_seconds=timeout, **place) from last
        wait_for_end(process, time.monotonic() + min(interval, left))


async def auntil(process: RunningProcess, what: str, wait: Coroutine[Any, Any, None], timeout: float, **place: Any) -> None:
    """Await `wait`; NotReady when the process ends first."""
    import asyncio

    from ._probing import await_end, read_out, reading

    try:
        require_loop(process.args[0])
        process._check_usable()
    except BaseException:
        wait.close()
        raise
    ready = asyncio.ensure_future(wait)
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
    error = not_ready(process, what, timeout, place)
    assert error is not None
    raise error


# What is tried, by a thread that may block for `seconds`.


def path_exists(path: str) -> Callable[[float], object]:
    """Whether `path` is there."""
    return lambda _seconds: os.path.exists(path)


def port_accepts(host: str, port: int) -> Callable[[float], object]:
    """Whether a TCP connection succeeds; it is closed at once."""

    def attempt(seconds: float) -> bool:
        """One connection."""
        import socket

        socket.create_connection((host, port), seconds).close()
        return True

    return attempt


def socket_accepts(path: str) -> Callable[[float], object]:
    """Whether a connection to the Unix socket at `path` succeeds; it is closed at once. Unsupported where there are none."""
    import socket

    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise unsupported("wait_for_unix_socket", "there are no Unix sockets")

    def attempt(seconds: float) -> bool:
        """One connection."""
        with socket.socket(family) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
        return True

    return attempt


def http_answers(host: str, port: int, path: str, expected: Any) -> Callable[[float], object]:
    """Whether GET `path` is answered with an accepted status. ValueError for a request that could not be written."""
    from ._readiness import accept, http_request

    address, request = http_request(host, port, path)

    def attempt(seconds: float) -> bool:
        """One request."""
        import socket

        with socket.create_connection((address, port), seconds) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                accept(answer.readline(65536), expected)
        return True

    return attempt
