"""Executes the decisions of the core: `blocking` in one poll loop, `aio` on a running event loop; both drive a `run`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

#: Called when a group has ended. Empty until the tender is loaded, which happens when it is first needed.
on_group_end: list[Callable[[], None]] = []
