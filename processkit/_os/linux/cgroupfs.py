"""Control group directories: list, freeze, kill, empty, remove. Used by the owner and by the guardian. cgroups(7), cgroup-v2.rst"""

from __future__ import annotations

import os
import select
import sys
import time
from errno import EAGAIN, ENODEV, ENOENT, EPERM, ESRCH, ESTALE

from ..._abi.signals import SIGKILL
from ..._core.proctext import cgroup2_mounts, flat_keyed, locate_cgroup, unified_cgroup
from ..lock import Lock
from ..posix.descriptors import Held
from ..posix.reserve import NONE_LEFT, opened
from .procfs import REFUSED_PATIENCE, exists, read_stat

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# A killed process that hangs in the kernel (state D) keeps its cgroup populated; we wait no longer for it than this.
KILL_PATIENCE = 10.0
FREEZE_PATIENCE = 2.0
#: After cgroup.kill processes die within a moment; who lives on after this was not reached by it.
REACHED_PATIENCE = 0.05
MOST_PASSES = 200
LIMITS = "cgroup.max.descendants or cgroup.max.depth of a cgroup above"
#: Pidfds that are open at once.
MOST_HELD = 64
#: How the kernel answers for a cgroup that was removed, whose directory or file is still open.
REMOVED = (ENOENT, ENODEV)


def own_cgroup() -> str | None:
    """The directory of this process's own cgroup v2; None where no cgroup2 mount shows it. OSError where no descriptor is left."""
    try:
        path = unified_cgroup(_content(opened(lambda: os.open("/proc/self/cgroup", os.O_RDONLY | os.O_CLOEXEC))))
        mounts = cgroup2_mounts(_content(opened(lambda: os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC))))
    except OSError as error:
        if error.errno in NONE_LEFT:
            raise
        return None
    found = None if path is None else locate_cgroup(path, mounts)
    return None if found is None else os.fsdecode(found)


def _restore_modes(at: int, name: str, mode: int) -> None:
    """Undo a chmod of a cgroup's directory and of one name in it, which processes inside may have made."""
    for target, wanted, above in ((at, 0o755, None), (name, mode, at)):
        try:
            os.chmod(target, wanted, dir_fd=above)
        except OSError:
            pass  # not ours, or gone: the operation itself will report that


def open_directory(name: str, at: int) -> int:
    """A descriptor of the cgroup `name` in the one that `at` describes."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return opened(lambda: os.open(name, flags, dir_fd=at))
    except PermissionError:
        _restore_modes(at, name, 0o755)
        return opened(lambda: os.open(name, flags, dir_fd=at))


def open_file(at: int, name: str, flags: int) -> int:
    """A descriptor of one file of a cgroup."""
    try:
        return opened(lambda: os.open(name, flags | os.O_CLOEXEC, dir_fd=at))
    except PermissionError:
        _restore_modes(at, name, 0o644)
        return opened(lambda: os.open(name, flags | os.O_CLOEXEC, dir_fd=at))


def write_file(at: int, name: str, text: bytes) -> None:
    """Write one value."""
    descriptor = open_file(at, name, os.O_WRONLY)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


def read_file(at: int, name: str) -> bytes:
    """The whole content of one file of a cgroup."""
    return _content(open_file(at, name, os.O_RDONLY))


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


class Directory:
    """A cgroup's directory, held by descriptor: after a chroot(2), an umount or a mount over it, its path leads elsewhere.

    Owns the descriptor until `close`. If the program closed it, it is opened again, from the directory above.
    """

    __slots__ = ("_held", "_lock", "above", "path")

    def __init__(self, path: str, above: Directory | None = None) -> None:
        #: Where it was when it was made; for people.
        self.path = path
        self.above = above
        self._held: Held | None = None
        self._lock = Lock()

    @property
    def name(self) -> str:
        """Its name in the directory above."""
        return os.path.basename(self.path)

    def at(self) -> int:
        """The descriptor. FileNotFoundError: the directory was removed, as only an empty one can be; OSError: that is unknown."""
        held = self._held
        if held is None or not held.is_ours():
            with self._lock:
                held = self._held
                if held is None or not held.is_ours():
                    self._held = held = Held(self._open())
        return held.number

    def _open(self) -> int:
        if self.above is not None:
            return open_directory(self.name, self.above.at())
        try:
            return opened(lambda: os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise OSError(ESTALE, f"{self.path} cannot be seen any more") from error

    def has_below(self) -> bool:
        """Whether there are directories in it: kernfs counts two links for a directory, and one for each directory in it."""
        found = None if self._held is None else self._held.stat()
        return (found or os.fstat(self.at())).st_nlink > 2

    def make(self) -> None:
        """Create it, again if it was removed."""
        try:
            os.mkdir(self.name, 0o755, dir_fd=self._above())
        except BlockingIOError as error:
            raise OSError(EAGAIN, f"mkdir: no more cgroups are allowed here ({LIMITS})") from error
        self.close()

    def remove(self) -> bool:
        """Remove it and everything below; False when a process is in it again."""
        try:
            return remove(self._above(), self.name)
        except FileNotFoundError:
            return True

    def destroy(self, patience: float | None = None) -> bool:
        """Kill, wait and remove until it is gone; False when a process in it did not die in time."""
        try:
            return destroy(self._above(), self.name, KILL_PATIENCE if patience is None else patience)
        except FileNotFoundError:
            return True

    def _above(self) -> int:
        assert self.above is not None
        return self.above.at()

    def close(self) -> None:
        """Close the descriptor; the directory stays. Idempotent."""
        held, self._held = self._held, None
        if held is not None:
            held.close()


def _names_below(at: int) -> list[str]:
    if os.fstat(at).st_nlink == 2:
        return []  # kernfs: a directory has two links of its own and one for each directory in it
    with os.scandir(at) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _below(at: int) -> list[str]:
    try:
        return opened(lambda: _names_below(at))
    except OSError as error:
        if error.errno in NONE_LEFT:
            raise
        return []  # removed meanwhile, or not ours to list


def _walk(top: int) -> Iterator[tuple[int, str]]:
    """Every cgroup of a subtree, the deepest first and `top` last. A descriptor is valid until the next step.

    (descriptor, "") in a cgroup, when all below it have been left; (descriptor, name) in the one above, when `name` has been left,
    or may not be entered. By descriptors and without recursion, for members may make thousands of levels, and paths longer than
    PATH_MAX.
    """
    here = top
    trail: list[str] = []
    try:
        ahead = [_below(here)]
        while True:
            if ahead[-1]:
                name = ahead[-1].pop()
                try:
                    down = open_directory(name, here)
                except OSError as error:
                    if error.errno in NONE_LEFT:
                        raise
                    yield here, name
                    continue
                left, here = here, down
                if left != top:
                    os.close(left)
                trail.append(name)
                ahead.append(_below(here))
                continue
            yield here, ""
            ahead.pop()
            if not trail:
                return
            try:
                up = top if len(trail) == 1 else open_directory("..", here)
            except PermissionError:
                return  # somebody has locked the way back; kill reaches further than we can see
            left, here = here, up
            os.close(left)
            yield here, trail.pop()
    finally:
        if here != top:
            os.close(here)


def processes(at: int) -> list[int]:
    """Pids in the whole subtree, dying processes included; those in a pid namespace that we cannot see are left out."""
    found: list[int] = []
    for here, left in _walk(at):
        if left:
            continue
        try:
            found += [int(pid) for pid in read_file(here, "cgroup.procs").split()]
        except OSError as error:
            if error.errno in NONE_LEFT:
                raise
            continue  # a threaded cgroup (EOPNOTSUPP: its processes are listed in the one above it), or one that is gone
    return [pid for pid in found if pid > 0]


def live_processes(at: int) -> list[int]:
    """Pids in the subtree that still run; zombies and dead processes are left out, but not those that /proc hides."""
    live = []
    for pid in processes(at):
        stat = read_stat(pid)
        if exists(pid) if stat is None else not stat.gone:
            live.append(pid)
    return live


def populated(at: int) -> bool:
    """Whether a live process is in the subtree; False for a cgroup that was removed."""
    try:
        return flat_keyed(read_file(at, "cgroup.events")).get("populated") != 0
    except OSError as error:
        if error.errno in REMOVED:
            return False
        raise


def signal(at: int, pids: list[int], number: int) -> set[int]:
    """Signal those of `pids` that are still in the subtree; never another process that got a number of theirs.

    Returns those that we may not signal: they are another user's.
    """
    most = MOST_HELD
    refused: set[int] = set()
    while pids:
        try:
            refused |= _signal_some(at, pids[:most], number)
        except OSError as error:
            if error.errno not in NONE_LEFT or most == 1:
                raise
            most = 1  # for one at a time the reserve suffices
        else:
            pids = pids[most:]
    return refused


def _signal_some(at: int, pids: list[int], number: int) -> set[int]:
    held: dict[int, int] = {}
    try:
        for pid in pids:
            pidfd = _pidfd_of(pid)
            if pidfd is not None:
                held[pid] = pidfd
        # A number that is listed now belonged to the same process when its pidfd was opened, or that one is dead.
        return {pid for pid in held.keys() & set(processes(at)) if not _send(pid, held[pid], number)}
    finally:
        for pidfd in held.values():
            if pidfd >= 0:
                os.close(pidfd)


def _pidfd_of(pid: int) -> int | None:
    """A pidfd; -1 where the kernel has none (before 5.3), None for a process that is gone."""
    from .calls import architecture, open_pidfd  # not before: a guardian seldom needs them, and ctypes is half of its start

    try:
        return opened(lambda: open_pidfd(architecture(), pid))
    except OSError as error:
        if error.errno == ESRCH:
            return None
        raise


def _send(pid: int, pidfd: int, number: int) -> bool:
    """Whether we may signal it."""
    from .calls import architecture, raw_syscall

    try:
        if pidfd >= 0:
            raw_syscall(architecture(), "pidfd_send_signal", pidfd, number, 0, 0)
        else:
            os.kill(pid, number)
    except OSError as error:
        if error.errno == EPERM:
            return False
        if error.errno != ESRCH:
            raise
    return True


def kill(at: int, patience: float = FREEZE_PATIENCE) -> set[int]:
    """Kill the whole subtree, including children that are being forked into it; without cgroup.kill it is first frozen.

    Returns the pids of those that certainly live on, for they are another user's: cgroup.kill asks nobody's permission.
    """
    try:
        write_file(at, "cgroup.kill", b"1")
    except OSError:
        return _freeze_and_sweep(at, patience)  # before 5.14 there is no cgroup.kill; some kernels answer EACCES, not ENOENT
    try:
        kill_listed(at)
    except OSError:
        pass  # most are killed; `wait_killed` looks again
    return set()


def kill_listed(at: int) -> set[int]:
    """Kill every process that the subtree lists: cgroup.kill does not reach one whose first thread has ended (Linux 6.1 to 7.2).

    Returns those that we may not kill.
    """
    return signal(at, processes(at), SIGKILL)


def _freeze_and_sweep(at: int, patience: float) -> set[int]:
    """Kill without cgroup.kill: a frozen process does not fork, and SIGKILL ends it too (cgroup.freeze, Linux 5.2)."""
    frozen = freeze(at, True, patience)
    refused: set[int] = set()
    try:
        killed: set[int] = set()
        for _ in range(MOST_PASSES):
            fresh = [pid for pid in processes(at) if pid not in killed]
            if not fresh:
                break
            killed.update(fresh)
            refused |= signal(at, fresh, SIGKILL)
    finally:
        if frozen:
            freeze(at, False)
    return refused


def freeze(at: int, on: bool, patience: float = FREEZE_PATIENCE) -> bool:
    """Freeze the whole subtree and wait until it stands still, or thaw it; False where this kernel cannot (before 5.2).

    A process that hangs in the kernel stops when it returns from there; we do not wait for that.
    """
    try:
        write_file(at, "cgroup.freeze", b"1" if on else b"0")
    except OSError:
        return False
    if on:
        _wait_for(at, "frozen", 1, patience)
    return True


def wait_killed(at: int, patience: float = KILL_PATIENCE) -> bool:
    """Wait until no process is left in the subtree that was killed; False when the patience ran out first.

    Who may not be killed is waited for a second at most.
    """
    if _wait_for(at, "populated", 0, min(patience, REACHED_PATIENCE)):
        return True
    if kill_listed(at):
        patience = min(patience, REFUSED_PATIENCE)
    return _wait_for(at, "populated", 0, patience - min(patience, REACHED_PATIENCE))


def _wait_for(at: int, key: str, value: int, patience: float) -> bool:
    """Wait until cgroup.events has `value` for `key`, woken by the kernel (POLLPRI); True if the cgroup was removed."""
    events = -1
    try:
        events = open_file(at, "cgroup.events", os.O_RDONLY)
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        deadline = time.monotonic() + patience
        while flat_keyed(os.pread(events, 4096, 0)).get(key) != value:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
        return True
    except OSError as error:
        if error.errno in REMOVED:
            return True
        raise
    finally:
        if events >= 0:
            os.close(events)


def remove(above: int, name: str) -> bool:
    """Remove the cgroup `name` and all below it, which must be empty; False when a process is in it again."""
    try:
        at = open_directory(name, above)
    except FileNotFoundError:
        return True
    except PermissionError:
        return _rmdir(above, name)  # another user's, who lets nobody in
    try:
        for here, left in _walk(at):
            if left:
                _rmdir(here, left)  # what cannot be removed keeps those above it, and so is told by the last one
    finally:
        os.close(at)
    return _rmdir(above, name)


def _rmdir(above: int, name: str) -> bool:
    try:
        try:
            os.rmdir(name, dir_fd=above)
        except PermissionError:
            _restore_modes(above, name, 0o755)
            os.rmdir(name, dir_fd=above)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def destroy(above: int, name: str, patience: float = KILL_PATIENCE) -> bool:
    """Kill, wait and remove until the cgroup is gone; False when a process in it did not die in time."""
    if _rmdir(above, name):
        return True  # which the kernel does only with an empty one
    deadline = time.monotonic() + patience
    at = open_directory(name, above)
    try:
        while True:
            kill(at)
            dead = wait_killed(at, max(deadline - time.monotonic(), 0.0))
            if remove(above, name):
                return True
            if not dead or time.monotonic() > deadline:
                return False
            time.sleep(
                0.0005
            )  # `populated` is 0 before the last task has left for good (Linux 6.19): rmdir says EBUSY until then
    finally:
        os.close(at)
