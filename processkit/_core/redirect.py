"""Where a standard stream goes: what a command asks for, and what a launch does."""

from __future__ import annotations

PIPE, NULL, INHERIT = "pipe", "null", "inherit"


class File:
    """A standard stream that is a file, opened by the launch of each run."""

    __slots__ = ("append", "path")

    def __init__(self, path: str, append: bool) -> None:
        self.path = path
        self.append = append
