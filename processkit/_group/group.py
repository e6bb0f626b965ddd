"""`ProcessGroup`: processes that live in one container and end as one."""

from __future__ import annotations

import os

from .._base import PUBLIC, validate
from .._base.boundary import bounded_verbs
from .._base.errors import ProcessError, require_loop, unsupported
from .._base.log import DEBUG, listener, listens, log, warn_left_open
from .._core.unraisable import first_error, insist
from .._os import SIGKILL, group_container, identify
from .._os.errors import Refused
from .._os.lock import Lock
from .._plan.plan import make_plan
from .._process.launch import capture_in, may_linger, plan_unattended, require_piped, start_in, taken
from .._process.verbs import RunnerVerbs
from .stop import LAST_LOOK, ShutdownReport, Stop  # not later: it must be there when no descriptor is left to import it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, TypeVar

    from .._base.result import BytesResult, ProcessResult
    from .._command.command import Command
    from .._host.host import MemberInfo
    from .._os.port import GroupContainer
    from .._os.terms import Plan
    from .._plan.settings import Settings
    from .._process.running import RunningProcess
    from .limits import ProcessGroupStats

    T = TypeVar("T")

DEFAULT_GRACE = 2.0


class ProcessGroup(RunnerVerbs):
    """A container for processes. Leaving its `with` block, dropping it, exiting or dying ends everything in it.

    `max_memory` (bytes), `max_processes` and `cpu_quota` (cores) cap the whole tree. This version refuses every cap with
    ResourceLimit; no cap is ever dropped in silence.
    `shutdown_grace`: seconds between asking and killing when the group is left (default 2.0; 0 or more).
    `escalate_to_kill`: kill the rest after that (default True); False leaves it alive, also when the group is dropped.
    `survive_owner`: let the members outlive this process and a dropped group (default False).
    `logger`: a `logging.Logger` for the group and for commands without one of their own (default: the one named `processkit`).

    Raises Unsupported where the system has no containment. Once the group is closed, everything but `shutdown` and the end of its
    `with` block raises ProcessError. A command with `leash` is Unsupported here.
    """

    __module__ = PUBLIC
    __slots__ = (
        "__weakref__",
        "_closed",
        "_closing",
        "_container",
        "_escalate",
        "_grace",
        "_lock",
        "_logger",
        "_owner",
        "_survive_owner",
    )

    def __init__(
        self,
        *,
        max_memory: int | None = None,
        max_processes: int | None = None,
        cpu_quota: float | None = None,
        shutdown_grace: float | None = None,
        escalate_to_kill: bool | None = None,
        survive_owner: bool = False,
        logger: Any = None,
    ) -> None:
        self._closed = True
        self._owner = os.getpid()
        self._grace = DEFAULT_GRACE if shutdown_grace is None else validate.non_negative(shutdown_grace, "shutdown_grace")
        self._escalate = True if escalate_to_kill is None else bool(escalate_to_kill)
        self._logger = logger
        self._survive_owner = bool(survive_owner)
        self._lock = Lock()
        _check_limits(max_memory, max_processes, cpu_quota)
        try:
            self._container: GroupContainer = group_container(self._survive_owner)
        except NotImplementedError as error:
            raise unsupported("ProcessGroup", str(error)) from error
        except OSError as error:
            raise ProcessError(f"ProcessGroup: no group can be made: {error}") from error
        self._closed = self._closing = False

    # State.

    @property
    def mechanism(self) -> str:
        """The mechanism that holds the members: `cgroup_v2`, `process_group` or `job_object`."""
        return self._open().mechanism

    @property
    def soft_stop_scope(self) -> str:
        """The members that a graceful stop asks: `whole_tree`; on Windows `opt_in_members`, by `windows_graceful_ctrl_break`."""
        return self._open().soft_stop_scope

    def __repr__(self) -> str:
        return f"ProcessGroup({'closed' if self._closed else 'open'})"

    def __reduce__(self) -> str:
        raise TypeError("a ProcessGroup cannot be pickled")

    def _open(self) -> GroupContainer:
        if os.getpid() != self._owner:
            raise ProcessError("this group belongs to the process that this one was forked from")
        if self._closed or self._closing:
            raise ProcessError("the group is already closed")
        return self._container

    # Runner verbs: the process is a member of this group.

    def start(self, command: Command, /) -> RunningProcess:
        """Start a member and return its handle, which does not own the group; dropping it does not end the member.

        Raises the errors of `Command.start`.
        """
        process = self._start(command, plan_unattended)
        process._leave_unattended()
        return process

    def _start(self, command: Command, plan: Callable[[Settings], Plan] = make_plan) -> RunningProcess:
        return self._inside(command, lambda container, settings: start_in(container, settings, plan(settings), owns=False))

    def _inside(self, command: Command, act: Callable[[GroupContainer, Settings], T]) -> T:
        """Return what `act` makes of the command in our container."""
        settings = command._settings
        if settings.leash:
            raise unsupported("leash", "a leashed child belongs to no group")
        if settings.logger is None and self._logger is not None:
            settings = settings.replace(logger=self._logger)
        container = self._open()
        try:
            return act(container, settings)
        except ProcessError as error:
            if isinstance(error.__cause__, Refused):
                self._open()  # closed meanwhile
            raise

    async def astart(self, command: Command, /) -> RunningProcess:
        """Async twin of `start`."""
        process = await self._astart(command, plan_unattended)
        process._leave_unattended()
        return process

    async def _astart(self, command: Command, plan: Callable[[Settings], Plan] = make_plan) -> RunningProcess:
        require_loop(command.program)
        from .._drive.spawner import beside_the_loop

        return await beside_the_loop(command.program, lambda: self._start(command, plan))

    def output(self, command: Command, /) -> ProcessResult:
        """Run a member and return its text and outcome; raises the errors of `Command.output`.

        Processes that it leaves behind stay in the group.
        """
        require_piped(command._settings)
        return self._captured(command)

    def _captured(self, command: Command) -> ProcessResult:
        def capture(container: GroupContainer, settings: Settings) -> ProcessResult:
            return capture_in(container, settings, make_plan(settings, may_linger(settings)), owns=False)

        return self._inside(command, capture)

    async def aoutput(self, command: Command, /) -> ProcessResult:
        """Async twin of `output`."""
        require_piped(command._settings)
        return await self._acaptured(command)

    def output_bytes(self, command: Command, /) -> BytesResult:
        """As `output`, with the exact bytes of stdout; stderr is text."""
        require_piped(command._settings)
        return taken(lambda: self._start(command), lambda process: process.output_bytes())

    async def aoutput_bytes(self, command: Command, /) -> BytesResult:
        """Async twin of `output_bytes`."""
        require_piped(command._settings)
        return await (await self._astart(command)).aoutput_bytes()

    async def _acaptured(self, command: Command) -> ProcessResult:
        return await (await self._astart(command))._acapture()

    # The whole tree.

    def members(self) -> list[int]:
        """Return the pids of the live members, descendants included. ProcessError where nobody can tell."""
        return self._seen(self._open().tree.members)

    @staticmethod
    def _seen(look: Callable[[], T]) -> T:
        try:
            return look()
        except OSError as error:
            raise ProcessError(f"the members of the group cannot be seen: {error}") from error

    def members_info(self) -> list[MemberInfo]:
        """Return a MemberInfo for each live member; those that end meanwhile are left out."""
        from .._host.host import process_info

        return [info for info in map(process_info, self.members()) if info is not None]

    def adopt_external(self, pid: int) -> None:
        """Take in a process that was started elsewhere; it is listed, signalled and ended with the group, but never reaped.

        ProcessError if there is no such process, if it is this one, or if the system refuses; OverflowError beyond 32 bits.
        """
        number = validate.unsigned(pid, "pid")
        container = self._open()
        if number in (0, os.getpid()):
            raise ProcessError(f"pid {number} cannot be adopted")
        if identify(number) is None:
            raise ProcessError(f"there is no process {number}")
        try:
            container.adopt(number)
        except ProcessLookupError:
            raise ProcessError(f"there is no process {number}") from None
        except OSError as error:
            raise ProcessError(f"process {number} cannot be adopted: {error}") from error

    def signal(self, name: str | int) -> None:
        """Send a signal, by name or by number from 1 to 64, to the whole tree. The group stays usable.

        Names: term, kill, int, hup, quit, usr1, usr2. ValueError for any other, TypeError for a bool; Unsupported on Windows for
        all but `kill`.
        """
        from .._plan.signals import signal_number

        number = signal_number(name)
        tree = self._open().tree
        if number == SIGKILL:
            self._container.slay()  # which also ends a suspended group
            return
        try:
            tree.send(number)
        except NotImplementedError as error:
            raise unsupported("signal", str(error)) from error

    def suspend(self) -> None:
        """Stop every member from running; until `resume` a start raises ProcessError. Idempotent. May raise Unsupported."""
        try:
            self._open().freeze()
        except NotImplementedError as error:
            raise unsupported("suspend", str(error)) from error
        except Refused as error:
            raise ProcessError(f"suspend: {error}") from error

    def resume(self) -> None:
        """Let every member run again after `suspend`. Idempotent."""
        self._open().thaw()

    def kill_all(self) -> None:
        """Kill every member at once, and wait a moment until they are gone; the group stays usable.

        ProcessError names those that could not be killed: they have become another user's.
        """
        container = self._open()
        log(listener(self._logger), DEBUG, "group kill", mechanism=container.mechanism)
        container.slay()
        left = container.tree.unkillable()
        if left:
            from .._process.telling import name_left

            raise ProcessError(f"members could not be killed, and live on: {name_left(left)}")

    def stats(self) -> ProcessGroupStats:
        """Return what the group has used so far."""
        from .limits import ProcessGroupStats

        usage = self._seen(self._open().usage)
        return ProcessGroupStats(
            usage.processes, usage.peak_memory, usage.cpu_seconds, usage.io_read, usage.io_written, usage.peak_processes
        )

    def update_limits(
        self, *, max_memory: int | None = None, max_processes: int | None = None, cpu_quota: float | None = None
    ) -> None:
        """Replace all caps, in the units of the constructor. This version refuses every cap with ResourceLimit."""
        self._open()
        _check_limits(max_memory, max_processes, cpu_quota)

    # The end.

    def stop(self, grace_seconds: float, *, escalate: bool = True) -> ShutdownReport:
        """Ask the tree to end (SIGTERM), wait up to `grace_seconds`, then kill the rest if `escalate`. The group stays open.

        ValueError for negative seconds. On Windows only members with `windows_graceful_ctrl_break` are asked and waited for.
        """
        grace = validate.non_negative(grace_seconds, "grace_seconds")
        return self._stopped(Stop(self._open(), grace, escalate, self._logger))

    @staticmethod
    def _stopped(stop: Stop) -> ShutdownReport:
        pause = stop.begin()
        while pause is not None:
            stop.wait(pause)
            pause = stop.look()
        return stop.end()

    async def astop(self, grace_seconds: float, *, escalate: bool = True) -> ShutdownReport:
        """Async twin of `stop`; when the task is cancelled, the tree is killed at once if `escalate`."""
        grace = validate.non_negative(grace_seconds, "grace_seconds")
        require_loop("ProcessGroup")
        return await self._astopped(Stop(self._open(), grace, escalate, self._logger), escalate)

    @staticmethod
    async def _astopped(stop: Stop, escalate: bool) -> ShutdownReport:
        import asyncio

        pause = stop.begin()
        try:
            while pause is not None:
                await asyncio.sleep(min(pause, LAST_LOOK))
                pause = stop.look()
        except asyncio.CancelledError:
            if escalate:
                stop.container.slay()
            raise
        return stop.end()

    def shutdown(self) -> None:
        """Stop with the group's own grace and escalation, then close it. Idempotent."""
        if self._closed or os.getpid() != self._owner:
            return
        try:
            self._container.seal()
            if self._is_worth_a_stop():
                # The container itself: the group may be closed meanwhile, by another thread or by a signal handler.
                self._stopped(Stop(self._container, self._grace, self._escalate, self._logger))
        except BaseException:
            first_error(lambda: insist(self._close))  # wherever it was interrupted; that must not be hidden
            raise
        self._close()

    async def ashutdown(self) -> None:
        """Async twin of `shutdown`; when the task is cancelled, the tree is killed at once unless `escalate_to_kill` is False."""
        if self._closed or os.getpid() != self._owner:
            return
        require_loop("ProcessGroup")
        self._container.seal()
        try:
            if self._is_worth_a_stop():
                await self._astopped(Stop(self._container, self._grace, self._escalate, self._logger), self._escalate)
        finally:
            self._close()

    def _is_worth_a_stop(self) -> bool:
        """Whether a stop would do or tell anything."""
        return listens(self._logger, DEBUG) or not self._container.tree.empty()

    def _close(self) -> None:
        """Close the container. One thread at a time; another one waits until it is done. An interrupted close is taken up again."""
        if os.getpid() != self._owner:
            return  # nor is the lock to be trusted there
        with self._lock:
            if self._closed or self._closing:
                return  # in the second case a signal handler closes what its thread is closing: that goes on afterwards
            try:
                self._closing = True
                self._container.close(leave=self._survive_owner or not self._escalate)
                for tell in self._container.when_closed:
                    tell()
                self._closed = True
            finally:
                self._closing = False
        left = self._container.tree.unkillable()
        if left and self._escalate and not self._survive_owner:
            from .._process.telling import tell_left

            tell_left(self._logger, "ProcessGroup", left)

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()

    async def __aenter__(self) -> ProcessGroup:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.ashutdown()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and os.getpid() == self._owner:
            said = f"{self!r} was dropped while it was open; it is killed"
            insist(self._close)
            warn_left_open(said, self)


def _check_limits(*caps: float | None) -> None:
    if any(cap is not None for cap in caps):
        from .limits import check_limits

        check_limits(*caps)


bounded_verbs(ProcessGroup)
