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

# A killed process that hangs in the kernel (state D) keeps its cgroup populated; we wait no longer for it than this.
KILL_PATIENCE = 10.0
FREEZE_PATIENCE = 2.0
MOST_PASSES = 200


def own_cgroup() -> str | None:
    """The directory of this process's own cgroup v2; None where no cgroup2 mount shows it."""
    try:
        path = unified_cgroup(_content(os.open("/proc/self/cgroup", os.O_RDONLY | os.O_CLOEXEC)))
        mounts = cgroup2_mounts(_content(os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)))
    except OSError:
        return None
    found = None if path is None else locate_cgroup(path, mounts)
    return None if found is None else os.fsdecode(found)


def open_file(directory: str, name: str, flags: int) -> int:
    """A descriptor of one file; processes inside may have changed the modes of their cgroup, which we then restore."""
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
    """Everything that can be read from the descriptor; closes it."""
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
            pass  # not ours, or gone: the operation itself will report that


def _below(directory: str) -> list[str]:
    if os.stat(directory).st_nlink == 2:
        return []  # kernfs: a directory has two links of its own and one for each directory in it
    return [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]


def subtree(directory: str) -> Iterator[str]:
    """Every cgroup below `directory`, the deepest first, and then `directory` itself."""
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
    """Pids in the whole subtree, dying processes included; those in a pid namespace that we cannot see are left out."""
    found: list[int] = []
    for path in subtree(directory):
        try:
            found += [int(pid) for pid in read_file(path, "cgroup.procs").split()]
        except OSError as error:
            if error.errno in NONE_LEFT:
                raise
            continue  # a threaded cgroup (EOPNOTSUPP: its processes are listed in the one above it), or one that is gone
    return [pid for pid in found if pid > 0]


def live_processes(directory: str) -> list[int]:
    """Pids in the subtree that still run; zombies and dead processes are left out."""
    live = []
    for pid in processes(directory):
        stat = read_stat(pid)
        if stat is not None and not stat.gone:
            live.append(pid)
    return live


def populated(directory: str) -> bool:
    """Whether a live process is in the subtree; False for a directory that is gone."""
    try:
        return flat_keyed(read_file(directory, "cgroup.events")).get("populated", 0) != 0
    except OSError:
        return False


def kill(directory: str, patience: float = FREEZE_PATIENCE) -> None:
    """Kill the whole subtree, including children that are being forked into it; without cgroup.kill it is first frozen."""
    try:
        write_file(directory, "cgroup.kill", b"1")
    except FileNotFoundError:
        if os.path.isdir(directory):
            _freeze_and_sweep(directory, patience)
    except OSError:
        _freeze_and_sweep(directory, patience)  # before 5.14 there is no cgroup.kill; some kernels answer EACCES, not ENOENT


def _freeze_and_sweep(directory: str, patience: float) -> None:
    """Kill without cgroup.kill: a frozen process does not fork, and SIGKILL ends it too (cgroup.freeze, Linux 5.2)."""
    frozen = freeze(directory, True, patience)
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


def freeze(directory: str, on: bool, patience: float = FREEZE_PATIENCE) -> bool:
    """Freeze the whole subtree and wait until it stands still, or thaw it; False where this kernel cannot (before 5.2).

    A process that hangs in the kernel stops when it returns from there; we do not wait for that.
    """
    try:
        write_file(directory, "cgroup.freeze", b"1" if on else b"0")
    except OSError:
        return False
    if on:
        _wait_for(directory, "frozen", 1, patience)
    return True


def wait_empty(directory: str, patience: float = KILL_PATIENCE) -> bool:
    """Wait until no process is left in the subtree; False when the patience ran out first."""
    return _wait_for(directory, "populated", 0, patience)


def _wait_for(directory: str, key: str, value: int, patience: float) -> bool:
    """Wait until cgroup.events has `value` for `key`, woken by the kernel (POLLPRI); True if the directory is gone."""
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
        return True  # ENODEV: the directory has been removed meanwhile
    finally:
        os.close(events)


def remove(directory: str) -> bool:
    """Remove the subtree, which must be empty; False when a process is in it again."""
    for path in subtree(directory):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return not os.path.isdir(directory)


def destroy(directory: str, patience: float = KILL_PATIENCE) -> bool:
    """Kill, wait and remove until the directory is gone; False when a process in it did not die in time."""
    deadline = time.monotonic() + patience
    while not remove(directory):
        kill(directory)
        if not wait_empty(directory, max(deadline - time.monotonic(), 0.0)):
            return False
        if not remove(directory):
            # `populated` is 0 before the last task has left for good (Linux 6.19); rmdir fails with EBUSY until then.
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
    return True
