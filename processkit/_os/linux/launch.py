"""Chooses this process's way of running a child's script: once, by running each until one proves to work."""

from __future__ import annotations

import sys
from errno import EINVAL, ENOENT

from ..._abi import machine_code
from ..errors import LaunchError
from ..lock import Lock
from ..posix.environ import Strings
from .calls import REFUSALS, architecture, raw_syscall
from .script import Launched, Script

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Launcher(Protocol):
        """One way of running a script."""

        @property
        def name(self) -> str:
            """`clone3`, `clone` or `fork`."""

        def launch(self, script: Script, launched: Launched) -> None:
            """Store the child's pid and pidfd in `launched`; on LaunchError nothing of it is alive and both are -1."""


_lock = Lock()


_chosen: Launcher | None = None


def launcher() -> Launcher:
    """The launcher of this process, after its self-test: an execve that must come back with ENOENT.

    The test detects systems that refuse clone3, clone or code pages, and emulators whose vfork is a fork: there the child
    reports into a copy of our memory, so no error arrives.
    """
    global _chosen
    if _chosen is None:
        with _lock:
            if _chosen is None:
                _chosen = _choose()
    return _chosen


def launch_first_orphan(script: Script, launched: Launched) -> bool:
    """Launch with the launcher of this process. If none is chosen yet, this launch, of an orphan that is registered, tests the
    likeliest. False: that one did not prove to work; the caller must use `launcher` and give up the process launched here.
    """
    global _chosen
    assert script.registration is not None
    if _chosen is not None or architecture().name not in machine_code.CODE:
        launcher().launch(script, launched)
        return True
    from .native import NativeLauncher

    try:
        native = NativeLauncher(architecture(), True)
    except OSError:
        return False
    try:
        native.launch(script, launched)
    except LaunchError as error:
        if error.call != native.name:
            raise  # the child's own report
        return False
    # CLONE_CHILD_SETTID made the kernel write this into the child's memory: so that memory is ours, and errors would arrive.
    if script.registration[1] <= 0:
        return False
    with _lock:
        _chosen = _chosen or native
    return True


def after_fork() -> None:
    """In a forked child: a thread that was choosing does not exist there."""
    global _lock
    _lock = Lock()


def _choose() -> Launcher:
    machine = architecture()
    if machine.name in machine_code.CODE:
        from .native import NativeLauncher

        for use_clone3 in (True, False):
            try:
                native = NativeLauncher(machine, use_clone3)
            except OSError:
                break  # mprotect(2): this process may not have new code pages
            if _works(native):
                return native
    from .forked import ForkLauncher

    return ForkLauncher(machine)


def _works(candidate: Launcher) -> bool:
    script = Script(architecture().numbers)
    nothing = script.strings(Strings([]))
    script.call("execve", script.text(b""), nothing, nothing)
    launched = Launched()
    try:
        candidate.launch(script, launched)
    except LaunchError as error:
        if error.call != "execve" and error.errno not in REFUSALS:
            raise
        return error.call == "execve" and error.errno == ENOENT
    finally:
        launched.discard()
    return False


def predicted_name() -> str:
    """The launcher's name, without starting anything: that of the chosen one, else the one that the kernel is likely to allow."""
    if _chosen is not None:
        return _chosen.name
    machine = architecture()
    if machine.name not in machine_code.CODE:
        return "fork"
    from .native import code_pages_allowed

    if not code_pages_allowed(machine):
        return "fork"
    # clone3(2) of 0 bytes is EINVAL where the call exists; nothing is cloned.

    try:
        raw_syscall(machine, "clone3", 0, 0)
    except OSError as error:
        return "clone3" if error.errno == EINVAL else "clone"
    return "clone3"
