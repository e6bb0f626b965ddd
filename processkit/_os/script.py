"""A child's life before execve, written down as records of system calls. Nothing runs here.

The runners (launcher.py, forklauncher.py) execute it; what each call is for is decided in birth.py. The words of a record are
laid out as the machine code wants them: see machine_code.py.
"""

from __future__ import annotations

from array import array

from .._abi.foreign import address
from .._abi.machine_code import HIGHEST, LOWEST, WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANY = (1 << 62) - 1
NOT_RUN = 1 << 62
_PADDING = tuple((0,) * (6 - count) for count in range(7))


class Script:
    """The calls in their order, and the memory they point into, which lives as long as the script."""

    __slots__ = ("close_from", "into_cgroup", "kept", "memory", "names", "numbers", "orphan", "registration", "sources", "words")

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers
        #: The records, one behind the other, and the name of each one's call.
        self.words = array("q")
        self.names: list[str] = []
        self.memory: list[Any] = []
        #: Descriptor of the cgroup that the clone itself joins; -1: the child stays where its parent is.
        self.into_cgroup = -1
        #: Two ints whose second the kernel sets to the child's pid before it runs (CLONE_CHILD_SETTID).
        self.registration: array[int] | None = None
        #: The program is to be nobody's child: no wait(2) of the caller's sees it, and init reaps it.
        self.orphan = False
        #: Index of the record that closes every descriptor but the standard three, for runners that need one more.
        self.close_from = -1
        #: Where in `words` the descriptors are that become the standard streams; -1: a stream is not set. A launch of its own
        #: streams and its own cgroup puts those there, so that one script does for many.
        self.sources = [-1, -1, -1]
        #: What a launcher keeps of a launch of this script, for the next one.
        self.kept: list[Any] = []

    def call(self, name: str, *arguments: int, low: int = 0, high: int = ANY) -> None:
        """Append a call that must return `low`..`high`, or the child ends unexecuted and reports it."""
        self.names.append(name)
        self.words.extend((self.numbers[name], *arguments, *_PADDING[len(arguments)], NOT_RUN, low, high, 0))

    def extend(self, more: Script) -> None:
        """Append the calls of another script."""
        self.names += more.names
        self.words.extend(more.words)

    def with_streams(self, streams: list[int]) -> Script:
        """The same with other streams. It shares everything else with this one, and neither changes any more."""
        copy = Script.__new__(Script)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.words = words = self.words[:]
        for index, descriptor in zip(self.sources, streams):
            if index >= 0:
                words[index] = descriptor
        return copy

    def keep(self, memory: Any) -> int:
        """Hold on to ctypes memory; returns its address for a call's argument."""
        self.memory.append(memory)
        return address(memory)

    def accepts(self, index: int, result: int) -> bool:
        """Whether the call at `index` may have returned `result`."""
        start = index * WORDS
        return self.words[start + LOWEST] <= result <= self.words[start + HIGHEST]
