"""Descriptors and memory in reserve, so that a tree can be found and killed even when all others are in use."""

from __future__ import annotations

import os
import sys
from errno import EMFILE, ENFILE

from .descriptors import Held, losses_so_far

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    T = TypeVar("T")


NONE_LEFT = (EMFILE, ENFILE)
#: Three: signalling a process holds its pidfd open while a file below a directory is read to check that it is the right process.
MOST = 3
#: Bytes: what a walk over thousands of processes takes, and an arena of the interpreter's. They are never touched, so they cost
#: addresses only.
MEMORY = 4 << 20
_memory: bytes | None = None
_kept: list[Held] = []
# `losses_so_far` when they were opened.
_since = 0


def keep_reserve() -> None:
    """Fill the reserve, as far as descriptors are available."""
    global _since
    if _since != losses_so_far():
        _since = losses_so_far()
        while _kept:
            _kept.pop().lose()
    if _memory is None:
        keep_memory()
    while len(_kept) < MOST:
        try:
            _kept.append(Held(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)))
        except OSError:
            return  # the next start tries again


def with_reserve(step: Callable[[], T]) -> T:
    """The result of `step`; where memory is short, it is taken once more with the memory in reserve."""
    global _memory
    try:
        return step()
    except MemoryError:
        _memory = None
    try:
        return step()
    finally:
        keep_memory()


def keep_memory() -> None:
    """Fill the reserve of memory, if there is any."""
    global _memory
    if _memory is None:
        try:
            _memory = bytes(MEMORY)  # calloc(3): no page of it is touched
        except MemoryError:
            pass  # the next start tries again


def forget_reserve() -> None:
    """In a forked child: its program may close descriptors that it does not know."""
    while _kept:
        _kept.pop().close()


def opened(call: Callable[[], T]) -> T:
    """The result of `call`, which opens a descriptor; when none is left, one of the reserve is closed to make room."""
    while True:
        try:
            return call()
        except OSError as error:
            if error.errno not in NONE_LEFT or not _kept:
                raise
        _kept.pop().close()
