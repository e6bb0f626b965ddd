"""`Runner`: the verbs of `Command` as an object, for code that takes its runner as a parameter."""

from __future__ import annotations

from .._base import PUBLIC
from .._process.verbs import RunnerVerbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._base.result import BytesResult, ProcessResult
    from .._process.running import RunningProcess
    from .command import Command


class Runner(RunnerVerbs):
    """Runs commands for real, each in a private tree: every verb is that of `Command`, and raises the same."""

    __module__ = PUBLIC
    __slots__ = ()

    def __repr__(self) -> str:
        return "Runner()"

    def __reduce__(self) -> str:
        raise TypeError("a Runner cannot be pickled")

    def output(self, command: Command, /) -> ProcessResult:
        """As `Command.output`."""
        return command.output()

    async def aoutput(self, command: Command, /) -> ProcessResult:
        """As `Command.aoutput`."""
        return await command.aoutput()

    def output_bytes(self, command: Command, /) -> BytesResult:
        """As `Command.output_bytes`."""
        return command.output_bytes()

    async def aoutput_bytes(self, command: Command, /) -> BytesResult:
        """As `Command.aoutput_bytes`."""
        return await command.aoutput_bytes()

    def _captured(self, command: Command) -> ProcessResult:
        return command._captured()

    async def _acaptured(self, command: Command) -> ProcessResult:
        return await command._acaptured()

    def start(self, command: Command, /) -> RunningProcess:
        """As `Command.start`."""
        return command.start()

    async def astart(self, command: Command, /) -> RunningProcess:
        """As `Command.astart`."""
        return await command.astart()
