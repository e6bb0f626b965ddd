"""Finds the file of a program name on POSIX: execvp's search, done before anything is started."""

from __future__ import annotations

import os
import stat
import sys

from ..errors import NotExecutable, NotFound

if sys.platform != "linux":
    raise ImportError("this room is for Linux")


MOST_KNOWN = 256
# Absolute paths that were executable files when they were looked at.
_known: set[str] = set()


def find_program(program: str, first: tuple[str, ...], path: str | None, to_launch: bool = False) -> str:
    """The absolute path of `program`: itself when it is a path, else found in `first` and then in `path` (PATH's text).

    `to_launch`: the caller executes the result at once, and so finds out whether a known path is still executable.
    """
    if os.sep in program:
        return program if to_launch and program in _known else probe(program)
    directories = [*first, *(path.split(os.pathsep) if path else ())]
    denied = None
    if program not in ("", ".", ".."):
        for directory in directories:
            try:
                return probe(os.path.join(directory or os.curdir, program))
            except NotExecutable as refusal:
                if os.path.isfile(refusal.path):
                    denied = refusal
            except NotFound:
                continue
    if denied is not None:
        raise denied
    raise NotFound(os.pathsep.join(directories))


def probe(path: str) -> str:
    """`path`, made absolute, if it is an executable file; else NotFound or NotExecutable."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise NotExecutable(path) from None
    except OSError:
        raise NotFound(None) from None  # ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG: there is nothing to execute
    if not stat.S_ISREG(mode) or not os.access(path, os.X_OK):
        raise NotExecutable(path)
    if os.path.isabs(path):
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known.add(path)
        return path
    try:
        return os.path.join(os.getcwd(), path)
    except OSError:
        return path  # our current directory was removed; relative names in it are gone as well
