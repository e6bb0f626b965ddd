"""Waiting for several started processes without spending their handles."""

from __future__ import annotations

import time

from ._errors import WaitTimeout
from ._validate import non_negative, sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._result import Outcome
    from ._running import RunningProcess


def _ended(handles: tuple[RunningProcess, ...]) -> tuple[int, Outcome] | None:
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


def wait_any(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> tuple[int, Outcome]:
    """Index and outcome of the first process that has ended. Their pipes are not read meanwhile. WaitTimeout after `timeout`."""
    from ._os import any_ended

    chosen = _handles(handles)
    deadline = None if timeout is None else time.monotonic() + non_negative(timeout, "timeout")
    while True:
        found = _ended(chosen)
        if found is not None:
            return found
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            assert timeout is not None
            raise WaitTimeout(f"no process ended within {timeout} s", timeout_seconds=timeout)
        any_ended([handle._ended_descriptor() for handle in chosen], left)


def wait_all(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> list[Outcome]:
    """The outcomes of all, in order, once every one has ended. WaitTimeout after `timeout`."""
    chosen = sequence(handles, "handles")
    deadline = None if timeout is None else time.monotonic() + non_negative(timeout, "timeout")
    outcomes = []
    for handle in chosen:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        outcomes.append(wait_any([handle], timeout=left)[1])
    return outcomes


async def await_any(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> tuple[int, Outcome]:
    """Async twin of `wait_any`."""
    from ._drive.aio import wait_readable

    chosen = _handles(handles)
    found = _ended(chosen)
    if found is not None:
        return found
    limit = None if timeout is None else non_negative(timeout, "timeout")
    await wait_readable([handle._ended_descriptor() for handle in chosen], limit)
    found = _ended(chosen)
    if found is None:
        assert timeout is not None
        raise WaitTimeout(f"no process ended within {timeout} s", timeout_seconds=timeout)
    return found


async def await_all(handles: Sequence[RunningProcess], *, timeout: float | None = None) -> list[Outcome]:
    """Async twin of `wait_all`."""
    chosen = sequence(handles, "handles")
    deadline = None if timeout is None else time.monotonic() + non_negative(timeout, "timeout")
    outcomes = []
    for handle in chosen:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        outcomes.append((await await_any([handle], timeout=left))[1])
    return outcomes
