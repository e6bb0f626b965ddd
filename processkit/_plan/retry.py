"""Running a command again after a failure that may pass: api.md §9.6."""

from __future__ import annotations

import time

from .._base import validate
from .._base.errors import Cancelled, ProcessError, Timeout, cancelled
from .._base.log import DEBUG, listener, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, Callable, TypeVar

    from .settings import Settings

    T = TypeVar("T")

PRESETS = ("transient", "transient_or_timeout")


def _passing_errnos() -> frozenset[int]:
    """Return the errno values that mean "not now": errno(3)."""
    import errno

    names = ("EINTR", "EAGAIN", "EWOULDBLOCK", "EBUSY", "ETXTBSY")
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


def is_transient(exc: BaseException) -> bool:
    """Return whether `exc`, or an error in its chain of causes, is an OSError that may pass: EINTR, EAGAIN, EBUSY or ETXTBSY."""
    seen: BaseException | None = exc
    passing = _passing_errnos()
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in passing:
            return True
        seen = seen.__cause__
    return False


class Retry:
    """A retry policy: which errors to retry, how often, and after which delays."""

    __slots__ = ("_classify", "initial", "jitter", "max_backoff", "max_retries", "multiplier")

    def __init__(
        self, retry_if: object, max_retries: object, initial: object, multiplier: object, max_backoff: object, jitter: object
    ) -> None:
        self._classify: Callable[[BaseException], bool] = _classifier(retry_if)
        self.max_retries = 3 if max_retries is None else validate.unsigned(max_retries, "max_retries")
        self.initial = 0.1 if initial is None else validate.non_negative(initial, "initial_backoff")
        self.max_backoff = 30.0 if max_backoff is None else validate.non_negative(max_backoff, "max_backoff")
        self.multiplier = 2.0 if multiplier is None else validate.positive(multiplier, "multiplier")
        self.jitter = True if jitter is None else bool(jitter)

    def again(self, error: BaseException) -> bool:
        """Return whether `error` is worth another attempt. Cancelled never is; a caller's function may retry an exit code."""
        return isinstance(error, ProcessError) and not isinstance(error, Cancelled) and bool(self._classify(error))

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait before retry number `attempt`, counted from 0."""
        try:
            delay = min(self.initial * self.multiplier**attempt, self.max_backoff)
        except OverflowError:
            delay = self.max_backoff
        if not self.jitter:
            return delay
        import random

        return random.uniform(0.0, delay)


def _classifier(retry_if: object) -> Callable[[BaseException], bool]:
    if callable(retry_if):
        return retry_if
    if validate.label(retry_if, "retry_if", PRESETS) == "transient":
        return is_transient
    return lambda error: isinstance(error, Timeout) or is_transient(error)


def _told(settings: Settings, retry: Retry, attempt: int, error: BaseException) -> float:
    pause = retry.pause(attempt)
    log(
        listener(settings.logger), DEBUG, "retry", program=settings.program, attempt=attempt + 1, max_attempts=retry.max_retries + 1,
        backoff_ms=int(pause * 1000), error=type(error).__name__,
    )  # fmt: skip
    return pause


def retried(settings: Settings, verb: Callable[[], T]) -> T:
    """Return what `verb` returns, called again as the command's policy says."""
    retry, attempt = settings.retry, 0
    while True:
        try:
            return verb()
        except ProcessError as error:
            if retry is None or attempt >= retry.max_retries or not retry.again(error):
                raise
            pause = _told(settings, retry, attempt, error)
        attempt += 1
        if settings.token is None:
            time.sleep(pause)
        elif settings.token._wait(pause):
            raise cancelled(settings.program)


async def aretried(settings: Settings, verb: Callable[[], Awaitable[T]]) -> T:
    """Async twin of `retried`."""
    retry, attempt = settings.retry, 0
    while True:
        try:
            return await verb()
        except ProcessError as error:
            if retry is None or attempt >= retry.max_retries or not retry.again(error):
                raise
            pause = _told(settings, retry, attempt, error)
        attempt += 1
        await _asleep(settings, pause)


async def _asleep(settings: Settings, seconds: float) -> None:
    import asyncio

    token: Any = settings.token
    if token is None:
        await asyncio.sleep(seconds)
        return
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake() -> None:
        """From any thread."""
        try:
            loop.call_soon_threadsafe(woken.set)
        except RuntimeError:
            pass  # the loop was closed, and nothing waits in it

    number = token._subscribe(wake)
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except asyncio.TimeoutError:
        return
    finally:
        token._unsubscribe(number)
    raise cancelled(settings.program)
