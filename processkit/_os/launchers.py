"""Which launcher this process uses: decided once, by running each until one proves to work."""

from __future__ import annotations

import _thread
import sys

from .._abi import linux, machine_code
from .._abi.foreign import c_string
from .launching import ENOENT, REFUSALS, Architecture, Launched, LaunchError, raw_syscall
from .script import Script

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Launcher(Protocol):
        @property
        def name(self) -> str: ...
        def launch(self, script: Script, launched: Launched) -> None: ...


_lock = _thread.RLock()
_chosen: Launcher | None = None
_architecture: Architecture | None = None


def architecture() -> Architecture:
    """This machine's system call numbers; NotImplementedError where none are known."""
    global _architecture
    if _architecture is None:
        _architecture = Architecture()
    return _architecture


def launcher() -> Launcher:
    """The launcher of this process, after its self-test: an execve that must come back with ENOENT.

    The test notices what refuses clone3, clone or code pages, and emulators whose vfork is a fork: their child reports
    into a copy of our memory, so no error arrives.
    """
    global _chosen
    if _chosen is None:
        with _lock:
            if _chosen is None:
                _chosen = _choose()
    return _chosen


def after_fork() -> None:
    """In a forked child: a thread that was choosing does not exist there."""
    global _lock
    _lock = _thread.RLock()


def _choose() -> Launcher:
    machine = architecture()
    if machine.name in machine_code.CODE:
        from .launcher import NativeLauncher

        for use_clone3 in (True, False):
            try:
                native = NativeLauncher(machine, use_clone3)
            except OSError:
                break  # mprotect(2): this process may not have new code pages
            if _works(native):
                return native
    from .forklauncher import ForkLauncher

    return ForkLauncher(machine)


def _works(candidate: Launcher) -> bool:
    script = Script(architecture().numbers)
    path = script.keep(c_string(b""))
    nothing = script.keep(linux.rlimit64())
    script.call("execve", path, nothing, nothing)
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
    """The launcher's name without starting anything: the chosen one's, else what the kernel lets expect."""
    if _chosen is not None:
        return _chosen.name
    machine = architecture()
    if machine.name not in machine_code.CODE:
        return "fork"
    from .launcher import code_pages_allowed

    if not code_pages_allowed():
        return "fork"
    # clone3(2) of 0 bytes is EINVAL where the call exists; nothing is cloned.

    try:
        raw_syscall(machine, "clone3", 0, 0)
    except OSError as error:
        return "clone3" if error.errno == 22 else "clone"
    return "clone3"
