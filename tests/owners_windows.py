"""Owners for the tests of the promise on Windows, behind the names of owners.py: owner programs and the trees that they start.

Each member of a tree writes its pid and start time into a directory of the test; survivors are those that still live, and whoever
else runs below this process. Every process here ends by itself after a minute, so that a bug leaves nothing for good.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import census_windows as census
import pytest
from programs import wait_until as wait_until_true

from processkit import process_is_alive
from processkit._os.windows import spawn as winspawn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
each_mechanism = pytest.mark.parametrize("mechanism", census.MECHANISMS)
# How an owner ends that is ended from outside: Popen terminates it, whatever the number.
SIGNALS = {"is killed": signal.SIGTERM}
# A program that becomes another one is a new process here.
ENDS_OF_ITS_OWN = ("exits at once", "aborts", "raises")
# What cannot be held to its parent by other means: it has no console in common, or no parent any more.
LOOSE = ("detached", "grandchild")
KINDS = ("plain", "grandchild", "detached", "new group", "breakaway", "forker")
#: Seconds within which an owner is killed that starts children without end: a few of them.
BUSY = 1.5

# The tree: its first process and one process of each kind, each of which reports when it is what it is to be.
TREE = r"""
import os, subprocess, sys, time
import processkit
directory, end, *kinds = sys.argv[1:]

def say(kind):
    path = os.path.join(directory, f"{kind}.{os.getpid()}")
    with open(path + ".part", "w") as file:
        file.write(str(processkit.process_info(os.getpid()).start_time))
    os.replace(path + ".part", path)

def linger():
    while time.time() < float(end):
        time.sleep(1)

def start(kind, flags=0):
    subprocess.Popen([sys.executable, "-S", __file__, directory, end, "--be", kind], creationflags=flags)

FLAGS = {
    "detached": subprocess.DETACHED_PROCESS,
    "new console": subprocess.CREATE_NEW_CONSOLE,
    "new group": subprocess.CREATE_NEW_PROCESS_GROUP,
    "breakaway": subprocess.CREATE_BREAKAWAY_FROM_JOB,
}

def be(kind):
    if kind == "between":
        return start("grandchild")
    say(kind)
    # A copy takes over and the one before it ends.
    if kind != "forker":
        linger()
    elif time.time() < float(end):
        start("forker")

if kinds[0] == "--be":
    be(kinds[1])
    os._exit(0)
for kind in kinds:
    try:
        start("between" if kind == "grandchild" else kind, FLAGS.get(kind, 0))
    except PermissionError:
        # Nobody may leave the job: then it tries as one that stays.
        assert kind == "breakaway"
        start(kind)
say("first")
if "end" not in kinds:
    linger()
os._exit(0)
"""


def wait_until(condition, seconds: float = 20.0, what="the condition"):
    """Poll `condition` until it is truthy and return that; fail after `seconds`, and say what did not come true."""
    try:
        return wait_until_true(condition, seconds)
    except AssertionError:
        pytest.fail(f"{what() if callable(what) else what} did not come true within {seconds} s")


def _opens_consoles() -> bool:
    """Whether a program can have a console of its own here; what a desktop takes to run is there from now on."""
    command, flags = [sys.executable, "-S", "-c", "pass"], subprocess.CREATE_NEW_CONSOLE
    return any(subprocess.run(command, creationflags=flags, timeout=60, check=False).returncode == 0 for _ in range(2))


opens_consoles = _opens_consoles()


def homes_of(pid: int) -> list[str]:
    """Nothing is made for an owner in any file system."""
    return []


@contextlib.contextmanager
def interrupted_starts(monkeypatch, when_it_runs):
    """Every start is interrupted when the child's program runs already and `when_it_runs` has returned."""
    real = winspawn._finish

    def finish(*words, **settings) -> None:
        real(*words, **settings)
        when_it_runs()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(winspawn, "_finish", finish)
        yield


class Owner:
    """A running owner program, the directory of its tree, and what is to be asked about it."""

    def __init__(self, tmp_path, mechanism: str) -> None:
        self.mechanism = mechanism
        self._path = tmp_path
        self._reports = tmp_path / "reports"
        self._reports.mkdir()
        (tmp_path / "tree.py").write_text(f"import sys\nsys.path.insert(0, {ROOT!r})\n{TREE}")
        self._before = set(census.processes(""))
        self.process: subprocess.Popen | None = None
        self._all: list[subprocess.Popen] = []

    def begin(self, script: str, *words: str) -> subprocess.Popen:
        """Start `script` as an owner, stdin and stdout piped."""
        (self._path / "owner.py").write_text(script)
        return self.begin_command(sys.executable, str(self._path / "owner.py"), *words)

    def begin_command(self, *words: str) -> subprocess.Popen:
        """The same for any command."""
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": ROOT},
        )
        self._all.append(self.process)
        return self.process

    def tree_words(self, *kinds: str) -> list[str]:
        """Arguments of an interpreter that becomes the tree."""
        return ["-S", str(self._path / "tree.py"), str(self._reports), str(time.time() + 60), *kinds]

    def busy_words(self) -> tuple[list[str], list[str]]:
        """Commands that start a process below themselves: one that stays, one that ends at once."""
        return (
            [sys.executable, *self.tree_words("plain")],
            [sys.executable, *self.tree_words("plain", "end")],
        )

    def reported(self) -> dict[tuple[int, int], str]:
        """Who has reported: (pid, start) → kind."""
        found = {}
        for path in self._reports.iterdir():
            kind, _, pid = path.name.partition(".")
            if pid.isdigit():
                # A file that is being renamed cannot be opened: the next look finds it.
                with contextlib.suppress(PermissionError):
                    found[int(pid), int(path.read_text())] = kind
        return found

    def wait_for(self, *kinds: str) -> None:
        """Wait until each of `kinds` has reported."""
        wait_until(
            lambda: set(kinds) <= set(self.reported().values()), what=lambda: f"reports of {kinds}, there are {self.reported()}"
        )

    def line(self) -> str:
        """The next line of the owner's stdout; "" at its end."""
        heard = []
        reader = threading.Thread(target=lambda: heard.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(20)
        assert heard, "the owner said nothing for 20 s"
        return heard[0].decode().strip()

    def tell(self, text: str = "go") -> None:
        """Write a line to the owner's stdin."""
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def kill_and_reap(self) -> None:
        """Terminate the owner and wait for it."""
        census.kill(self.process.pid)
        self.process.wait(20)

    def survivors(self, token: str) -> dict[int, str]:
        """Who reported and lives, and who else came to live below us: pid → what it is."""
        found = {pid: name for pid, name in census.processes(token).items() if pid not in self._before}
        found.update({pid: kind for (pid, start), kind in self.reported().items() if process_is_alive(pid, start)})
        return found

    def assert_gone(self, token: str, allowed=(), spare=(), home=True) -> None:
        """Nobody is left; here nobody is allowed to be."""
        assert (tuple(allowed), tuple(spare)) == ((), ())
        wait_until(lambda: not self.survivors(token), what=lambda: f"the end of {self.survivors(token)}")

    def clear(self, token: str) -> None:
        """After the test: nothing of it stays, even if it failed."""
        for process in self._all:
            if process.returncode is None:
                process.kill()
                process.wait(20)
            process.stdin.close()
            process.stdout.close()

        def nobody() -> bool:
            left = self.survivors(token)
            for pid in left:
                with contextlib.suppress(OSError):
                    census.kill(pid)
            return not left

        wait_until(nobody, what="the end of what a failed test left")
