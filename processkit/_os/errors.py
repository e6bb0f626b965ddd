"""What can go wrong on the way to a child, as the API tells it apart."""

from __future__ import annotations

import os


class LaunchError(OSError):
    """A call of the launch failed: `call` is its name, errno as the system gave it."""

    call = ""

    @classmethod
    def of(cls, call: str, code: int) -> LaunchError:
        """The error of `call` with errno `code`."""
        error = cls(code, f"{call}: {os.strerror(code)}")
        error.call = call
        return error


class StreamError(OSError):
    """A redirect could not be opened; `path` is the file."""

    path = ""


class NotFound(Exception):
    """No such program. `searched` is what was searched, None when the name was a path."""

    def __init__(self, searched: str | None) -> None:
        super().__init__(searched)
        self.searched = searched


class NotExecutable(Exception):
    """`path` exists but cannot be executed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Refused(Exception):
    """The container does not take this child now; the text says why."""
