"""`Pipeline`: commands in a chain, each reading the stdout of the one before through a pipe of the system. api.md §15"""

from __future__ import annotations

import time
from functools import partial

from .._base import PUBLIC
from .._base.boundary import bounded_verbs
from .._base.errors import failure, require_loop, unsupported
from .._base.validate import positive
from .._core.unraisable import first_error
from .._os import close_end, pipe_between, refused
from .._os.terms import PIPE, Handed
from .._plan.plan import make_plan
from .._plan.settings import Settings
from .._process.launch import SHORT_TIMEOUT, give_up, may_linger, own_container, plan_unattended, spawn_in, taken
from .._process.running import RunningProcess
from .._process.verbs import Verbs
from .pipelined import RunningPipeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._base.result import BytesResult, ProcessResult
    from .._command.command import Command
    from .._os.port import Child, Container
    from .._os.terms import Plan
    from .._plan.cancel import CancellationToken

LINGER = 0.005
# Settings that a stage which reads its predecessor ignores.
_NO_STDIN = {"stdin_data": None, "stdin_file": None, "stdin_source": None, "keep_stdin_open": False, "inherit_stdin": False}
#: Settings of a stage that a chain ignores.
_NOT_A_STAGES = {"idle_timeout": None, "retry": None}


class Pipeline(Verbs):
    """Commands in a chain, made by `a | b`. Immutable; every stage has a contained tree of its own, and none outlives a verb.

    The first stage that fails and is not `unchecked_in_pipe` decides code, signal, stderr and program of the result, else the
    last stage does; stdout is that of the last stage. When one fails, the others get 0.2 s to end by themselves. A stage's own
    `timeout` bounds the chain; its `idle_timeout` and `retry` are ignored, and so is stdin of all but the first.
    """

    __module__ = PUBLIC
    __slots__ = ("_logger", "_prepared", "_stages", "_timeout", "_token")

    def __init__(self, stages: tuple[Settings, ...]) -> None:
        self._stages = stages
        self._timeout: float | None = None
        self._token: CancellationToken | None = None
        self._logger: Any = None
        # The settings of each stage in this chain, made when they are first needed.
        self._prepared: list[Settings] | None = None

    def _with(self, **changes: Any) -> Pipeline:
        copy = Pipeline(changes.pop("stages", self._stages))
        for name in ("_timeout", "_token", "_logger"):
            setattr(copy, name, changes.get(name, getattr(self, name)))
        return copy

    def __repr__(self) -> str:
        return f"<Pipeline of {len(self._stages)} stages, timeout={self._timeout}>"

    def __reduce__(self) -> str:
        raise TypeError("a Pipeline cannot be pickled")

    def pipe(self, other: Command) -> Pipeline:
        """Return the chain with one more stage; also written `chain | other`. TypeError unless `other` is a Command."""
        return self._with(stages=(*self._stages, check_stage(other)))

    def __or__(self, other: Command) -> Pipeline:
        return self.pipe(other)

    def timeout(self, seconds: float) -> Pipeline:
        """End every stage `seconds` after the launch (default: never); ValueError unless above 0 and finite.

        `run`, `exit_code` and `probe` then raise Timeout; a result says `timed_out` and names all stages as its program.
        """
        return self._with(_timeout=positive(seconds, "timeout"))

    def cancel_on(self, token: CancellationToken) -> Pipeline:
        """Kill the chain and raise Cancelled when `token` is cancelled; stages with a token of their own keep that one."""
        from .._plan.cancel import checked

        return self._with(_token=checked(token))

    def logger(self, logger: Any) -> Pipeline:
        """Send the log records of stages without a logger of their own to this `logging.Logger`."""
        return self._with(_logger=logger)

    # Verbs.

    def start(self) -> RunningPipeline:
        """Start all stages and return a handle that streams, captures and ends them as one.

        Raises the errors of `Command.start` for any stage; then no stage is alive. A `pty` before the last stage is Unsupported.
        """
        plans = self._plans(unattended=True)
        process = self._start(plans)
        process._leave_unattended()
        return process

    async def astart(self) -> RunningPipeline:
        """Async twin of `start`; the event loop is not blocked while the processes are being made."""
        process = await self._astart(unattended=True)
        process._leave_unattended()
        return process

    def output(self) -> ProcessResult:
        """Run the chain and return the last stage's text and the outcome of the stage that decides. Nothing of any stage is left.

        Raises the errors of `Command.output`; ProcessError if the last stdout is not piped.
        """
        self._require_piped()
        return self._captured()

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        self._require_piped()
        return await self._acaptured()

    def output_bytes(self) -> BytesResult:
        """As `output`, with the exact bytes of the last stage's stdout; stderr is text."""
        self._require_piped()
        return taken(lambda: self._start(self._plans()), RunningPipeline.output_bytes)

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        self._require_piped()
        return await (await self._astart()).aoutput_bytes()

    async def _acaptured(self) -> ProcessResult:
        return await (await self._astart())._acapture()

    # How they start.

    def _require_piped(self) -> None:
        last = self._stages[-1]
        if last.stdout != PIPE:
            raise failure(f"{last.program}: stdout of the last stage is not piped, so it cannot be captured", last.program)

    def _settings(self) -> list[Settings]:
        """Return the settings of each stage in this chain."""
        if self._prepared is None:
            self._prepared = self._prepare()
        return self._prepared

    def _prepare(self) -> list[Settings]:
        found = []
        for index, settings in enumerate(self._stages):
            changes: dict[str, Any] = {name: value for name, value in _NOT_A_STAGES.items() if name in settings.__dict__}
            if index:
                changes.update((name, value) for name, value in _NO_STDIN.items() if name in settings.__dict__)
            if index < len(self._stages) - 1:
                if settings.pty is not None:
                    raise unsupported("pty", "only the last stage of a pipeline can have a terminal")
                if settings.stdout != PIPE:
                    changes["stdout"] = PIPE
            if self._token is not None and settings.token is None:
                changes["token"] = self._token
            if self._logger is not None and settings.logger is None:
                changes["logger"] = self._logger
            found.append(settings.replace(**changes) if changes else settings)
        return found

    def _plans(self, unattended: bool = False) -> list[tuple[Settings, Plan]]:
        """Return settings and plan of each stage; every user error is raised here, before anything is owned."""
        stages = self._settings()
        first = plan_unattended(stages[0]) if unattended else make_plan(stages[0])
        plans = [first, *(make_plan(settings) for settings in stages[1:])]
        if plans[-1].pty is not None:
            operation = refused(plans[-1].with_streams(stdin=Handed(-1)))
            if operation is not None:
                raise unsupported(operation, "this system has no such thing")
        return [*zip(stages, plans)]

    def _captured(self) -> ProcessResult:
        plans = self._plans()
        # A short chain that ends within some milliseconds needs no session; not waited for when a deadline is near.
        lingers = all(may_linger(settings) for settings, _ in plans) and (self._timeout is None or self._timeout >= SHORT_TIMEOUT)

        def take(process: RunningPipeline) -> ProcessResult:
            """Return the result, perhaps without a session."""
            if lingers:
                process._child.linger(LINGER)
            return process._capture()

        return taken(lambda: self._start(plans), take)

    def _start(self, plans: list[tuple[Settings, Plan]]) -> RunningPipeline:
        started = time.monotonic()
        spawned: list[tuple[Container, Child, Settings, Plan]] = []
        container: Container | None = None
        ends: list[int] = []  # our copies of the pipes' ends, until the stages on both sides have theirs
        try:
            for index, (settings, plan) in enumerate(plans):
                streams = {} if not index else {"stdin": Handed(ends[0])}
                if index < len(plans) - 1:
                    ends += pipe_between()
                    streams["stdout"] = Handed(ends[-1])
                    if settings.merged:
                        streams["stderr"] = Handed(ends[-1])
                staged = plan.with_streams(**streams)
                container = own_container(settings, staged)
                spawned.append((container, spawn_in(container, staged), settings, staged))
                if index:
                    close_end(ends.pop(0))
                if index < len(plans) - 1:
                    close_end(ends.pop())
            # The handles last, so that no stage waits while those of the others are made.
            before = [RunningProcess(*one, True, started) for one in spawned[:-1]]
            last = RunningPipeline(*spawned[-1], True, started)
            last._join(before, self._timeout, started)
        except BaseException:
            first_error(
                *(partial(close_end, end) for end in ends),
                *(partial(give_up, owner, child, True) for owner, child, _, _ in spawned),
                *([container.close] if container is not None else []),  # its child was not started
            )
            raise
        return last

    async def _astart(self, unattended: bool = False) -> RunningPipeline:
        program = self._stages[0].program
        require_loop(program)
        plans = self._plans(unattended)
        from .._drive.spawner import beside_the_loop

        process = await beside_the_loop(program, lambda: self._start(plans))
        assert isinstance(process, RunningPipeline)
        return process


def check_stage(other: object) -> Settings:
    """The settings of a Command; TypeError for anything else."""
    settings = getattr(other, "_settings", None)
    if not isinstance(settings, Settings):
        raise TypeError(f"a stage must be a Command, not {type(other).__name__}")
    return settings


bounded_verbs(Pipeline)
