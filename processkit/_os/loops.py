"""What waiting beside an event loop takes on this system: chosen like the rest of the room, and imported where there is a loop."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from .looping import LoopEnds, LoopWaiter, Sleeper
    from .waiting import any_ended
elif sys.platform == "win32":
    from .winloops import LoopEnds, LoopWaiter, Sleeper, any_ended
else:
    from .elsewhere import LoopEnds, LoopWaiter, Sleeper, any_ended

__all__ = ["LoopEnds", "LoopWaiter", "Sleeper", "any_ended"]
