"""Run, contain and end child processes. What processkit starts does not outlive its owner, even if that is killed by `kill -9`.

    >>> import processkit
    >>> processkit.Command("git", ["--version"]).run().startswith("git version")
    True

Names are imported when they are first used, so that `import processkit` costs next to nothing.
"""

from __future__ import annotations

import os as _os_module

# Names are imported later, perhaps from another working directory, and the guardian is started with this path.
__path__ = [_os_module.path.abspath(place) for place in __path__]
del _os_module

from ._base import importing as _importing  # noqa: E402, F401

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._base.errors import Cancelled as Cancelled
    from ._base.errors import ExitStatusLost as ExitStatusLost
    from ._base.errors import IdleTimeout as IdleTimeout
    from ._base.errors import InvalidJson as InvalidJson
    from ._base.errors import NonZeroExit as NonZeroExit
    from ._base.errors import NotReady as NotReady
    from ._base.errors import OutputTooLarge as OutputTooLarge
    from ._base.errors import PermissionDenied as PermissionDenied
    from ._base.errors import ProcessError as ProcessError
    from ._base.errors import ProcessNotFound as ProcessNotFound
    from ._base.errors import ResourceLimit as ResourceLimit
    from ._base.errors import Signalled as Signalled
    from ._base.errors import Timeout as Timeout
    from ._base.errors import Unsupported as Unsupported
    from ._base.errors import WaitTimeout as WaitTimeout
    from ._base.log import enable_logging as enable_logging
    from ._base.outcome import Outcome as Outcome
    from ._base.result import BytesResult as BytesResult
    from ._base.result import Finished as Finished
    from ._base.result import ProcessResult as ProcessResult
    from ._base.types import Args as Args
    from ._base.types import IoPriorityClass as IoPriorityClass
    from ._base.types import LineTerminatorName as LineTerminatorName
    from ._base.types import Priority as Priority
    from ._base.types import ReadableBuffer as ReadableBuffer
    from ._base.types import RetryIf as RetryIf
    from ._base.types import RlimitResourceName as RlimitResourceName
    from ._base.types import SignalName as SignalName
    from ._base.types import StrPath as StrPath
    from ._command.batch import aoutput_all as aoutput_all
    from ._command.batch import aoutput_all_bytes as aoutput_all_bytes
    from ._command.batch import aoutput_as_completed as aoutput_as_completed
    from ._command.batch import aoutput_as_completed_bytes as aoutput_as_completed_bytes
    from ._command.batch import output_all as output_all
    from ._command.batch import output_all_bytes as output_all_bytes
    from ._command.batch import output_as_completed as output_as_completed
    from ._command.command import Command as Command
    from ._command.protocols import ProcessRunner as ProcessRunner
    from ._command.protocols import StreamingRunner as StreamingRunner
    from ._command.runner import Runner as Runner
    from ._command.simple import run as run
    from ._group.group import ProcessGroup as ProcessGroup
    from ._group.limits import ProcessGroupStats as ProcessGroupStats
    from ._group.sampling import sample_stats as sample_stats
    from ._group.stop import ShutdownReport as ShutdownReport
    from ._host.host import HostContainment as HostContainment
    from ._host.host import MemberInfo as MemberInfo
    from ._host.host import host_containment as host_containment
    from ._host.host import process_info as process_info
    from ._host.host import process_is_alive as process_is_alive
    from ._host.host import which as which
    from ._host.leash import leash_scope as leash_scope
    from ._host.leash import run_guardian_if_invoked as run_guardian_if_invoked
    from ._host.readiness import wait_for_http as wait_for_http
    from ._host.readiness import wait_for_line as wait_for_line
    from ._host.readiness import wait_for_named_pipe as wait_for_named_pipe
    from ._host.readiness import wait_for_path as wait_for_path
    from ._host.readiness import wait_for_port as wait_for_port
    from ._host.readiness import wait_for_unix_socket as wait_for_unix_socket
    from ._host.readiness import wait_until as wait_until
    from ._pipeline.pipeline import Pipeline as Pipeline
    from ._pipeline.pipelined import RunningPipeline as RunningPipeline
    from ._plan.cancel import CancellationToken as CancellationToken
    from ._plan.retry import is_transient as is_transient
    from ._process.detached import DetachedChild as DetachedChild
    from ._process.profile import RunProfile as RunProfile
    from ._process.running import RunningProcess as RunningProcess
    from ._process.several import await_all as await_all
    from ._process.several import await_any as await_any
    from ._process.several import wait_all as wait_all
    from ._process.several import wait_any as wait_any
    from ._process.stdin import ProcessStdin as ProcessStdin
    from ._process.streams import JsonLines as JsonLines
    from ._process.streams import LifecycleEvent as LifecycleEvent
    from ._process.streams import LifecycleEvents as LifecycleEvents
    from ._process.streams import OutputEvent as OutputEvent
    from ._process.streams import OutputEvents as OutputEvents
    from ._process.streams import StderrLines as StderrLines
    from ._process.streams import StdoutLines as StdoutLines
    from ._version import __version__ as __version__

_HOMES = {
    "_command.batch": "aoutput_all aoutput_all_bytes aoutput_as_completed aoutput_as_completed_bytes output_all output_all_bytes "
    "output_as_completed",
    "_plan.cancel": "CancellationToken",
    "_command.command": "Command",
    "_process.detached": "DetachedChild",
    "_base.errors": "Cancelled ExitStatusLost IdleTimeout InvalidJson NonZeroExit NotReady OutputTooLarge PermissionDenied ProcessError ProcessNotFound "
    "ResourceLimit Signalled Timeout Unsupported WaitTimeout",
    "_group.group": "ProcessGroup",
    "_group.limits": "ProcessGroupStats",
    "_group.stop": "ShutdownReport",
    "_host.host": "HostContainment MemberInfo host_containment process_info process_is_alive which",
    "_host.leash": "leash_scope run_guardian_if_invoked",
    "_base.log": "enable_logging",
    "_pipeline.pipeline": "Pipeline",
    "_pipeline.pipelined": "RunningPipeline",
    "_process.profile": "RunProfile",
    "_group.sampling": "sample_stats",
    "_host.readiness": "wait_for_http wait_for_line wait_for_named_pipe wait_for_path wait_for_port wait_for_unix_socket "
    "wait_until",
    "_base.outcome": "Outcome",
    "_base.result": "BytesResult Finished ProcessResult",
    "_plan.retry": "is_transient",
    "_command.protocols": "ProcessRunner StreamingRunner",
    "_command.runner": "Runner",
    "_process.running": "RunningProcess",
    "_command.simple": "run",
    "_process.stdin": "ProcessStdin",
    "_process.streams": "JsonLines LifecycleEvent LifecycleEvents OutputEvent OutputEvents StderrLines StdoutLines",
    "_base.types": "Args IoPriorityClass LineTerminatorName Priority ReadableBuffer RetryIf RlimitResourceName "
    "SignalName StrPath",
    "_version": "__version__",
    "_process.several": "await_all await_any wait_all wait_any",
}
_home_of = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [*sorted(_home_of)]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    try:
        home = _home_of[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    # As `from .home import name`; importlib would cost the import of warnings.
    value = getattr(__import__(home, globals(), None, (name,), 1), name)
    if type(value) is type(__getattr__):
        value.__module__ = __name__  # so that a traceback and a repr show the public name
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
