"""Waiting for several started processes without spending their handles."""

from __future__ import annotations

import time

from .._base.errors import WaitTimeout, require_loop
from .._base.validate import non_negative, sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._base.outcome import Outcome
    from .running import RunningProcess


def _ended(handles: Sequence[RunningProcess]) -> tuple[int, Outcome] | None:
    for index, handle in enumerate(handles):
        outcome = handle.poll()
        if outcome is not None:
            return index, outcome
    return None


def _handles(handles: Sequence[RunningProcess]) -> tuple[RunningProcess, ...]:
    chosen = sequence(handles, "handles")
    if not chosen:
        raise ValueError("handles must name at least one process")
    return chosen


def _first(handles: Sequence[RunningProcess], deadline: float | None) -> tuple[int, Outcome] | None:
    """Return the first that has ended; None at the deadline."""
    from .._os import any_ended

    while True:
        found = _ended(handles)
        left = None if deadline is None else deadline - time.monotonic()
        if found is not None or (left is not None and left <= 0):
            return found
        any_ended([handle._ended_descriptor() for handle in handles], left)


async def _afirst(handles: Sequence[RunningProcess], deadline: float | None) -> tuple[int, Outcome] | None:
    """Async twin of `_first`."""
    from .._drive.aio import wait_ended

    while True:
        found = _ended(handles)
        left = None if deadline is None else deadline - time.monotonic()
        if found is not None or (left is not None and left <= 0):
            return found
        await wait_ended([handle._ended_descriptor() for handle in handles], left)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + non_negative(timeout, "timeout")


def _too_late(what: str, timeout: float | None) -> WaitTimeout:
    assert timeout is not None
    return WaitTimeout(f"{what} within {timeout} s", timeout_seconds=timeout)


def wait_any(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> tuple[int, Outcome]:
    """Return index and outcome of the first process that has ended. Spends no handle; no pipe is read meanwhile.

    `timeout`: seconds until WaitTimeout (default: never). ValueError without a handle, ProcessError for a spent one, TypeError
    unless `handles` is a list or tuple.
    """
    found = _first(_handles(handles), _deadline(timeout))
    if found is None:
        raise _too_late("no process ended", timeout)
    return found


def wait_all(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> list[Outcome]:
    """Return the outcomes of all, in order, once every one has ended; else as `wait_any`. Without a handle: an empty list."""
    chosen = sequence(handles, "handles")
    deadline = _deadline(timeout)
    outcomes = []
    for handle in chosen:
        found = _first([handle], deadline)
        if found is None:
            raise _too_late("not every process ended", timeout)
        outcomes.append(found[1])
    return outcomes


async def await_any(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> tuple[int, Outcome]:
    """Async twin of `wait_any`."""
    require_loop("await_any")
    found = await _afirst(_handles(handles), _deadline(timeout))
    if found is None:
        raise _too_late("no process ended", timeout)
    return found


async def await_all(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> list[Outcome]:
    """Async twin of `wait_all`."""
    require_loop("await_all")
    chosen = sequence(handles, "handles")
    deadline = _deadline(timeout)
    outcomes = []
    for handle in chosen:
        found = await _afirst([handle], deadline)
        if found is None:
            raise _too_late("not every process ended", timeout)
        outcomes.append(found[1])
    return outcomes
