"""The public aliases, and the protocols of writers; imported only when somebody asks for one, for `typing` takes its time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Literal, Protocol, Tuple, Union

StrPath = Union[str, "os.PathLike[str]"]
# Deliberately not Sequence[str]: a bare str is one, and never what was meant.
Args = Union[List[str], List[Path], List["os.PathLike[str]"], Tuple[StrPath, ...]]
SignalName = Literal["term", "kill", "int", "hup", "quit", "usr1", "usr2"]
RetryIf = Literal["transient", "transient_or_timeout"]
LineTerminatorName = Literal["newline", "carriage_return"]
Priority = Literal["idle", "below_normal", "normal", "above_normal", "high"]
IoPriorityClass = Literal["idle", "best_effort", "real_time"]
RlimitResourceName = Literal["cpu", "core", "data", "file_size", "no_file", "stack"]
ReadableBuffer = Union[bytes, bytearray, memoryview]


class SupportsWrite(Protocol):
    """A writer of text; what it returns may be the count that it took."""

    def write(self, text: str, /) -> object: ...


class SupportsWriteBytes(Protocol):
    """A writer of bytes; what it returns may be the count that it took."""

    def write(self, data: bytes, /) -> object: ...
