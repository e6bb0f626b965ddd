"""The verbs that run something to its end and judge it, once for every class that has them.

A class gives four primitives: captured text (`output`), captured bytes (`output_bytes`) and their async twins. `Verbs` is for what
knows its command itself (a command, a pipeline), `RunnerVerbs` for what is handed one (runners, groups).
"""

from __future__ import annotations

from .._base.boundary import bounded_verbs
from .._base.verdicts import exit_code_of, json_of, probe_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    from .._base.result import BytesResult, ProcessResult
    from .._command.command import Command
    from .._plan.settings import Settings

    T = TypeVar("T")


class Verbs:
    """What can be run: its verbs, over `output`, `output_bytes` and their twins."""

    __slots__ = ()

    def output(self) -> ProcessResult:
        """A primitive: run it and capture its text."""
        raise NotImplementedError

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        raise NotImplementedError

    def output_bytes(self) -> BytesResult:
        """A primitive: run it and capture the exact bytes of its stdout."""
        raise NotImplementedError

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        raise NotImplementedError

    def _captured(self) -> ProcessResult:
        """`output` for a verb that does not want the text: stdout need not be piped."""
        return self.output()

    async def _acaptured(self) -> ProcessResult:
        """Async twin of `_captured`."""
        return await self.aoutput()

    def _retrying(self) -> Settings | None:
        """The settings that say how often to run it again; None: it is run once."""
        return None

    def run(self) -> str:
        """Run it and return stdout without trailing white space; raises NonZeroExit, Signalled, Timeout or IdleTimeout otherwise."""
        return self._judged(text_of, self.output)

    async def arun(self) -> str:
        """Async twin of `run`."""
        return await self._ajudged(text_of, self.aoutput)

    def exit_code(self) -> int:
        """Run it and return its exit code, whatever it is; raises Signalled, Timeout, IdleTimeout. Stdout need not be piped."""
        return self._judged(exit_code_of, self._captured)

    async def aexit_code(self) -> int:
        """Async twin of `exit_code`."""
        return await self._ajudged(exit_code_of, self._acaptured)

    def probe(self) -> bool:
        """Run it: True for exit code 0, False for 1; NonZeroExit for any other code; else as `exit_code`."""
        return self._judged(probe_of, self._captured)

    async def aprobe(self) -> bool:
        """Async twin of `probe`."""
        return await self._ajudged(probe_of, self._acaptured)

    def _json(self) -> Any:
        """`run_json` of the classes that offer it."""
        return self._judged(json_of, self.output)

    async def _ajson(self) -> Any:
        """Async twin of `_json`."""
        return await self._ajudged(json_of, self.aoutput)

    def _judged(self, verdict: Callable[[ProcessResult], T], run: Callable[[], ProcessResult]) -> T:
        """Return `verdict` of the run; under a retry policy, of the last attempt."""
        settings = self._retrying()
        if settings is None:
            return verdict(run())
        from .._plan.retry import retried

        return retried(settings, lambda: verdict(run()))

    async def _ajudged(self, verdict: Callable[[ProcessResult], T], run: Callable[[], Any]) -> T:
        settings = self._retrying()
        if settings is None:
            return verdict(await run())
        from .._plan.retry import aretried

        async def once() -> T:
            """One attempt."""
            return verdict(await run())

        return await aretried(settings, once)


class RunnerVerbs:
    """What runs commands: its verbs, over `output(command)`, `output_bytes(command)` and their twins."""

    __slots__ = ()

    def output(self, command: Command, /) -> ProcessResult:
        """A primitive: run `command` and capture its text."""
        raise NotImplementedError

    async def aoutput(self, command: Command, /) -> ProcessResult:
        """Async twin of `output`."""
        raise NotImplementedError

    def output_bytes(self, command: Command, /) -> BytesResult:
        """A primitive: run `command` and capture the exact bytes of its stdout."""
        raise NotImplementedError

    async def aoutput_bytes(self, command: Command, /) -> BytesResult:
        """Async twin of `output_bytes`."""
        raise NotImplementedError

    def _captured(self, command: Command) -> ProcessResult:
        """`output` for a verb that does not want the text: stdout need not be piped."""
        return self.output(command)

    async def _acaptured(self, command: Command) -> ProcessResult:
        """Async twin of `_captured`."""
        return await self.aoutput(command)

    def run(self, command: Command, /) -> str:
        """Run `command` and return its stdout without trailing white space; raises as `Command.run` does."""
        return _On(self, command).run()

    async def arun(self, command: Command, /) -> str:
        """Async twin of `run`."""
        return await _On(self, command).arun()

    def exit_code(self, command: Command, /) -> int:
        """Run `command` and return its exit code, whatever it is; raises Signalled, Timeout or IdleTimeout where there is none."""
        return _On(self, command).exit_code()

    async def aexit_code(self, command: Command, /) -> int:
        """Async twin of `exit_code`."""
        return await _On(self, command).aexit_code()

    def probe(self, command: Command, /) -> bool:
        """Run `command`: True for exit code 0, False for 1; NonZeroExit for any other code; else as `exit_code`."""
        return _On(self, command).probe()

    async def aprobe(self, command: Command, /) -> bool:
        """Async twin of `probe`."""
        return await _On(self, command).aprobe()


class _On(Verbs):
    """A command on a runner."""

    __slots__ = ("_command", "_runner")

    def __init__(self, runner: RunnerVerbs, command: Command) -> None:
        self._runner = runner
        self._command = command

    def output(self) -> ProcessResult:
        """Text, captured by the runner."""
        return self._runner.output(self._command)

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        return await self._runner.aoutput(self._command)

    def _captured(self) -> ProcessResult:
        return self._runner._captured(self._command)

    async def _acaptured(self) -> ProcessResult:
        return await self._runner._acaptured(self._command)

    def _retrying(self) -> Settings | None:
        settings = self._command._settings
        return None if settings.retry is None else settings


for _kind in (Verbs, RunnerVerbs):
    bounded_verbs(_kind)
