"""The public aliases and protocols; imported only when somebody asks for one, for `typing` takes its time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, List, Literal, Protocol, Tuple, Union, runtime_checkable

from . import PUBLIC

if TYPE_CHECKING:
    from .._command.command import Command
    from .._process.running import RunningProcess
    from .result import BytesResult, ProcessResult

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


@runtime_checkable
class ProcessRunner(Protocol):
    """Anything that runs a command to its end."""

    def output(self, command: Command, /) -> ProcessResult: ...
    def output_bytes(self, command: Command, /) -> BytesResult: ...
    def run(self, command: Command, /) -> str: ...
    def exit_code(self, command: Command, /) -> int: ...
    def probe(self, command: Command, /) -> bool: ...
    async def aoutput(self, command: Command, /) -> ProcessResult: ...
    async def aoutput_bytes(self, command: Command, /) -> BytesResult: ...
    async def arun(self, command: Command, /) -> str: ...
    async def aexit_code(self, command: Command, /) -> int: ...
    async def aprobe(self, command: Command, /) -> bool: ...


@runtime_checkable
class StreamingRunner(ProcessRunner, Protocol):
    """A runner that also hands out running processes."""

    def start(self, command: Command, /) -> RunningProcess: ...
    async def astart(self, command: Command, /) -> RunningProcess: ...


ProcessRunner.__module__ = StreamingRunner.__module__ = PUBLIC
