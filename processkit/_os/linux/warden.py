"""The guardian itself: a process that outlives its owner just long enough to end the processes that the owner started.

Started by `guardian.py` as `python -I -S -c BOOT PACKAGE OWNER START TIMES HOME`, in a session of its own, above the home, the pipe on
descriptor 0, on 1 a pipe on which it says that it is up, the null device on 2, and nothing else open. It ignores the signals that are meant for the owner. It sleeps
in one poll: no timer and no wake-up while the owner lives.
"""

from __future__ import annotations

import os
import select
import sys
import time
from errno import ESRCH

from ..._core.guardian import FINISHED, WATCHING, Guard
from . import cgroupfs, proctree
from .cgroupfs import Directory
from .procfs import is_same, start_time, time_namespace

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

# How long the guardian waits at a pipe that is still held after the owner's death: a child takes microseconds to be born.
LATE_REGISTRATIONS = 5.0
# Between two sweeps, so that one that cannot succeed takes no processor: first and last.
FIRST_PAUSE, LAST_PAUSE = 0.001, 0.5


def main(arguments: list[str]) -> None:
    """Watch over owner `arguments[0]` that started at `arguments[1]`, as the time namespace `arguments[2]` has it; `arguments[3]` is
    its cgroup home, in our working directory.
    """
    _call_ourselves("processkit-grd")
    owner, start, times = map(int, arguments[:3])
    home = arguments[3]
    guard = Guard()
    watched, shift = _open_owner(owner, start, times)
    _say_up()
    watch(guard, watched)
    for numbers in (guard.groups, guard.processes):
        numbers.update({number: start and start + shift for number, start in numbers.items()})
    sweep(guard, Directory(home, Directory(".")) if home else None)
    os._exit(0)


def _say_up() -> None:
    """Tell the owner that the guardian is up, and close what it is told by: descriptor 1 is the null device from now on."""
    try:
        os.write(1, b"up")
    except OSError:
        pass  # the owner has gone
    os.dup2(2, 1)


def _call_ourselves(name: str) -> None:
    """Set the name that ps shows. proc_pid_comm(5)"""
    try:
        with open("/proc/self/comm", "w") as comm:
            comm.write(name)
    except OSError:
        pass


def _open_owner(owner: int, start: int, times: int) -> tuple[int, int]:
    """(a pidfd of the owner, -1 where there are none and end-of-file must suffice, -2 when the owner is gone already; how much later
    a start time is by our clock than by the owner's, which may have made a new time namespace for its children).
    """
    try:
        if hasattr(os, "pidfd_open"):
            pidfd = os.pidfd_open(owner)
        else:
            # PyPy, and a Python that was built with headers older than Linux 5.3.
            from .calls import architecture, open_pidfd

            pidfd = open_pidfd(architecture(), owner)
    except (OSError, NotImplementedError) as error:
        return (-2 if getattr(error, "errno", 0) == ESRCH else -1), 0
    found = start_time(owner)
    if pidfd < 0 or not start or found is None:
        return pidfd, 0
    if times != time_namespace():
        return pidfd, found - start
    if found != start:
        os.close(pidfd)
        return -2, 0
    return pidfd, 0


def watch(guard: Guard, owner: int) -> None:
    """Return when the owner is gone, after reading all messages that it had sent by then."""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    if owner >= 0:
        poller.register(owner, select.POLLIN)
    while guard.state == WATCHING:
        ready = {descriptor for descriptor, _ in poller.poll(0 if owner == -2 else None)}
        if 0 in ready:
            guard.feed(os.read(0, 65536))
        if owner in ready or (owner == -2 and not ready):
            _read_rest(guard)
            guard.owner_gone()


def _read_rest(guard: Guard) -> None:
    """Interpret all bytes that are in the pipe now."""
    os.set_blocking(0, False)
    try:
        while not guard.eof:
            guard.feed(os.read(0, 65536))
    except BlockingIOError:
        pass


def sweep(guard: Guard, home: Directory | None) -> None:
    """Kill until no registered process is left, and until no child that is still being born can register any more.

    No step is kept from its work by the failure of another; what is unknown is not gone.
    """
    deadline = time.monotonic() + LATE_REGISTRATIONS
    pause = FIRST_PAUSE
    while guard.state != FINISHED:
        groups = {pgid for pgid, start in guard.groups.items() if _still_theirs(pgid, start)}
        roots = {pid for pid, start in guard.processes.items() if is_same(pid, start)}
        if home is not None:
            _attempt(lambda: cgroupfs.kill(home.at(), 0.0))
        refused = _attempt(lambda: proctree.kill_all(groups, roots))  # noqa: B023
        removed = home is None or _attempt(home.destroy) is True
        left = _attempt(lambda: proctree.reachable(groups, roots).keys())  # noqa: B023
        if removed and left is not None and not left:
            guard.nobody_left()
        if guard.state == FINISHED:
            return
        if time.monotonic() > deadline:
            guard.give_up_waiting()
            if not removed or left == refused:
                return  # who is left hangs in the kernel, or may not be killed; the next owner's sweep finds the directory
        if guard.eof:
            time.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)
        else:
            select.select([0], [], [], 0.05)
            _read_rest(guard)


def _attempt(step: Callable[[], object]) -> object:
    """What `step` returns; None if it failed: there is nobody to tell."""
    try:
        return step()
    except Exception:
        return None


def _still_theirs(pgid: int, start: int) -> bool:
    """Whether the number still belongs to the registered group: not if its leader has another start time."""
    current = start_time(pgid)
    return current is None or not start or current == start


if __name__ == "__main__":
    main(sys.argv[1:])
