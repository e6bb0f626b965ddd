"""The blocking driver: one loop around one wait, on the calling thread."""

from __future__ import annotations

from .._os import Waiter
from .run import Run


def drive(run: Run) -> None:
    """Return when the run is over; after an exception (Ctrl+C) the caller must end the run."""
    waiter = Waiter(run.child, run.feed)
    try:
        if run.token is not None:
            run.wake = waiter.waker()
        run.attach(waiter)
        while not run.done:
            run.look_at_token()
            # Events are reported before the clock is read: a child that ended in time did not time out.
            waiter.wait(run.seconds_left(), run.report)
            if not run.done:
                run.tick()
    finally:
        waiter.close()
