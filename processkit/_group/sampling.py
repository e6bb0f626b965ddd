"""What a group uses, looked at again and again: api.md §17."""

from __future__ import annotations

import asyncio

from .._base.validate import check_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .group import ProcessGroup
    from .limits import ProcessGroupStats


async def sample_stats(group: ProcessGroup, every: float) -> AsyncIterator[ProcessGroupStats]:
    """Yield `group.stats()` now and then each `every` seconds (0 or more), for ever; an exception of it ends the iterator.

    ValueError at the first step for a negative or NaN `every`.
    """
    pause = check_timeout(every, "every")
    while True:
        yield group.stats()
        await asyncio.sleep(pause)
