"""Control group directories: list, freeze, kill, empty, remove. Used by the owner and by the guardian. cgroups(7), cgroup-v2.rst"""

from __future__ import annotations

import os
import select
import sys
import time

from ..._abi.signals import SIGKILL
from ..._core.proctext import cgroup2_mounts, flat_keyed, locate_cgroup, unified_cgroup
from ..posix.reserve import NONE_LEFT, opened
from .procfs import read_stat

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# A killed process that hangs in the kernel (state D) keeps its cgroup populated; nobody waits for it longer.
KILL_PATIENCE = 10.0
FREEZE_PATIENCE = 2.0
MOST_PASSES = 200


def own_cgroup() -> str | None:
    """The directory of the cgroup v2 that this process is in; None where no cgroup2 mount shows it."""
    try:
        path = unified_cgroup(_content(os.open("/proc/self/cgroup", os.O_RDONLY | os.O_CLOEXEC)))
        mounts = cgroup2_mounts(_content(os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)))
    except OSError:
        return None
    found = None if path is None else locate_cgroup(path, mounts)
    return None if found is None else os.fsdecode(found)


def open_file(directory: str, name: str, flags: int) -> int:
    """A descriptor of one file; what is inside may have changed the modes of its own cgroup, which are ours to set back."""
    try:
        return opened(lambda: os.open(f"{directory}/{name}", flags | os.O_CLOEXEC))
    except PermissionError:
        restore_modes(directory, name)
        return os.open(f"{directory}/{name}", flags | os.O_CLOEXEC)


def write_file(directory: str, name: str, text: bytes) -> None:
    """Write one value."""
    descriptor = open_file(directory, name, os.O_WRONLY)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


def read_file(directory: str, name: str) -> bytes:
    """The whole content of one file of a cgroup."""
    return _content(open_file(directory, name, os.O_RDONLY))


def _content(descriptor: int) -> bytes:
    """All that is to be read; closes it."""
    try:
        parts: list[bytes] = []
        while True:
            part = os.read(descriptor, 65536)
            if not part:
                return b"".join(parts)
            parts.append(part)
    finally:
        os.close(descriptor)


def restore_modes(directory: str, name: str | None = None) -> None:
    """Undo a chmod of the directory, of the one above it, and of one file in it."""
    for path, mode in ((os.path.dirname(directory), 0o755), (directory, 0o755), (f"{directory}/{name}", 0o644)):
        try:
            if name is not None or path != f"{directory}/{name}":
                os.chmod(path, mode)
        except OSError:
            pass  # not ours, or gone: the operation itself will say so


def _below(directory: str) -> list[str]:
    if os.stat(directory).st_nlink == 2:
        return []  # kernfs counts a directory's own two links and one for each below it
    return [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]


def subtree(directory: str) -> Iterator[str]:
    """`directory` and every cgroup below it, the deepest first."""
    try:
        entries = opened(lambda: _below(directory))
    except PermissionError:
        restore_modes(directory)
        entries = _below(directory)
    except OSError as error:
        if error.errno in NONE_LEFT:
            raise
        return
    for name in entries:
        yield from subtree(f"{directory}/{name}")
    yield directory


def processes(directory: str) -> list[int]:
    """Pids in the whole subtree, the dying included; those of a pid namespace that we cannot see are left out."""
    found: list[int] = []
    for path in subtree(directory):
        try:
            found += [int(pid) for pid in read_file(path, "cgroup.procs").split()]
        except OSError as error:
            if error.errno in NONE_LEFT:
                raise
            continue  # a threaded cgroup (EOPNOTSUPP: its processes are listed above it), or it is gone
    return [pid for pid in found if pid > 0]


def live_processes(directory: str) -> list[int]:
    """Pids in the subtree that still run; zombies and the dead are none."""
    live = []
    for pid in processes(directory):
        stat = read_stat(pid)
        if stat is not None and not stat.gone:
            live.append(pid)
    return live


def populated(directory: str) -> bool:
    """Whether a live process is in the subtree; a directory that is gone holds none."""
    try:
        return flat_keyed(read_file(directory, "cgroup.events")).get("populated", 0) != 0
    except OSError:
        return False


def kill(directory: str) -> None:
    """Kill the whole subtree, children that are being forked into it included."""
    try:
        write_file(directory, "cgroup.kill", b"1")
    except FileNotFoundError:
        if os.path.isdir(directory):
            _freeze_and_sweep(directory)
    except OSError:
        _freeze_and_sweep(directory)  # before 5.14 there is no cgroup.kill; some kernels say EACCES for that


def _freeze_and_sweep(directory: str) -> None:
    """Without cgroup.kill: who is frozen forks no more, and SIGKILL takes the frozen too (cgroup.freeze, Linux 5.2)."""
    frozen = freeze(directory, True)
    try:
        killed: set[int] = set()
        for _ in range(MOST_PASSES):
            fresh = [pid for pid in processes(directory) if pid not in killed]
            if not fresh:
                break
            for pid in fresh:
                killed.add(pid)
                try:
                    os.kill(pid, SIGKILL)
                except ProcessLookupError:
                    pass
    finally:
        if frozen:
            freeze(directory, False)


def freeze(directory: str, on: bool) -> bool:
    """Stop the whole subtree and wait until it stands still, or let it go; False where this kernel cannot (before 5.2).

    A process that hangs in the kernel stops when it comes back; nobody waits for that.
    """
    try:
        write_file(directory, "cgroup.freeze", b"1" if on else b"0")
    except OSError:
        return False
    if on:
        _wait_for(directory, "frozen", 1, FREEZE_PATIENCE)
    return True


def wait_empty(directory: str, patience: float = KILL_PATIENCE) -> bool:
    """Wait until nobody is left in the subtree; False when the patience ran out first."""
    return _wait_for(directory, "populated", 0, patience)


def _wait_for(directory: str, key: str, value: int, patience: float) -> bool:
    """Wait until cgroup.events says so, woken by the kernel (POLLPRI); a directory that is gone says everything."""
    try:
        events = open_file(directory, "cgroup.events", os.O_RDONLY)
    except OSError:
        return not os.path.isdir(directory)
    try:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        deadline = time.monotonic() + patience
        while flat_keyed(os.pread(events, 4096, 0)).get(key) != value:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
        return True
    except OSError:
        return True  # ENODEV: the directory has been removed under us
    finally:
        os.close(events)


def remove(directory: str) -> bool:
    """Remove the subtree, which must be empty; False when somebody is in it again."""
    for path in subtree(directory):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return not os.path.isdir(directory)


def destroy(directory: str, patience: float = KILL_PATIENCE) -> bool:
    """Kill, wait, remove, again until the directory is gone; False when something in it would not die."""
    deadline = time.monotonic() + patience
    while not remove(directory):
        kill(directory)
        if not wait_empty(directory, max(deadline - time.monotonic(), 0.0)):
            return False
        if not remove(directory):
            # `populated` is 0 before the last task has left for good (Linux 6.19); rmdir says EBUSY until it has.
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
    return True
