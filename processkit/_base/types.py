"""The public aliases, and the protocols of writers; imported only when one is used, for importing `typing` takes long."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Literal, Protocol, Tuple, Union

StrPath = Union[str, "os.PathLike[str]"]
"""A path or program: str or os.PathLike[str]; never bytes."""
# Deliberately not Sequence[str]: a bare str is one, and never what was meant.
Args = Union[List[str], List[Path], List["os.PathLike[str]"], Tuple[StrPath, ...]]
"""A list or tuple of arguments."""
SignalName = Literal["term", "kill", "int", "hup", "quit", "usr1", "usr2"]
"""A signal by name; the functions that take one also accept its number."""
RetryIf = Literal["transient", "transient_or_timeout"]
"""The presets of `Command.retry`."""
LineTerminatorName = Literal["newline", "carriage_return"]
"""The modes of `Command.line_terminator`."""
Priority = Literal["idle", "below_normal", "normal", "above_normal", "high"]
"""The levels of `Command.priority`."""
IoPriorityClass = Literal["idle", "best_effort", "real_time"]
"""The classes of `Command.io_priority`."""
RlimitResourceName = Literal["cpu", "core", "data", "file_size", "no_file", "stack"]
"""The resources of `Command.rlimit`."""
ReadableBuffer = Union[bytes, bytearray, memoryview]
"""Bytes that are only read."""


class SupportsWrite(Protocol):
    """A writer of text. An int that it returns is the number of characters it took; the rest is offered again."""

    def write(self, text: str, /) -> object: ...


class SupportsWriteBytes(Protocol):
    """A writer of bytes. An int that it returns is the number of bytes it took; the rest is offered again."""

    def write(self, data: bytes, /) -> object: ...
