"""Run, contain and end child processes. Nothing that processkit starts outlives it, not even after `kill -9` of its owner.

    >>> import processkit
    >>> processkit.Command("git", ["--version"]).run().startswith("git version")
    True

Names are imported when they are first used, so that `import processkit` costs next to nothing.
"""

from __future__ import annotations

from ._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._command import Command
    from ._detached import DetachedChild
    from ._errors import (
        Cancelled,
        IdleTimeout,
        InvalidJson,
        NonZeroExit,
        OutputTooLarge,
        PermissionDenied,
        ProcessError,
        ProcessNotFound,
        ResourceLimit,
        Signalled,
        Timeout,
        Unsupported,
        WaitTimeout,
    )
    from ._group import ProcessGroup, ProcessGroupStats, ShutdownReport
    from ._inspect import HostContainment, MemberInfo, host_containment, process_info, process_is_alive, which
    from ._leash import leash_scope, run_guardian_if_invoked
    from ._log import enable_logging
    from ._result import BytesResult, Finished, Outcome, ProcessResult
    from ._runner import Runner
    from ._running import RunningProcess
    from ._simple import run
    from ._types import (
        Args,
        IoPriorityClass,
        LineTerminatorName,
        Priority,
        ProcessRunner,
        ReadableBuffer,
        RetryIf,
        RlimitResourceName,
        SignalName,
        StreamingRunner,
        StrPath,
    )
    from ._waiting import await_all, await_any, wait_all, wait_any

_HOMES = {
    "_command": "Command",
    "_detached": "DetachedChild",
    "_errors": "Cancelled IdleTimeout InvalidJson NonZeroExit OutputTooLarge PermissionDenied ProcessError ProcessNotFound "
    "ResourceLimit Signalled Timeout Unsupported WaitTimeout",
    "_group": "ProcessGroup ProcessGroupStats ShutdownReport",
    "_inspect": "HostContainment MemberInfo host_containment process_info process_is_alive which",
    "_leash": "leash_scope run_guardian_if_invoked",
    "_log": "enable_logging",
    "_result": "BytesResult Finished Outcome ProcessResult",
    "_runner": "Runner",
    "_running": "RunningProcess",
    "_simple": "run",
    "_types": "Args IoPriorityClass LineTerminatorName Priority ProcessRunner ReadableBuffer RetryIf RlimitResourceName "
    "SignalName StrPath StreamingRunner",
    "_waiting": "await_all await_any wait_all wait_any",
}
_home_of = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [  # noqa: PLE0604, RUF022  (sorted below, as a test demands)
    *sorted([*_home_of, "__version__"])
]


def __getattr__(name: str) -> object:
    try:
        home = _home_of[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    from importlib import import_module

    value = getattr(import_module("." + home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
