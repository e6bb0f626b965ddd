"""Owners for the tests of the promise: small programs that import this package, and the trees that they start.

Each member of a tree reports over a fifo; survivors are counted by the token in their environment. Every process here ends by
itself after a minute, so that a bug leaves nothing for good.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from processkit._os.linux import child
from processkit._os.linux.home import why_unusable
from processkit._os.linux.procfs import namespaces, read_stat, start_time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASE = why_unusable()[0]
MECHANISMS = [
    pytest.param("cgroup_v2", marks=pytest.mark.skipif(BASE is None, reason=f"no cgroup_v2 here: {why_unusable()[1]}")),
    "process_group",
]
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)
on_cgroups = pytest.mark.parametrize("mechanism", MECHANISMS[:1])
SIGNALS = {
    "is killed": signal.SIGKILL,
    "is terminated": signal.SIGTERM,
    "is interrupted": signal.SIGINT,
    "has a segmentation fault": signal.SIGSEGV,
}
ENDS_OF_ITS_OWN = ("exits at once", "aborts", "raises", "becomes another program")
# What leaves its group, and what does not listen.
LOOSE = ("setsid", "stubborn")
#: Seconds within which an owner is killed that starts children without end: a few dozen of them.
BUSY = 0.12

# The tree: its first process and one process of each kind, each of which reports over the fifo when it is what it is to be.
TREE = r"""
import os, signal, sys, time
fifo, *kinds = sys.argv[1:]
end = time.monotonic() + 60

def say(kind):
    with open("/proc/self/comm", "w") as comm:
        comm.write("k-" + kind)
    pipe = os.open(fifo, os.O_WRONLY)
    os.write(pipe, f"{kind} {os.getpid()}\n".encode())
    os.close(pipe)

def linger():
    while time.monotonic() < end:
        time.sleep(1)

def plain():
    say("plain")
    os.execv("/bin/sleep", ["sleep", "60"])

def setsid():
    os.setsid()
    say("setsid")
    linger()

def daemon():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        return
    say("daemon")
    linger()

def stubborn():
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGPIPE", "SIGUSR1"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    say("stubborn")
    linger()

def torch(pass_on):
    # A copy takes over every few milliseconds and the one before it ends: two are alive at most.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while time.monotonic() < end:
        time.sleep(0.002)
        if os.fork():
            return
        pass_on()

def forker():
    say("forker")
    torch(lambda: None)

def hopper():
    say("hopper")
    torch(os.setsid)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for kind in kinds:
    if not os.fork():
        try:
            globals()[kind]()
        finally:
            os._exit(0)
say("first")
linger()
"""


def carriers(token: str) -> dict[int, str]:
    """Live processes (not this one) whose environment carries `token`: pid → name."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if int(name) == os.getpid() or token.encode() not in file.read():
                    continue
            with open(f"/proc/{name}/stat", "rb") as file:
                before, _, behind = file.read().rpartition(b")")
            if behind.split()[0] not in (b"Z", b"X"):
                found[int(name)] = before.partition(b"(")[2].decode()
        except OSError:
            continue
    return found


def wait_until(condition, seconds: float = 20.0, what="the condition"):
    """Poll `condition` until it is truthy and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what() if callable(what) else what} did not come true within {seconds} s")
        time.sleep(0.005)


def alive(pid: int, start: int) -> bool:
    """Whether the process that had this pid at that time still runs; a zombie does not."""
    stat = read_stat(pid)
    return stat is not None and stat.start == start and not stat.gone


def kill(pid: int) -> None:
    """SIGKILL, unless it has gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def homes_of(pid: int) -> list[str]:
    """Directories that owner `pid` has made beside its own cgroup."""
    if BASE is None:
        return []
    return [name for name in os.listdir(BASE) if name.startswith(f"processkit-{namespaces()}-{pid}-")]


def pipes_of(pid: int) -> set[str]:
    """The pipes that process `pid` has open."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("pipe:"):
                found.add(target)
    except OSError:
        pass
    return found


def guardians_of(pid: int) -> list[int]:
    """The guardians that read from a pipe of process `pid`."""
    found = []
    pipes = pipes_of(pid)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read()
            if (b"processkit-guardian" in words or b"warden" in words) and os.readlink(f"/proc/{name}/fd/0") in pipes:
                found.append(int(name))
        except OSError:
            continue
    return found


class signals_as_from_a_terminal:
    """A `with` block whose children inherit no ignored signal, however pytest itself was started."""

    def __enter__(self) -> None:
        numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
        self._ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
        for number in self._ignored:
            signal.signal(number, signal.SIG_DFL)

    def __exit__(self, *_) -> None:
        for number in self._ignored:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def interrupted_starts(monkeypatch, when_it_runs):
    """Every start is interrupted when the child's program runs already and `when_it_runs` has returned."""
    real = child.launcher()

    class Interrupted:
        name = real.name

        def launch(self, script, launched) -> None:
            real.launch(script, launched)
            when_it_runs()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(child, "launcher", Interrupted)
        yield


class Owner:
    """A running owner program, its fifo, and what is to be asked about it."""

    def __init__(self, tmp_path, mechanism: str) -> None:
        self.mechanism = mechanism
        self.fifo = str(tmp_path / "fifo")
        self.tree = str(tmp_path / "tree.py")
        (tmp_path / "tree.py").write_text(TREE)
        os.mkfifo(self.fifo)
        # Open for both: whoever reports never waits, and the end of one reporter is no end-of-file.
        self._reports = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        self._heard = b""
        # What the owner has said and nobody has asked for yet.
        self._said = b""
        self._path = tmp_path
        self.process: subprocess.Popen | None = None
        self._all: list[subprocess.Popen] = []
        self._guardians: list[tuple[int, int]] = []

    def begin(self, script: str, *words: str) -> subprocess.Popen:
        """Start `script` as an owner in a session of its own, stdin and stdout piped."""
        (self._path / "owner.py").write_text(script)
        return self.begin_command(sys.executable, str(self._path / "owner.py"), *words)

    def begin_command(self, *words: str) -> subprocess.Popen:
        """The same for any command."""
        with signals_as_from_a_terminal():
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": ROOT, "PROCESSKIT_MECHANISM": self.mechanism},
                start_new_session=True,
            )
        self._all.append(self.process)
        self._said = b""
        return self.process

    def tree_words(self, *kinds: str) -> list[str]:
        """Arguments of an interpreter that becomes the tree."""
        return [self.tree, self.fifo, *kinds]

    def busy_words(self) -> tuple[list[str], list[str]]:
        """Commands that start a process below themselves: one that stays, one that ends at once."""
        return (
            ["/bin/sh", "-c", "/bin/sleep 60 & exec /bin/sleep 60"],
            ["/bin/sh", "-c", "/bin/sleep 60 & exec /bin/true"],
        )

    def wait_for(self, *kinds: str) -> dict[str, int]:
        """Wait until each of `kinds` has reported; kind → pid."""

        def reported():
            try:
                self._heard += os.read(self._reports, 4096)
            except BlockingIOError:
                pass
            found = dict(line.split() for line in self._heard.decode().splitlines())
            return found if set(kinds) <= set(found) else None

        found = wait_until(reported, what=lambda: f"reports of {kinds}, heard {self._heard!r}")
        self._heard = b""
        return {kind: int(pid) for kind, pid in found.items()}

    def line(self) -> str:
        """The next line of the owner's stdout; "" at its end."""
        while b"\n" not in self._said:
            ready, _, _ = select.select([self.process.stdout], [], [], 20)
            assert ready, "the owner said nothing for 20 s"
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                break
            self._said += part
        line, _, self._said = self._said.partition(b"\n")
        return line.decode().strip()

    def tell(self, text: str = "go") -> None:
        """Write a line to the owner's stdin."""
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def guardian(self) -> tuple[int, int]:
        """(pid, start) of the owner's guardian, which is up."""

        def up():
            for pid in guardians_of(self.process.pid):
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() in ("processkit-grd", "sh"):
                        return pid
            return None

        pid = wait_until(up, what="a guardian")
        start = start_time(pid)
        self._guardians.append((pid, start))
        return pid, start

    def kill_and_reap(self) -> None:
        """SIGKILL the owner and wait for it."""
        self.process.kill()
        self.process.wait(20)

    def survivors(self, token: str) -> dict[int, str]:
        """Who is left of all that the test has started: pid → name."""
        return carriers(token)

    def assert_gone(self, token: str, allowed=(), spare=(), home=True) -> None:
        """Nobody is left but those named in `allowed`, which are killed here, and the pids in `spare`; nor is a home."""
        survivors = {}

        def only_allowed():
            survivors.clear()
            survivors.update({pid: name for pid, name in carriers(token).items() if pid not in spare})
            return set(survivors.values()) <= set(allowed)

        wait_until(only_allowed, what=lambda: f"the end of {survivors}")
        for pid in survivors:
            kill(pid)
        pid = self.process.pid
        if home:
            wait_until(lambda: not homes_of(pid), what=lambda: f"the removal of {homes_of(pid)}")

    def clear(self, token: str) -> None:
        """After the test: nothing of it stays, even if it failed."""
        for process in self._all:
            if process.returncode is None:
                process.kill()
                process.wait(20)
            process.stdin.close()
            process.stdout.close()
        wait_until(lambda: [kill(pid) for pid in carriers(token)] == [], what="the end of what a failed test left")
        for pid, start in self._guardians:
            wait_until(lambda: not alive(pid, start), what="the end of the guardian")  # noqa: B023
        os.close(self._reports)


# An owner that does as it is told, one line of stdin at a time, and answers each with a line.
OBEDIENT = r"""
import ctypes, os, signal, sys, threading
tree = sys.argv[1:]
import processkit

held = []
command = processkit.Command(sys.executable, tree)
for line in sys.stdin:
    word = line.strip()
    answer = "done"
    if word == "group":
        held.append(processkit.ProcessGroup())
        answer = held[-1].start(command).pid
    elif word == "empty group":
        held.append(processkit.ProcessGroup())
    elif word == "surviving group":
        held.append(processkit.ProcessGroup(survive_owner=True))
        answer = held[-1].start(command).pid
    elif word == "private tree":
        held.append(command.start())
        answer = held[-1].pid
    elif word == "detached":
        answer = command.stdout("null").stderr("null").spawn_detached().pid
    elif word == "sleep":
        held.append(processkit.Command("/bin/sleep", ["60"]).start())
        answer = held[-1].pid
    elif word == "50 runs":
        for _ in range(50):
            processkit.Command("/bin/true").output()
    elif word == "ignore":
        for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGQUIT"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    elif word == "os.fork":
        answer = os.fork()
        if answer == 0:
            signal.pause()
    elif word == "libc.fork":
        libc = getattr(ctypes, "PyDLL", ctypes.CDLL)(None)  # PyPy has one kind
        answer = libc.fork()
        if answer == 0:
            libc.sleep(60)
            os._exit(0)
    elif word == "sh":
        sys.executable = "/usr/local/bin/embedding-program"
    elif word == "os.wait":
        try:
            answer = os.wait()
        except ChildProcessError:
            answer = "no children"
    elif word == "containment":
        answer = processkit.host_containment().guardian
    elif word == "leave":
        break
    print(answer, flush=True)
"""


class Told(Owner):
    """An owner that runs OBEDIENT."""

    def __init__(self, tmp_path, mechanism: str) -> None:
        super().__init__(tmp_path, mechanism)
        self.again()

    def again(self) -> None:
        """Begin another one; the one before keeps running or not."""
        self.begin(OBEDIENT, *self.tree_words("plain", "setsid"))

    def order(self, text: str) -> str:
        """Have it done; the answer."""
        self.tell(text)
        return self.line()
