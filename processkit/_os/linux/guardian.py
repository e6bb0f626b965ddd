"""How the guardian of this process is started; what it is told is in posix/guardian.py.

There is one guardian per process, started with the first container. It is no child of this process, so no `os.wait()` of the
program ever returns it, and every child is registered with it before that child can run.
"""

from __future__ import annotations

import os
import select
import sys
from errno import ENOEXEC, ESRCH

from ..._abi import linux
from ..._abi.foreign import Cells
from ..._abi.linux_signals import SIGCONT, SIGTSTP, SIGUSR1, SIGUSR2
from ..._abi.signals import SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGTERM
from ..errors import LaunchError
from ..posix.descriptors import Descriptors, Held, open_above, pipe_above
from ..posix.environ import Strings
from ..posix.guardian import Guardian
from .birth import become_ordinary, run_on
from .calls import architecture, open_pidfd, raw_syscall
from .launch import launch_first_orphan, launcher
from .procfs import start_time, time_namespace
from .script import ANY, Launched, Script, registration

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

# Packages made of nothing but their paths, so that the modules can import each other relatively: from a directory, from a
# zip, vendored under any name, and without running a line of the program's own packages or of this one's `__init__`s.
_BOOT = """import sys, types
for name, path in (('pk', ''), ('pk._os', '/_os'), ('pk._os.linux', '/_os/linux'), ('pk._core', '/_core'), ('pk._abi', '/_abi')):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [sys.argv[1] + path]
__import__('pk._os.linux.warden', None, None, ['main']).main(sys.argv[2:])
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_hook_announced = False
#: The first argument with which a frozen program is started as its own guardian.
HOOK = "--processkit-guardian"


def announce_hook() -> None:
    """Note that this frozen program calls `run_guardian_if_invoked` first, so that it can be started as its own guardian."""
    global _hook_announced
    _hook_announced = True


def kind() -> str:
    """`python`, `sh` or `none`: the language of this process's guardian."""
    if _python_command() is not None:
        return "python"
    return "sh" if os.access("/bin/sh", os.X_OK) else "none"


def _python_command() -> list[str] | None:
    """The command that starts a Python guardian; None where no Python interpreter is known."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    executable = sys.executable
    if not executable:
        return None
    if getattr(sys, "frozen", False):
        return [executable, HOOK] if _hook_announced else None
    # A program that embeds Python (a web server, an editor) is not an interpreter, whatever sys.executable says.
    if not os.path.basename(executable).lower().startswith(("python", "pypy", "graalpy")):
        return None
    # With PYTHONHOME, which -I would ignore, the environment has nothing else that Python looks at.
    isolated = ["-s"] if os.environ.get("PYTHONHOME") else ["-I"]
    return [executable, *isolated, "-S", "-B", "-c", _BOOT, package]


def guardian_invocation(words: list[str]) -> list[str] | None:
    """The guardian's arguments if `words`, a frozen program's argv, ask the program to be a guardian; else None."""
    return words[2:] if getattr(sys, "frozen", False) and words[1:2] == [HOOK] else None


def run_hook(arguments: list[str]) -> NoReturn:
    """Be the guardian, in a frozen program that was started as one; never returns."""
    from .warden import main

    main(arguments)
    os._exit(0)


class _Apart:
    """From `begin` to `end` this thread stays on its processor, while the orphan of `script` first moves to another one.

    Without that: 1. The guardian's program begins on an idle processor. 2. The process between us and it waits for that
    (vfork(2)), and is woken on the guardian's processor: on a virtual machine the processor that it left counts as taken once its
    host has put it to sleep (vcpu_is_preempted in available_idle_cpu, kernel/sched). 3. That process and we go on only at the
    next tick, up to 4 ms later.
    """

    __slots__ = ("_allowed", "_here")

    def __init__(self, script: Script) -> None:
        self._allowed: set[int] | None = None
        self._here: set[int] | None = None
        cpu = Cells(bytes(4), "I")
        try:
            allowed = os.sched_getaffinity(0)
            raw_syscall(architecture(), "getcpu", cpu.address, 0)
        except (AttributeError, OSError):
            return  # PyPy cannot, or a seccomp filter refuses the call: then the start may take longer
        others = allowed - {cpu[0]}
        if others:
            self._allowed, self._here = allowed, {cpu[0]}
            for cpus in (others, allowed):
                run_on(script, cpus, low=-ANY)

    def begin(self) -> None:
        """Pin this thread to its processor, if that is allowed."""
        if self._here is not None:
            try:
                os.sched_setaffinity(0, self._here)
            except OSError:
                self._allowed = None

    def end(self) -> None:
        """Restore the processors that this thread may use. Idempotent."""
        allowed, self._allowed = self._allowed, None
        if allowed is not None:
            try:
                os.sched_setaffinity(0, allowed)
            except OSError as error:
                raise LaunchError.of("sched_setaffinity", error.errno or 0) from error


def new_guardian(home: str) -> Guardian:
    """The guardian of this process, not started yet; `home` is the directory of its cgroups, or empty."""

    def start(guardian: Guardian) -> None:
        if not _start(guardian, home):
            launcher()  # tests all launchers; the next attempt uses the one it chooses
            _start(guardian, home)

    return Guardian(kind(), start)


def _start(guardian: Guardian, home: str) -> bool:
    """Start it; False: the launcher did not prove to work."""
    if guardian.kind == "none":
        raise LaunchError(ENOEXEC, "no guardian can be started: neither a Python interpreter nor /bin/sh stays up here")
    with Descriptors() as owned:
        read, write = map(owned.own, pipe_above())
        os.set_blocking(write, False)
        guardian.foretell(write)
        word, up = map(owned.own, pipe_above())
        script = Script(architecture().numbers)
        script.orphan = True
        born = registration()
        script.registration = born
        apart = _Apart(script)
        null = owned.own(open_above(os.devnull, os.O_RDWR))
        _compile(_command(guardian.kind, home), home, script, (read, up, null))
        launched = Launched()
        try:
            apart.begin()
            if not launch_first_orphan(script, launched):
                return False  # a guardian that started all the same reads end-of-file and has nothing to end
        finally:
            try:
                apart.end()
            finally:
                launched.discard()  # the process between us and the orphan
        _wake_with_messages(read, born[1])
        guardian.started(_Running(born[1]), owned.release(write), owned.release(word))
        return True


def _wake_with_messages(read: int, pid: int) -> None:
    """Have the kernel send the guardian SIGCONT with every message, and at the end of its pipe: who has stopped it stops it no longer.

    Here, and not in the guardian: it may be stopped before it gets so far. It reads from the same open file as our descriptor.
    F_SETOWN(2const), F_SETSIG(2const), O_ASYNC in open(2)
    """
    import fcntl

    try:
        fcntl.fcntl(read, fcntl.F_SETOWN, pid)
        fcntl.fcntl(read, fcntl.F_SETSIG, SIGCONT)
        fcntl.fcntl(read, fcntl.F_SETFL, fcntl.fcntl(read, fcntl.F_GETFL) | os.O_ASYNC)
    except (AttributeError, OSError):
        pass  # then only who continues it does


class _Running:
    """The process of a guardian, which is no child of ours. It owns its pidfd until `forget`."""

    __slots__ = ("_held", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._held: Held | None = None
        try:
            pidfd = open_pidfd(architecture(), pid) if pid > 0 else -1
            self._held = None if pidfd < 0 else Held(pidfd)
        except OSError as error:
            if error.errno != ESRCH:
                raise
            # It has ended already; so has its pipe, which tells.

    @property
    def pidfd(self) -> int:
        """The descriptor, readable once the guardian has ended; -1: there is none."""
        return -1 if self._held is None else self._held.number

    def _is_another(self) -> bool:
        """Whether the descriptor certainly is another one's: the program may have closed ours, and opened one of its own.

        Before Linux 6.9 all pidfds are one file, and their fdinfo tells them apart: pidfd_open(2). The pid of who was reaped is -1.
        """
        if self._held is None or not self._held.is_ours():
            return True
        try:
            with open(f"/proc/self/fdinfo/{self.pidfd}", "rb") as file:
                pid = file.read().partition(b"\nPid:\t")[2].partition(b"\n")[0]
        except OSError:
            return False  # unknown, but the same file
        return pid not in (b"%d" % self.pid, b"-1")

    def end(self, is_alive: bool) -> None:
        """Kill it, and nobody who has got its number since. We may have given up the right to kill it."""
        try:
            if not self._is_another():
                raw_syscall(architecture(), "pidfd_send_signal", self.pidfd, SIGKILL, 0, 0)
                self._reap(1.0)
            elif is_alive and self.pid > 0:
                os.kill(self.pid, SIGKILL)
        except OSError:
            pass

    def forget(self) -> None:
        """Close the pidfd. Idempotent."""
        another = self._is_another()
        if not another:
            self._reap(0.0)
        held, self._held = self._held, None
        if held is not None:
            held.lose() if another else held.close()

    def _reap(self, seconds: float) -> None:
        """Reap it, if it is our child after all: a subreaper, and process 1 of a pid namespace, inherit every orphan."""
        try:
            if os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG) is None and seconds:
                poller = select.poll()
                poller.register(self.pidfd, select.POLLIN)
                poller.poll(seconds * 1000)
                os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except (AttributeError, OSError):
            pass  # it is init's, as always but there; PyPy knows no waitid, Linux before 5.4 no P_PIDFD


def _compile(words: list[str], home: str, script: Script, streams: tuple[int, int, int]) -> None:
    script.call("setsid")
    for target, source in enumerate(streams):
        script.call("dup3", source, target, 0)
    # The directory above the home: from there it is found, wherever its path leads later.
    script.call("chdir", script.text(os.fsencode(os.path.dirname(home) or "/")))
    become_ordinary(script)
    # Ctrl+C, a hang-up or a shutdown is meant for the owner; an ignored signal stays ignored across execve(2).
    ignore = script.keep(Cells(linux.SIG_IGN.to_bytes(8, sys.byteorder) + bytes(linux.KERNEL_SIGACTION_BYTES - 8)))
    for signal in (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGPIPE):
        script.call("rt_sigaction", signal, ignore, 0, linux.KERNEL_SIGSET_BYTES)
    # PyPy installs its handler for Ctrl+C although that was ignored, and the signal would come before anything of ours runs.
    blocked = script.keep(Cells((1 << SIGINT - 1).to_bytes(8, sys.byteorder)))
    script.call("rt_sigprocmask", linux.SIG_SETMASK, blocked, 0, linux.KERNEL_SIGSET_BYTES)
    environment = [os.fsencode(f"{name}={value}") for name, value in _environment(words).items()]
    arguments = script.strings(Strings([os.fsencode(word) for word in words]))
    script.call("execve", script.text(os.fsencode(words[0])), arguments, script.strings(Strings(environment)))


def _command(kind: str, home: str) -> list[str]:
    python = _python_command() if kind == "python" else None
    if python is not None:
        return [*python, str(os.getpid()), str(start_time(os.getpid()) or 0), str(time_namespace()), home]
    from .shguardian import squeezed

    return ["/bin/sh", "-c", squeezed(), "processkit-guardian", home]


def _environment(words: list[str]) -> dict[str, str]:
    """What the guardian's interpreter needs to begin, and no more of the owner's environment: it may hold secrets."""
    if words[0] != sys.executable:
        return {}
    found = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if os.environ.get(name)}
    before = os.environ.get("LD_LIBRARY_PATH_ORIG")
    if before is not None:  # PyInstaller's name for what was there before its own, which is meant for the frozen program
        found["LD_LIBRARY_PATH"] = before
    return found
