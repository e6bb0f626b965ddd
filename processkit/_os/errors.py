"""What can go wrong on the way to a child, as the API tells it apart."""

from __future__ import annotations

import errno
import os

# What a launch that failed means to whoever asked for it.
NO_PROGRAM, NO_DIRECTORY, NOT_ALLOWED, TOO_LONG, BAD_FORMAT, FAILED = (
    "program",
    "directory",
    "allowed",
    "long",
    "format",
    "failed",
)

# errno of execve(2). ENOTDIR, ENAMETOOLONG, ELOOP: what was there when it was looked for has gone since.
_EXECVE = {
    errno.ENOENT: NO_PROGRAM, errno.ENOTDIR: NO_PROGRAM, errno.ENAMETOOLONG: NO_PROGRAM, errno.ELOOP: NO_PROGRAM,
    errno.EACCES: NOT_ALLOWED, errno.E2BIG: TOO_LONG, errno.ENOEXEC: BAD_FORMAT,
}  # fmt: skip


class NotHere(Exception):
    """This thread, loop or process cannot wait here; the text says why."""


class LaunchError(OSError):
    """A call of the launch failed: `call` is its name, errno as the system gave it, `means` what that comes down to."""

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
