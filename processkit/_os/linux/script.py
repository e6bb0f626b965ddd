"""A child's life before execve, written down as records of system calls, what every way of running them shares, and which it is.

The runners (launcher.py, forklauncher.py) execute a script; what each call is for is decided in birth.py. The words of a record
are laid out as the machine code wants them: see machine_code.py.
"""

from __future__ import annotations

import _thread
import os
import sys
from array import array

from ..._abi import linux, machine_code, syscalls
from ..._abi.foreign import address
from ..._abi.machine_code import HIGHEST, LOWEST, WORDS
from ..errors import LaunchError

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Launcher(Protocol):
        @property
        def name(self) -> str: ...
        def launch(self, script: Script, launched: Launched) -> None: ...


EPERM, ENOENT, ESRCH, E2BIG, EBADF, EAGAIN, EINVAL, ENOSYS = 1, 2, 3, 7, 9, 11, 22, 38
CHILD_FAILED = 127

# How the kernel or its policy (an old release, a seccomp profile) says "never"; anything else means "ask again".
REFUSALS = (ENOSYS, EPERM, EINVAL, E2BIG)


#: Status of a child that somebody else reaped (SIGCHLD ignored, a stray waitpid(-1)): it ended, nobody knows how.
STATUS_UNKNOWN = -1
_LOOK = os.WEXITED | os.WNOWAIT | os.WNOHANG


def peek(pid: int) -> int | None:
    """The wait status of an ended child, which stays a zombie and so keeps its pid; None while it runs. waitid(2), WNOWAIT"""
    try:
        info = os.waitid(os.P_PID, pid, _LOOK)
    except ChildProcessError:
        return STATUS_UNKNOWN
    if info is None:
        return None
    if info.si_code == os.CLD_EXITED:
        return info.si_status << 8
    return info.si_status | (0x80 if info.si_code == os.CLD_DUMPED else 0)


def reap(pid: int) -> int:
    """Take an ended child's zombie away, for its wait status; one that still hangs in the kernel is left to init."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return STATUS_UNKNOWN  # SIGCHLD is ignored in this process and the kernel reaped it: wait(2)
    return status if found else STATUS_UNKNOWN


ANY = (1 << 62) - 1
NOT_RUN = 1 << 62
_PADDING = tuple((0,) * (6 - count) for count in range(7))


class Script:
    """The calls in their order, and the memory they point into, which lives as long as the script."""

    __slots__ = ("close_from", "into_cgroup", "kept", "memory", "names", "numbers", "orphan", "registration", "sources", "words")

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers
        #: The records, one behind the other, and the name of each one's call.
        self.words = array("q")
        self.names: list[str] = []
        self.memory: list[Any] = []
        #: Descriptor of the cgroup that the clone itself joins; -1: the child stays where its parent is.
        self.into_cgroup = -1
        #: Two ints whose second the kernel sets to the child's pid before it runs (CLONE_CHILD_SETTID).
        self.registration: array[int] | None = None
        #: The program is to be nobody's child: no wait(2) of the caller's sees it, and init reaps it.
        self.orphan = False
        #: Index of the record that closes every descriptor but the standard three, for runners that need one more.
        self.close_from = -1
        #: Where in `words` the descriptors are that become the standard streams; -1: a stream is not set. A launch of its own
        #: streams and its own cgroup puts those there, so that one script does for many.
        self.sources = [-1, -1, -1]
        #: What a launcher keeps of a launch of this script, for the next one.
        self.kept: list[Any] = []

    def call(self, name: str, *arguments: int, low: int = 0, high: int = ANY) -> None:
        """Append a call that must return `low`..`high`, or the child ends unexecuted and reports it."""
        self.names.append(name)
        self.words.extend((self.numbers[name], *arguments, *_PADDING[len(arguments)], NOT_RUN, low, high, 0))

    def extend(self, more: Script) -> None:
        """Append the calls of another script."""
        self.names += more.names
        self.words.extend(more.words)

    def with_streams(self, streams: list[int]) -> Script:
        """The same with other streams. It shares everything else with this one, and neither changes any more."""
        copy = Script.__new__(Script)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.words = words = self.words[:]
        for index, descriptor in zip(self.sources, streams):
            if index >= 0:
                words[index] = descriptor
        return copy

    def keep(self, memory: Any) -> int:
        """Hold on to an array, or to memory of ctypes; returns its address for a call's argument."""
        self.memory.append(memory)
        return memory.buffer_info()[0] if isinstance(memory, array) else address(memory)

    def text(self, text: bytes) -> int:
        """The address of a NUL-terminated copy."""
        return self.keep(array("b", text + b"\0"))

    def strings(self, strings: Strings) -> int:
        """The address of an argument list or an environment."""
        self.memory.append(strings)
        return strings.address

    def accepts(self, index: int, result: int) -> bool:
        """Whether the call at `index` may have returned `result`."""
        start = index * WORDS
        return self.words[start + LOWEST] <= result <= self.words[start + HIGHEST]


class Strings:
    """A NULL-terminated `char *[]` with its strings. No ctypes array: that would be a new type for every length."""

    __slots__ = ("_pointers", "_text", "address")

    def __init__(self, strings: list[bytes]) -> None:
        self._text = array("b", b"\0".join((*strings, b"")))
        place = self._text.buffer_info()[0]
        # An unsigned long is as wide as a pointer, in each of Linux's ABIs.
        self._pointers = pointers = array("L")
        for string in strings:
            pointers.append(place)
            place += len(string) + 1
        pointers.append(0)
        #: Where it lies, as long as this object lives.
        self.address: int = pointers.buffer_info()[0]


class Launched:
    """One launch: what is to be done beside it, and where it stores what it made, so that an exception at any moment finds it."""

    __slots__ = ("cgroup", "closing", "events", "linger", "pid", "pidfd", "streams")

    def __init__(
        self,
        closing: list[int] | None = None,
        linger: tuple[int, int] | None = None,
        streams: list[int] | None = None,
        cgroup: int = -1,
    ) -> None:
        #: What becomes the child's standard streams, and the cgroup it is born in, instead of what its script says.
        self.streams = streams
        self.cgroup = cgroup
        #: Descriptors of ours that only the child needs: the launch may close and remove them.
        self.closing: list[int] = [] if closing is None else closing
        #: The launch may wait some milliseconds for the end of a child that lives no longer, and then poll these two.
        self.linger = linger
        #: -1: there is none.
        self.pid = -1
        self.pidfd = -1
        #: The child was seen to end; then there was this to be read from the two: poll(2).
        self.events: tuple[int, int] | None = None

    def wait(self) -> None:
        """Wait for the end of a child that has been killed, without reaping it, and close its pidfd."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        pidfd, self.pidfd = self.pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)

    def discard(self) -> None:
        """Reap a child that has ended and close its pidfd."""
        pid, self.pid = self.pid, -1
        pidfd, self.pidfd = self.pidfd, -1
        try:
            if pid > 0:
                os.waitpid(pid, 0)
        except ChildProcessError:
            pass
        finally:
            if pidfd >= 0:
                os.close(pidfd)


class Architecture:
    """System call numbers of this process's kind of machine."""

    __slots__ = ("name", "numbers")

    def __init__(self) -> None:
        machine = os.uname().machine
        name = syscalls.architecture(machine, sys.maxsize > 2**32)
        if name is None:
            raise NotImplementedError(f"no system call numbers are known for a {machine} machine")
        self.name = name
        self.numbers = syscalls.numbers(name)


def resettable_signals() -> list[int]:
    """Signals whose action a child without CLONE_CLEAR_SIGHAND sets to default: all but those that are ignored.

    The kernel says which are ignored (proc_pid_status(5), SigIgn); where /proc is not mounted it is Python's own view.
    """
    ignored = 0
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"SigIgn:"):
                    ignored = int(line[7:], 16)
    except OSError:
        import signal

        for number in signal.valid_signals():
            if signal.getsignal(number) is signal.SIG_IGN:
                ignored |= 1 << (number - 1)
    return [number for number in range(1, 65) if not ignored >> (number - 1) & 1]


def raw_syscall(architecture: Architecture, name: str, *arguments: int) -> int:
    """A system call by name; OSError under that name."""
    try:
        result: int = linux.syscall(architecture.numbers[name], *arguments, *(0,) * (6 - len(arguments)))
    except OSError as error:
        raise LaunchError.of(name, error.errno or 0) from None
    return result


def open_pidfd(architecture: Architecture, pid: int) -> int:
    """A close-on-exec pidfd of our unreaped child `pid`, or -1 where the kernel has none: pidfd_open(2), Linux 5.3."""
    try:
        return raw_syscall(architecture, "pidfd_open", pid, 0)
    except OSError as error:
        if error.errno in REFUSALS:
            return -1
        raise


# Which launcher this process uses: decided once, by running each until one proves to work.
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


def launch_first_orphan(script: Script, launched: Launched) -> bool:
    """Launch by the launcher of this process. Where none is chosen yet this launch, of an orphan that is registered, tests the
    likeliest. False: it did not prove to work, `launcher` is to be asked, and what was launched is to be given up.
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
    # The kernel wrote that into the child's memory, CLONE_CHILD_SETTID: so it is ours, and errors would have come back.
    if script.registration[1] <= 0:
        return False
    with _lock:
        _chosen = _chosen or native
    return True


def after_fork() -> None:
    """In a forked child: a thread that was choosing does not exist there."""
    global _lock
    _lock = _thread.RLock()


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
    """The launcher's name without starting anything: the chosen one's, else what the kernel lets expect."""
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
        return "clone3" if error.errno == 22 else "clone"
    return "clone3"
