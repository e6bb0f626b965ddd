"""Executes what the core decides: `blocking` in one poll loop, `aio` on a running event loop; `run` is what both drive."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

#: What is called when a group has ended. The tender is loaded by who needs one, and only then is there something to be done.
on_group_end: list[Callable[[], None]] = []
