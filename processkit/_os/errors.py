"""The errors of starting a child, as the API distinguishes them."""

from __future__ import annotations

import errno
import os

# The meaning of a failed launch for the caller.
NO_PROGRAM, NO_DIRECTORY, NOT_ALLOWED, TOO_LONG, BAD_FORMAT, NO_ROOM, FAILED = (
    "program",
    "directory",
    "allowed",
    "long",
    "format",
    "room",
    "failed",
)

# errno of execve(2). ENOTDIR, ENAMETOOLONG, ELOOP: the file that the lookup found has gone since.
_EXECVE = {
    errno.ENOENT: NO_PROGRAM, errno.ENOTDIR: NO_PROGRAM, errno.ENAMETOOLONG: NO_PROGRAM, errno.ELOOP: NO_PROGRAM,
    errno.EACCES: NOT_ALLOWED, errno.E2BIG: TOO_LONG, errno.ENOEXEC: BAD_FORMAT,
}  # fmt: skip


class NotHere(Exception):
    """The calling thread, loop or process cannot wait for this child; the text says why."""


class LaunchError(OSError):
    """A call of the launch failed: `call` is its name, `errno` the system's error, `means` its meaning for the caller."""

    call = ""
    means = FAILED

    @classmethod
    def of(cls, call: str, code: int) -> LaunchError:
        """The error of a POSIX `call` with errno `code`."""
        error = cls(code, f"{call}: {os.strerror(code)}")
        error.call = call
        if call == "chdir":
            error.means = NO_DIRECTORY
        elif call == "execve":
            error.means = _EXECVE.get(code, FAILED)
        elif code in (errno.EPERM, errno.EACCES):
            error.means = NOT_ALLOWED
        elif code == errno.EAGAIN and call in ("clone3", "clone", "fork", "pthread_create"):
            error.means = NO_ROOM
        return error


class StreamError(OSError):
    """A redirect could not be opened; `path` is the file."""

    path = ""


class NotFound(Exception):
    """There is no such program. `searched` is the path that was searched, None when the name was a path itself."""

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
