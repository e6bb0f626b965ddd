"""The blocking driver: one loop around one wait, on the calling thread."""

from __future__ import annotations

from .._os import Waiter
from .run import Run


def drive(run: Run) -> None:
    """Return when the run is over; an exception (Ctrl+C) leaves it to the caller to end it."""
    waiter = Waiter(run.child, run.feed)
    try:
        if run.token is not None:
            run.wake = waiter.waker()
        run.attach(waiter)
        while not run.done:
            run.look_at_token()
            # What has happened is told before what the clock says: a child that ended in time did not time out.
            waiter.wait(run.seconds_left(), run.report)
            if not run.done:
                run.tick()
    finally:
        waiter.close()
