"""A child's life before execve, written down as a list of system calls. Nothing runs here.

The runners in `launcher.py` execute it; what each call is for is decided in `birth.py`.
"""

from __future__ import annotations

from .._abi.foreign import address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANY = (1 << 62) - 1


class Step:
    """One system call of the child: it must return `low`..`high`, or the child ends unexecuted and reports it."""

    __slots__ = ("arguments", "high", "low", "name")

    def __init__(self, name: str, arguments: tuple[int, ...], low: int, high: int) -> None:
        self.name = name
        self.arguments = arguments
        self.low = low
        self.high = high


class Script:
    """The steps in their order, and the memory they point into, which lives as long as the script."""

    __slots__ = ("close_from", "into_cgroup", "memory", "orphan", "registration", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.memory: list[Any] = []
        #: Descriptor of the cgroup that the clone itself joins; -1: the child stays where its parent is.
        self.into_cgroup = -1
        #: Two ints whose second the kernel sets to the child's pid before it runs (CLONE_CHILD_SETTID).
        self.registration: Any = None
        #: The program is to be nobody's child: no wait(2) of the caller's sees it, and init reaps it.
        self.orphan = False
        #: Index of the step that closes every descriptor but the standard three, for runners that need one more.
        self.close_from = -1

    def call(self, name: str, *arguments: int, low: int = 0, high: int = ANY) -> None:
        """Append a system call by name."""
        self.steps.append(Step(name, arguments, low, high))

    def keep(self, memory: Any) -> int:
        """Hold on to ctypes memory; returns its address for a step's argument."""
        self.memory.append(memory)
        return address(memory)
