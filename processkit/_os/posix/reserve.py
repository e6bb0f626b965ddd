"""Descriptors in reserve, so that a tree can be found and killed also when all others are in use."""

from __future__ import annotations

import os
import sys
from errno import EMFILE, ENFILE

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    T = TypeVar("T")


NONE_LEFT = (EMFILE, ENFILE)


#: Who signals a process holds its pidfd while he looks whether it is the one that is meant.
MOST = 2


_kept: list[int] = []


def keep_reserve() -> None:
    """Have them in reserve, if they are to be had."""
    while len(_kept) < MOST:
        try:
            _kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return  # it is tried again before the next start


def forget_reserve() -> None:
    """In a forked child, whose owner may close what he does not know."""
    while _kept:
        os.close(_kept.pop())


def opened(call: Callable[[], T]) -> T:
    """What `call` opens; when no descriptor is left it gets one of those in reserve."""
    while True:
        try:
            return call()
        except OSError as error:
            if error.errno not in NONE_LEFT or not _kept:
                raise
        os.close(_kept.pop())
