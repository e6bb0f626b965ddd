"""Who and what is there, on Linux: processes by a token in their environment, descriptors, children, cgroups."""

import gc
import os
import signal
import sys
import time

import processkit
from processkit._os.linux import cgroupfs, home, system
from processkit._os.linux.home import why_unusable
from processkit._os.posix import vigil

MECHANISMS = ("cgroup_v2", "process_group")


def why_not(mechanism):
    """Why this machine cannot use `mechanism`; None: it can."""
    if mechanism == "cgroup_v2":
        return why_unusable()[1] or None
    return None if mechanism == "process_group" else "this is Linux"


def use(mechanism):
    """Have all that follows use `mechanism`; None: what the machine chooses."""
    system._release()
    system.forced_mechanism = mechanism
    processkit.Command("/bin/true").output()


def current():
    """The mechanism that tests have chosen."""
    return system.forced_mechanism


def kill(pid):
    """End a process from outside."""
    os.kill(pid, signal.SIGKILL)


def processes(token):
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


def open_descriptors():
    """Open descriptors of this process and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
    return found


def own_children():
    """Children of this process, zombies included."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                found += [int(pid) for pid in file.read().split()]
        except OSError:
            continue
    return found


def home_entries():
    """Containers in this process's home, but for the spare leaves of private trees."""
    home = system._home
    if home is None or not os.path.isdir(home.path):
        return []
    spare = {leaf.path for leaf in home._pool._spare}
    return [entry.path for entry in os.scandir(home.path) if entry.is_dir() and entry.path not in spare]


def for_life(target):
    """Whether a descriptor is one that processkit keeps for the life of the process, by its own word."""
    return "/processkit-" in target or target in ("/proc", "/dev/null", "anon_inode:[pidfd]", BASE) or target in _guardian_pipes()


def _guardian():
    home = system._home
    return system._guardian if home is None else home._guardian


def _guardian_pipes():
    guardian = _guardian()
    held = () if guardian is None else (guardian._pipe, guardian._word)
    return [os.readlink(f"/proc/self/fd/{one.number}") for one in held if one is not None]


def settle():
    """Return when what is kept has come to rest: the guardian is up and nobody waits for that; a thread that nobody needs is gone."""
    guardian = _guardian()
    if guardian is not None:
        guardian.confirm()
    end_idle()


def end_idle():
    """End the thread that watches the guardian, unless something is left alone, which is then found."""
    vigil.end_thread()
    vigil.resume()


BASE = why_unusable()[0]


def left_directories(mine):
    """Directories of processes that were let go, by this process or, if not `mine`, by owners that have ended as well."""
    if BASE is None:
        return []
    home.sweep_left()
    if not mine:
        home.sweep_dead(cgroupfs.Directory(BASE))
    ours, namespace = f"{home.LEFT_PREFIX}{home._owner()}-", str(home.namespaces())
    return [
        f"{BASE}/{name}"
        for name in os.listdir(BASE)
        if name.startswith(ours)
        or (
            not mine
            and name.startswith(home.LEFT_PREFIX)
            and home._is_dead(name[len(home.LEFT_PREFIX) :].split("-")[:3], namespace)
        )
    ]


def nothing_is_left():
    """After all tests; only what a test of another process still uses may be there."""
    deadline = time.monotonic() + 5
    while left_directories(mine=False) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [path for path in left_directories(mine=False) if not cgroupfs.populated(cgroupfs.Directory(path).at())] == []


class Before:
    """What was there before a test, and that nothing more is there after it."""

    def __init__(self):
        self.descriptors = set(open_descriptors())
        self.children = set(own_children())

    def check(self):
        gc.collect()
        if sys.implementation.name != "cpython":
            # What an object with a finaliser refers to is finalised by a later collection (PyPy): handle, settings, sink, file.
            for _ in range(3):
                gc.collect()
        deadline = time.monotonic() + 10
        while processes(os.environ["PROCESSKIT_TEST_TOKEN"]):
            assert time.monotonic() < deadline, processes(os.environ["PROCESSKIT_TEST_TOKEN"])
            time.sleep(0.005)
        while left_directories(mine=True):
            assert time.monotonic() < deadline, left_directories(mine=True)
            time.sleep(0.005)
        assert set(own_children()) <= self.children, "a child was not reaped"
        assert home_entries() == [], "a container was not given back"
        end_idle()
        left = {fd: what for fd, what in open_descriptors().items() if fd not in self.descriptors and not for_life(what)}
        assert left == {}, f"a descriptor was left open: {left}"
