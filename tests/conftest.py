"""What every test runs under: nothing it started, opened or made may outlive it."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import processkit  # noqa: E402
from processkit._os import linux as system  # noqa: E402
from processkit._os.home import why_unusable  # noqa: E402

TOKEN_NAME = "PROCESSKIT_TEST_TOKEN"


def carriers(token: str) -> dict[int, str]:
    """Live processes (not this one) whose environment carries `token`: pid → command line."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        pid = int(name)
        if pid == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if token.encode() not in file.read():
                    continue
            with open(f"/proc/{pid}/stat", "rb") as file:
                if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found[pid] = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def wait_until(condition, seconds: float = 20.0, what: str = "the condition"):
    """Poll `condition` until it is truthy and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true within {seconds} s")
        time.sleep(0.005)


def open_descriptors() -> dict[int, str]:
    """Open descriptors of this process and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
    return found


def own_children() -> list[int]:
    """Children of this process, zombies included."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                found += [int(pid) for pid in file.read().split()]
        except OSError:
            continue
    return found


def home_entries() -> list[str]:
    """Containers in this process's home, but for the spare leaves of private trees."""
    home = system._home
    if home is None or not os.path.isdir(home.path):
        return []
    spare = {leaf.path for leaf in home._spare}
    return [entry.path for entry in os.scandir(home.path) if entry.is_dir() and entry.path not in spare]


def for_life(target: str) -> bool:
    """Whether a descriptor is one that processkit keeps for the life of the process, by its own word."""
    return "/processkit-" in target or target in ("/dev/null", "anon_inode:[pidfd]") or target == _guardian_pipe()


def _guardian_pipe() -> str:
    home = system._home
    guardian = system._guardian if home is None else home._guardian
    if guardian is None or guardian._pipe < 0:
        return ""
    return os.readlink(f"/proc/self/fd/{guardian._pipe}")


@pytest.fixture(scope="session", autouse=True)
def warm():
    """What is made once per process exists before the first test looks."""
    processkit.Command("/bin/true").output()
    yield


@pytest.fixture
def token() -> str:
    """A word in the environment of everything this test starts."""
    return os.environ[TOKEN_NAME]


@pytest.fixture(autouse=True)
def nothing_outlives_the_test(monkeypatch):
    """No process, descriptor, thread, child, container or signal mask differs after a test from before it."""
    word = f"t{uuid.uuid4().hex}"
    monkeypatch.setenv(TOKEN_NAME, word)
    before = set(open_descriptors())
    threads = set(threading.enumerate())
    children = set(own_children())
    yield
    gc.collect()
    wait_until(lambda: not carriers(word), 10, f"the end of {carriers(word)}")
    wait_until(lambda: set(threading.enumerate()) <= threads, 10, f"the end of {threading.enumerate()}")
    assert set(own_children()) <= children, "a child was not reaped"
    assert home_entries() == [], "a container was not given back"
    left = {fd: what for fd, what in open_descriptors().items() if fd not in before and not for_life(what)}
    assert left == {}, "a descriptor was left open"


def _switch(mechanism: str | None) -> None:
    system._release()
    system.forced_mechanism = mechanism


@pytest.fixture(params=["cgroup_v2", "process_group"])
def mechanism(request):
    """Each mechanism that this machine offers, in use for the whole test."""
    if request.param == "cgroup_v2" and why_unusable()[0] is None:
        pytest.skip(f"no cgroup_v2 here: {why_unusable()[1]}")
    before = system.forced_mechanism
    _switch(request.param)
    processkit.Command("/bin/true").output()
    yield request.param
    _switch(before)
    processkit.Command("/bin/true").output()


@pytest.fixture
def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable


@pytest.fixture
def in_child_env() -> dict[str, str]:
    """Environment of a Python child that imports this processkit."""
    return {**os.environ, "PYTHONPATH": ROOT}
