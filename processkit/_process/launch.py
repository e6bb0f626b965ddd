"""From settings to a running process: in a private tree, in a group, on the leash; on this thread or beside a loop."""

from __future__ import annotations

import time

from .._base.errors import cancelled, failure, require_loop, unsupported
from .._base.log import DEBUG, WARNING, listener, listens, log
from .._base.outcome import outcome_of
from .._base.result import ProcessResult
from .._os import leash_container, private_container
from .._os.terms import PIPE, PIPE_HOLDS, Data, Plan, guardian_given_up
from .._plan.plan import make_plan
from .._plan.refusals import translated  # not later: it must be there when no descriptor is left to import it
from .._plan.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    from .._base.result import BytesResult
    from .._core.encodings import DecoderFactory
    from .._os.port import Child, Container
    from .running import RunningProcess

    P = TypeVar("P", bound=RunningProcess)
    T = TypeVar("T")


SHORT_TIMEOUT = 0.05
_handle_type: type[RunningProcess] | None = None


def _tell_given_up(kind: str, follower: str) -> None:
    log(listener(None), WARNING, "guardian given up", kind=kind, next=follower)


guardian_given_up.append(_tell_given_up)


def own_container(settings: Settings, plan: Plan) -> Container:
    """Return a container for one process and its descendants."""
    try:
        return leash_container() if settings.leash else private_container()
    except NotImplementedError as error:
        raise unsupported("containment", str(error)) from error
    except OSError as error:
        raise translated(error, plan) from error


def may_linger(settings: Settings) -> bool:
    """Return whether the spawn may take some milliseconds, because no deadline is near."""
    timeout, idle = settings.timeout, settings.idle_timeout
    return (timeout is None or timeout >= SHORT_TIMEOUT) and (idle is None or idle >= SHORT_TIMEOUT)


def require_piped(settings: Settings) -> None:
    """Raises ProcessError for a command whose stdout was sent elsewhere."""
    if settings.stdout != PIPE:
        raise failure(f"{settings.program}: stdout is not piped, so it cannot be captured", settings.program)


def plan_unattended(settings: Settings) -> Plan:
    """Return a plan for a process that may never be waited for: input that does not fit into a pipe becomes a file."""
    plan = make_plan(settings).with_streams()  # a copy: others have the same plan
    plan.unattended = True
    data = settings.stdin_data
    if data is not None and len(data) > PIPE_HOLDS and settings.pty is None and not settings.keep_stdin_open:
        plan.stdin = Data(data)
    return plan


def spawn_in(container: Container, plan: Plan) -> Child:
    """Spawn `plan` inside; if that fails, the caller closes a container that the handle would have owned."""
    try:
        return container.spawn(plan)
    except Exception as error:
        raise translated(error, plan) from error


def start_in(container: Container, settings: Settings, plan: Plan, owns: bool) -> RunningProcess:
    """Spawn `plan` inside and return its handle. Until a caller has it, losing it ends the child."""
    started = time.monotonic()
    child: Child | None = None
    try:
        child = spawn_in(container, plan)
        return _handle_of(child, container, settings, plan, owns, started)
    except BaseException:
        give_up(container, child, owns)
        raise


def _handle_of(child: Child, container: Container, settings: Settings, plan: Plan, owns: bool, started: float) -> RunningProcess:
    global _handle_type
    if _handle_type is None:
        # Imported while the first child runs that does not end at once.
        from .running import RunningProcess

        _handle_type = RunningProcess
    return _handle_type(container, child, settings, plan, owns, started)


def give_up(container: Container, child: Child | None, owns: bool) -> None:
    """End a child whose handle is lost, whatever a signal handler raised, and close the container it would have owned."""
    try:
        if child is not None:
            child.end()
    finally:
        if owns:
            container.close()


def taken(start: Callable[[], P], take: Callable[[P], T]) -> T:
    """Return `take` of a new process that no one else holds; if anything is raised, the process has ended then."""
    process: P | None = None
    try:
        process = start()
        return take(process)
    except BaseException:
        if process is not None:
            process._close()
        raise


def capture_in(container: Container, settings: Settings, plan: Plan, owns: bool) -> ProcessResult:
    """Run `plan` inside and capture its text."""
    started = time.monotonic()
    child: Child | None = None
    try:
        child = spawn_in(container, plan)
        if child.events_at_end is not None and settings.keeps_all and not listens(settings.logger, DEBUG):
            result = _taken_at_once(container, child, settings, plan, owns, started)
            if result is not None:
                return result
        return _handle_of(child, container, settings, plan, owns, started)._capture()
    except BaseException:
        give_up(container, child, owns)
        raise


def _taken_at_once(
    container: Container, child: Child, settings: Settings, plan: Plan, owns: bool, started: float
) -> ProcessResult | None:
    """Return the result of a child that the spawn saw end, if nothing is left to wait for; else None. No Run is needed then."""
    try:
        left = child.left_at_end()
        if left is None:
            return None
        # Before the reap: a process group needs its leader's number until all of it is dead.
        if owns:
            container.close()
        child.reap()
    except BaseException as error:
        # The tree is not killed: once the container is closed, it may be another run's.
        if owns:
            container.close()
        child.reap()
        if isinstance(error, OSError):
            raise failure(f"{plan.program}: waiting for it failed: {error}", plan.program) from error
        raise
    if settings.token is not None and settings.token.is_cancelled():
        raise cancelled(plan.program)
    return ProcessResult(
        program=plan.program,
        stdout=_text(left[0], settings.stdout_decoder, settings.stdout_cr),
        stderr=_text(left[1], settings.stderr_decoder, settings.stderr_cr),
        outcome=outcome_of(child.status(), False),
        timeout=settings.timeout,
        success_codes=settings.success_codes,
        duration_seconds=time.monotonic() - started,
        truncated=False,
        pid=child.pid,
        args=(settings.program, *settings.args),
        mechanism=container.mechanism,
        leaked=0,
    )


def _text(data: bytes, decoder: DecoderFactory | None, lone_cr: bool) -> str:
    if not data:
        return ""
    from .._core.capture import whole_text

    return whole_text(data, decoder, lone_cr)


def start(settings: Settings) -> RunningProcess:
    """Start in a tree of its own; from now on it is fed and its deadline is kept."""
    plan = plan_unattended(settings)
    process = start_in(own_container(settings, plan), settings, plan, owns=True)
    process._leave_unattended()
    return process


def one_shot(settings: Settings, need_stdout: bool) -> ProcessResult:
    """Start, wait, capture text."""
    if need_stdout:
        require_piped(settings)
    plan = make_plan(settings, may_linger(settings))
    return capture_in(own_container(settings, plan), settings, plan, owns=True)


def one_shot_bytes(settings: Settings) -> BytesResult:
    """Start, wait, capture bytes."""
    require_piped(settings)
    plan = make_plan(settings, may_linger(settings))
    return taken(
        lambda: start_in(own_container(settings, plan), settings, plan, owns=True), lambda process: process.output_bytes()
    )


async def astart_private(settings: Settings, plan: Plan | None = None) -> RunningProcess:
    """Spawn in a tree of its own beside a running loop; the handle is not yet fed, and its deadline is not yet kept."""
    require_loop(settings.program)
    chosen = make_plan(settings) if plan is None else plan
    from .._drive.spawner import beside_the_loop

    def spawn() -> RunningProcess:
        return start_in(own_container(settings, chosen), settings, chosen, owns=True)

    return await beside_the_loop(settings.program, spawn)


async def astart(settings: Settings) -> RunningProcess:
    """`start` beside a running loop."""
    require_loop(settings.program)
    process = await astart_private(settings, plan_unattended(settings))
    process._leave_unattended()
    return process


async def aone_shot(settings: Settings, need_stdout: bool) -> ProcessResult:
    """`one_shot` beside a running loop."""
    if need_stdout:
        require_piped(settings)
    return await (await astart_private(settings))._acapture()


async def aone_shot_bytes(settings: Settings) -> BytesResult:
    """`one_shot_bytes` beside a running loop."""
    require_piped(settings)
    return await (await astart_private(settings)).aoutput_bytes()
