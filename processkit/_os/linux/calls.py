"""System calls by name: this machine's numbers, and a call that raises under its own name."""

from __future__ import annotations

import os
import sys
from errno import E2BIG, EINVAL, ENOSYS, EPERM

from ..._abi import linux, syscalls
from ..errors import LaunchError

if sys.platform != "linux":
    raise ImportError("this room is for Linux")


# The errors with which the kernel or its policy (an old release, a seccomp profile) means "never"; any other means "ask again".
REFUSALS = (ENOSYS, EPERM, EINVAL, E2BIG)


class Architecture:
    """The system call numbers for this machine and the word size of this process."""

    __slots__ = ("name", "numbers")

    def __init__(self) -> None:
        machine = os.uname().machine
        name = syscalls.architecture(machine, sys.maxsize > 2**32)
        if name is None:
            raise NotImplementedError(f"no system call numbers are known for a {machine} machine")
        self.name = name
        self.numbers = syscalls.numbers(name)


def raw_syscall(architecture: Architecture, name: str, *arguments: int) -> int:
    """The result of the system call `name`; LaunchError under that name if it fails."""
    try:
        result: int = linux.syscall(architecture.numbers[name], *arguments, *(0,) * (6 - len(arguments)))
    except OSError as error:
        raise LaunchError.of(name, error.errno or 0) from None
    return result


def open_pidfd(architecture: Architecture, pid: int) -> int:
    """A close-on-exec pidfd of our unreaped child `pid`, or -1 where the kernel has none: pidfd_open(2), Linux 5.3."""
    try:
        return raw_syscall(architecture, "pidfd_open", pid, 0)
    except OSError as error:
        if error.errno in REFUSALS:
            return -1
        raise


_architecture: Architecture | None = None


def architecture() -> Architecture:
    """This machine's system call numbers; NotImplementedError where none are known."""
    global _architecture
    if _architecture is None:
        _architecture = Architecture()
    return _architecture
