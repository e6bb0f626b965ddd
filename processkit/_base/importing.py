"""A fork waits until no other thread is in the midst of importing for this package, which imports what it needs at its first use."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_OURS = __name__.partition("._base.")[0]
# Seconds for which a fork is held up at most, and between two looks.
PATIENCE, PAUSE = 5.0, 0.001


def wait_for_imports() -> None:
    """Return when no other thread imports for this package.

    1. A thread uses the package for the first time, and imports what it needs. 2. Another thread forks. 3. In the child the lock of
    that module is held for ever, by a thread that does not exist there, and the child's own first use never ends.
    """
    deadline = time.monotonic() + PATIENCE
    me = sys._getframe()
    while any(_imports(frame, me) for frame in sys._current_frames().values()) and time.monotonic() < deadline:
        time.sleep(PAUSE)


def _imports(frame: FrameType | None, me: FrameType) -> bool:
    """Whether a thread, given by its innermost frame, is in an import that this package began."""
    in_import = False
    while frame is not None:
        if frame is me:
            return False
        in_import = in_import or frame.f_code.co_filename == "<frozen importlib._bootstrap>"
        if in_import and str(frame.f_globals.get("__name__")).startswith(_OURS):
            return True
        frame = frame.f_back
    return False


# PyPy 3.9 is aborted where a fork looks at the frames of other threads in the midst of many signals.
if hasattr(os, "register_at_fork") and sys.implementation.name == "cpython":
    os.register_at_fork(before=wait_for_imports)
