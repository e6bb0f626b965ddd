"""The directory below our own cgroup that holds all containers of this process, and the removal of those of dead owners.

`processkit-NAMESPACE-PID-START-COPY` names its owner: the pid has a meaning only in its pid namespace, and only together with
the start time, which has one only in its time namespace. The guardian kills and removes the whole directory; a directory that outlived even its guardian is swept by the
next owner that makes a home beside it.
"""

from __future__ import annotations

import os
import sys

from . import cgroupfs
from .cgroupfs import Directory
from .procfs import exists, namespaces, start_time

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

PREFIX = "processkit-"
#: For processes that were let go alive, on request. These are never killed; the directory is removed once it is empty.
LEFT_PREFIX = "processkit-left-"
# Those of this process, whichever home it had when it let go; each is removed once it is empty.
_left: list[Directory] = []


def why_unusable() -> tuple[str | None, str]:
    """(the directory of our own cgroup if we may make containers in it, "") or (None, the reason in words). Changes nothing."""
    base = cgroupfs.own_cgroup()
    if base is None:
        return None, "no cgroup2 mount shows this process's cgroup"
    if not os.access(base, os.W_OK | os.X_OK):
        return None, f"{base} is not writable"
    # cgroup-v2.rst, "Delegation Containment": moving a process needs write access to the common ancestor's file.
    if not os.access(f"{base}/cgroup.procs", os.W_OK):
        return None, f"{base}/cgroup.procs is not writable"
    try:
        with open(f"{base}/cgroup.type", "rb") as file:
            kind = file.read().strip()
    except OSError:
        kind = b"domain"  # the root cgroup has no such file
    if kind not in (b"domain", b"domain threaded"):
        return None, f"{base} is a {kind.decode()} cgroup"
    return base, ""


def home_name() -> str:
    """A new name for a home of this process: every copy of this package and every interpreter in it has a home of its own."""
    return f"{PREFIX}{_owner()}-{os.urandom(4).hex()}"


def _owner() -> str:
    """The name of this process among all that share the cgroup."""
    me = os.getpid()
    return f"{namespaces()}-{me}-{start_time(me) or 0}"


def make_left(base: Directory) -> Directory:
    """Create a directory for processes that outlive this one on purpose."""
    number = 0
    while True:
        left = Directory(f"{base.path}/{LEFT_PREFIX}{_owner()}-{number}", base)
        try:
            left.make()
        except FileExistsError:
            number += 1
        else:
            return left


def note_left(left: Directory) -> None:
    """The processes in a directory that `make_left` made live on: it is removed once it is empty."""
    left.close()
    _left.append(left)


def sweep_left() -> None:
    """Remove those directories of `note_left` in which no process lives any more."""
    for left in [*_left]:
        if _remove_empty(left) and left in _left:
            _left.remove(left)


def _remove_empty(left: Directory) -> bool:
    try:
        return not cgroupfs.populated(left.at()) and left.remove()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # unknown
    finally:
        left.close()


def sweep(home: Directory) -> bool:
    """Kill what is in a dead owner's home and remove it; False while something in it is still dying. Waits for nobody."""
    try:
        if home.remove():
            return True
        at = home.at()
        cgroupfs.kill(at, 0.0)
        if not home.remove():
            cgroupfs.kill_listed(at)
            return False
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        home.close()


def sweep_dead(base: Directory) -> list[Directory]:
    """Kill what is in homes whose owner is dead, and remove those that are empty; returns the others. Waits for nobody.

    A directory whose owner's state is unknown stays.
    """
    dead: list[Directory] = []
    namespace = str(namespaces())
    try:
        names = [name for name in os.listdir(base.at()) if name.startswith(PREFIX)]
    except OSError:
        return dead
    for name in names:
        directory = Directory(f"{base.path}/{name}", base)
        left = name.startswith(LEFT_PREFIX)
        fields = name[len(LEFT_PREFIX if left else PREFIX) :].split("-")
        if not _is_dead(fields[:3], namespace):
            continue
        if left:
            _remove_empty(directory)
        elif not sweep(directory):
            dead.append(directory)
    return dead


def forget_left() -> None:
    """In a forked child: these directories are the parent's."""
    _left.clear()


def _is_dead(owner: list[str], namespace: str) -> bool:
    """Whether the owner in a directory's name is certainly dead; False if that cannot be known."""
    if len(owner) != 3 or not all(field.isdigit() for field in owner) or owner[0] != namespace or namespace == "0":
        return False
    pid, start = int(owner[1]), int(owner[2])
    found = start_time(pid)
    if start <= 0 or found is not None:
        return start > 0 and found != start
    # /proc may be mounted with hidepid, or show another namespace's processes: proc(5). What nobody hides is whether there is one.
    return not exists(pid)
