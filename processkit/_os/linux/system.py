"""Linux: which mechanism this process uses, and what it holds for life: one home or one guardian, one leash thread."""

from __future__ import annotations

import _thread
import atexit
import os
import sys

from ..forking import after_fork_in_child
from ..posix.descriptors import fill_standard, forget_null
from ..posix.reserve import forget_reserve, keep_reserve
from ..unreaped import reap_ended
from .guardian import Guardian, kind
from .home import why_unusable
from .launch import after_fork as launching_after_fork
from .launch import predicted_name

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..port import Container, GroupContainer, Plan
    from .cgroup import Home
    from .identity import Identity

_lock = _thread.RLock()
_home: Home | None = None
_guardian: Guardian | None = None
_hooked = False
#: Set by tests and by PROCESSKIT_MECHANISM: the one mechanism to use.
forced_mechanism: str | None = None


def mechanism() -> str:
    """What contains children here: `cgroup_v2` or `process_group`. Starts nothing."""
    if _home is not None:
        return "cgroup_v2"
    if _guardian is not None:
        return "process_group"
    return "process_group" if _base() is None else "cgroup_v2"


def _base() -> str | None:
    """Where cgroup_v2 can make its home, None for process_group."""
    wanted = forced_mechanism or os.environ.get("PROCESSKIT_MECHANISM")
    if wanted == "process_group":
        return None
    if wanted not in (None, "", "cgroup_v2"):
        raise ValueError(f"PROCESSKIT_MECHANISM must be cgroup_v2 or process_group, not {wanted!r}")
    base, reason = why_unusable()
    if base is None and wanted == "cgroup_v2":
        raise NotImplementedError(f"cgroup_v2 was asked for, but {reason}")
    return base


def _hold() -> None:
    """Make what this process holds for life, once."""
    global _home, _guardian, _hooked
    with _lock:
        if _home is not None or _guardian is not None:
            return
        if not _hooked:
            after_fork_in_child(_forget)
            atexit.register(_release)
            _hooked = True
        fill_standard()
        base = _base()
        if base is None:
            _guardian = Guardian("")
        else:
            from .cgroup import Home

            _home = Home(base)


def private_container() -> Container:
    """A container for one run."""
    reap_ended()
    if _home is None and _guardian is None:
        _hold()
    keep_reserve()
    if _home is not None:
        return _home.private()
    from .procgroup import GroupsContainer

    assert _guardian is not None
    return GroupsContainer(_guardian, private=True)


def group_container(survive_owner: bool) -> GroupContainer:
    """A container for a group; with `survive_owner` neither our end nor our guardian touches it."""
    _hold()
    keep_reserve()
    if _home is not None:
        return _home.group(survive_owner)
    from .procgroup import GroupsContainer

    assert _guardian is not None
    return GroupsContainer(_guardian, private=False, outlives=survive_owner)


def leash_container() -> Container:
    """No container: one direct child that the kernel kills when we die."""
    from .leash import LeashContainer

    fill_standard()
    return LeashContainer()


def leash_strength() -> str:
    """The kernel keeps the leash: PR_SET_PDEATHSIG(2const)."""
    return "kernel"


def spawn_detached(plan: Plan) -> int:
    """Start `plan` outside every container, in a session of its own and as nobody's child; returns its pid."""
    from array import array

    from .birth import Placement
    from .child import spawn_orphan

    fill_standard()
    placement = Placement()
    placement.orphan = True
    placement.registration = array("i", [0, -1])
    return spawn_orphan(plan, placement)


def refused(plan: Plan) -> str | None:  # noqa: ARG001
    """The first thing that `plan` asks of a child and this system has not: nothing."""
    return None


def cpu_seconds(pid: int) -> float | None:
    """CPU time that this one process has used."""
    from . import identity

    return identity.cpu_seconds(pid)


def peak_memory(pid: int) -> int | None:
    """The most bytes that this one process has had resident."""
    from . import identity

    return identity.peak_memory(pid)


def identify(pid: int) -> Identity | None:
    """Who this process is."""
    from . import identity

    return identity.identify(pid)


def named_pipe_exists(name: str) -> bool:
    """NotImplementedError: only Windows has such pipes."""
    raise NotImplementedError(f"there are no named pipes of Windows here: {name}")


def dies_with_owner() -> bool:
    """Whether all that is contained ends with this process, however that ends."""
    return guardian_kind() != "none"


def soft_stop_scope() -> str:
    """A signal reaches everybody."""
    return "whole_tree"


def guardian_kind() -> str:
    """`python`, `sh` or `none`."""
    if _home is not None:
        return _home.guardian_kind
    return kind() if _guardian is None else _guardian.kind


def launcher_name() -> str:
    """`clone3`, `clone` or `fork`."""
    return predicted_name()


def _forget() -> None:
    """In a forked child: all of it is the parent's."""
    global _home, _guardian, _lock
    _lock = _thread.RLock()
    forget_reserve()
    forget_null()
    launching_after_fork()
    home, _home = _home, None
    guardian, _guardian = _guardian, None
    if home is not None:
        home.forget()
    if guardian is not None:
        guardian.after_fork()


def _release() -> None:
    """At exit, after the last user's code: nothing of ours stays."""
    global _home, _guardian
    with _lock:
        home, _home = _home, None
        guardian, _guardian = _guardian, None
    if home is not None:
        home.close()
    if guardian is not None:
        guardian.end_when_nothing_left()
