"""From settings to a running process: in a private tree, in a group, on the leash; on this thread or beside a loop."""

from __future__ import annotations

from ._errors import failure, unsupported
from ._os import leash_container, private_container
from ._os.port import PIPE, Data, Plan
from ._planning import make_plan, translated
from ._running import RunningProcess, capture_in, start_in
from ._settings import Settings
from ._verbs import require_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._os.port import Container
    from ._result import BytesResult, ProcessResult


# pipe(7): what a pipe takes without a reader, on every system that has one.
PIPE_HOLDS = 65536
SHORT_TIMEOUT = 0.05


def _own_container(settings: Settings, plan: Plan) -> Container:
    try:
        return leash_container() if settings.leash else private_container()
    except NotImplementedError as error:
        raise unsupported("containment", str(error)) from error
    except OSError as error:
        raise translated(error, plan) from error


def _may_linger(settings: Settings) -> bool:
    """Whether the spawn may take some milliseconds: no deadline is so near that it would be noticed late."""
    return all(limit is None or limit >= SHORT_TIMEOUT for limit in (settings.timeout, settings.idle_timeout))


def _require_piped(settings: Settings) -> None:
    if settings.stdout != PIPE:
        raise failure(f"{settings.program}: stdout is not piped, so it cannot be captured", settings.program)


def plan_unattended(settings: Settings) -> Plan:
    """A plan for a process that nobody may wait for: what a pipe does not hold of its input becomes a file."""
    plan = make_plan(settings)
    if settings.stdin_data is not None and len(settings.stdin_data) > PIPE_HOLDS:
        plan.stdin = Data(settings.stdin_data)
    return plan


def start(settings: Settings) -> RunningProcess:
    """Start in a tree of its own; it is fed and its deadline is kept from now on."""
    plan = plan_unattended(settings)
    process = start_in(_own_container(settings, plan), settings, plan, owns=True)
    process._leave_unattended()
    return process


def one_shot(settings: Settings, need_stdout: bool) -> ProcessResult:
    """Start, wait, capture text."""
    if need_stdout:
        _require_piped(settings)
    plan = make_plan(settings, _may_linger(settings))
    return capture_in(_own_container(settings, plan), settings, plan)


def one_shot_bytes(settings: Settings) -> BytesResult:
    """Start, wait, capture bytes."""
    _require_piped(settings)
    plan = make_plan(settings, _may_linger(settings))
    return start_in(_own_container(settings, plan), settings, plan, owns=True).output_bytes()


async def astart_private(settings: Settings, plan: Plan | None = None) -> RunningProcess:
    """`start_private` beside a running loop."""
    require_loop(settings.program)
    chosen = make_plan(settings) if plan is None else plan
    from ._drive.spawner import beside_the_loop

    def spawn() -> RunningProcess:
        return start_in(_own_container(settings, chosen), settings, chosen, owns=True)

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
        _require_piped(settings)
    return await (await astart_private(settings))._acapture()


async def aone_shot_bytes(settings: Settings) -> BytesResult:
    """`one_shot_bytes` beside a running loop."""
    _require_piped(settings)
    return await (await astart_private(settings)).aoutput_bytes()
