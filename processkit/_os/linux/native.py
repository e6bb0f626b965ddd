"""Runs a child's script in machine code, in a child that shares our memory while this thread is suspended (vfork(2)).

After a launch, whatever happens, there is either a child that is executing its program, or no child and a LaunchError. The
caller's signal mask is unchanged, and no signal handler of ours runs in the child.
"""

from __future__ import annotations

import os
import sys
from array import array
from errno import EINVAL, ESRCH

from ..._abi import linux, machine_code
from ..._abi.foreign import function_at, store_at
from ..._abi.linux_signals import SIGCHLD
from ..errors import LaunchError
from .calls import Architecture, raw_syscall
from .script import ANY, CHILD_FAILED, NOT_RUN, Launched, Script, resettable_signals

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

_SIZE, _RESULT, _LOWEST, _OTHERWISE = machine_code.WORDS, machine_code.RESULT, machine_code.LOWEST, machine_code.OTHERWISE
POLLIN = 1
# The launch itself sees the end of a child that ends within this time. It is longer than a tick of the usual 250 Hz: a timer
# that is due before the next tick has to be programmed, which costs a virtual machine more than ten microseconds.
LINGER_NANOSECONDS = 5_000_000
_NOTHING = array("B", bytes(linux.KERNEL_SIGACTION_BYTES))

# The words in front of the records: the mask to restore; a struct pollfd, where the kernel stores the pidfd and ppoll(2) looks
# for it; a struct timespec; two more struct pollfd; a struct timespec of 0; a struct clone_args.
_OLD_MASK, _WATCHED, _PATIENCE, _PIPES, _NO_PATIENCE, _CLONE_ARGS = 0, 1, 2, 4, 6, 8
_RECORDS = _CLONE_ARGS + linux.CLONE_ARGS_SIZE_VER2 // 8
_CLONE = _RECORDS + _SIZE
_FLAGS, _PIDFD, _CHILD_TID, _EXIT_SIGNAL, _CGROUP = (
    getattr(linux.clone_args, name).offset // 8 for name in ("flags", "pidfd", "child_tid", "exit_signal", "cgroup")
)

_PIDFD_FLAG, _CGROUP_FLAG = linux.CLONE_PIDFD, linux.CLONE_INTO_CGROUP


def _record(number: int, *arguments: int, lowest: int = -ANY, highest: int = ANY) -> array[int]:
    """The record of one call, which by default accepts any result."""
    return array("q", (number, *arguments, *(0,) * (6 - len(arguments)), NOT_RUN, lowest, highest, 0))


def _map_code(machine: Architecture, code: bytes) -> tuple[int, int]:
    """The address and size of a page that holds `code`, readable and executable. OSError where such pages are refused.

    The page is never writable and executable at once: SELinux's execmem and PaX's MPROTECT forbid that. The system call maps it,
    because the import of the `mmap` module costs more than everything else that a launcher does.
    """
    size = os.sysconf("SC_PAGESIZE")
    access, flags = linux.PROT_READ | linux.PROT_WRITE, linux.MAP_PRIVATE | linux.MAP_ANONYMOUS
    start = raw_syscall(machine, "mmap", 0, size, access, flags, -1, 0)
    try:
        store_at(start, code)
        linux.mprotect(start, size, linux.PROT_READ | linux.PROT_EXEC)
    except BaseException:
        raw_syscall(machine, "munmap", start, size)
        raise
    return start, size


def code_pages_allowed(machine: Architecture) -> bool:
    """Whether this process may have a page of code; the page is unmapped again."""
    try:
        page = _map_code(machine, b"")
    except OSError:
        return False
    raw_syscall(machine, "munmap", *page)
    return True


# The page with the code, mapped once for the life of this process.
_code_page: list[int] = []


def _code(machine: Architecture) -> int:
    if not _code_page:
        _code_page.append(_map_code(machine, machine_code.CODE[machine.name])[0])
    return _code_page[0]


class NativeLauncher:
    """The machine code, and the call with which it clones.

    The code runs over one array: a few words that the kernel reads and writes (`_OLD_MASK` to `_CLONE_ARGS`), then the records:
    block all signals, clone; for the child, its script and its two ways to end; for the parent, restoring its mask, closing,
    lingering.
    """

    __slots__ = (
        "_architecture", "_closing", "_flags", "_full_mask", "_head", "_lingering", "_run", "_tail", "_use_clone3", "name",
    )  # fmt: skip

    def __init__(self, architecture: Architecture, use_clone3: bool) -> None:
        self.name = "clone3" if use_clone3 else "clone"
        self._architecture = architecture
        self._use_clone3 = use_clone3
        self._run = function_at(_code(architecture))
        self._flags = linux.CLONE_VM | linux.CLONE_VFORK | (linux.CLONE_CLEAR_SIGHAND if use_clone3 else 0)
        self._full_mask = array("Q", [0xFFFFFFFFFFFFFFFF])
        numbers = architecture.numbers
        mask = (numbers["rt_sigprocmask"], linux.SIG_SETMASK)
        data = array("q", bytes(8 * _RECORDS))
        data[_WATCHED], data[_PATIENCE + 1] = POLLIN << 32 | 0xFFFFFFFF, LINGER_NANOSECONDS
        data[_CLONE_ARGS + _EXIT_SIGNAL] = SIGCHLD
        block = _record(*mask, self._full_mask.buffer_info()[0], 0, linux.KERNEL_SIGSET_BYTES, lowest=0, highest=0)
        clone = _record(numbers["clone3"], 0, linux.CLONE_ARGS_SIZE_VER2, lowest=0, highest=0)
        self._head = data + block + clone
        # The two ways in which a child ends without becoming its program: it failed, or it has cloned an orphan.
        failed = _record(numbers["getpid"], lowest=0, highest=ANY) + _record(numbers["exit"], CHILD_FAILED, lowest=0, highest=0)
        self._tail = failed + _record(numbers["exit"], lowest=0, highest=0) + _record(*mask, 0, 0, linux.KERNEL_SIGSET_BYTES)
        self._closing = _record(numbers["close"])
        self._lingering = (
            _record(numbers["ppoll"], 0, 1, 0, 0, linux.KERNEL_SIGSET_BYTES, lowest=1)
            + _record(numbers["ppoll"], 0, 2, 0, 0, linux.KERNEL_SIGSET_BYTES)
        )  # fmt: skip

    def launch(self, script: Script, launched: Launched) -> None:
        """Store the child's pid and pidfd in `launched`; on LaunchError nothing of it is alive and both are -1.

        The descriptors in `launched.closing` are closed and the list emptied, unless not even the clone was tried.
        """
        sheet = _kept_sheet(self, script, launched) or self._assembled(script, launched)
        memory, failed = sheet.memory, sheet.failed
        try:
            self._run(memory.buffer_info()[0] + 8 * _RECORDS)
        finally:
            # In `finally`, so that an exception of a signal handler right after the call, or in here, loses no child.
            try:
                _note(memory, launched)
            except BaseException:
                _note(memory, launched)
                raise
        pid = memory[_CLONE + _RESULT]
        if launched.pid < 0:
            if pid == NOT_RUN:
                raise LaunchError.of("rt_sigprocmask", -memory[_RECORDS + _RESULT])
            raise LaunchError.of(self.name, -pid)
        if memory[failed + _RESULT] != NOT_RUN:
            launched.discard()
            raise _stopped_at(script, memory, failed)
        if launched.linger is not None and memory[_RESULT - 2 * _SIZE] == 1:
            launched.events = memory[_PIPES] >> 48, memory[_PIPES + 1] >> 48
        if self._use_clone3 and not script.kept:  # with clone(2) the words depend on the signals that are ignored at this moment
            script.kept.append(sheet)

    def _assembled(self, script: Script, launched: Launched) -> _Sheet:
        """The whole array of words for this launch."""
        memory = array("q", self._head)
        if script.orphan:
            memory.extend(memory[_CLONE:])  # the child clones once more and exits; the process that goes on is a child of init
        if not self._use_clone3:
            memory.extend(self._handler_resets())
        memory.extend(script.words)
        failed = len(memory)
        memory.extend(self._tail)
        restore = len(memory) - _SIZE
        memory.extend(self._closing * len(launched.closing))
        if launched.linger is not None:
            memory.extend(self._lingering)
        memory[-_SIZE + _LOWEST] = ANY  # after the last record no result continues: the code returns
        base = memory.buffer_info()[0]
        memory[_RECORDS + 3] = memory[restore + 2] = base + 8 * _OLD_MASK
        if launched.linger is not None:
            memory[1 - 2 * _SIZE], memory[3 - 2 * _SIZE] = base + 8 * _WATCHED, base + 8 * _PATIENCE
            memory[1 - _SIZE], memory[3 - _SIZE] = base + 8 * _PIPES, base + 8 * _NO_PATIENCE
        self._fill_clone(script, memory, base)
        memory[_CLONE + _OTHERWISE] = base + 8 * restore
        first = _CLONE + _SIZE * (2 if script.orphan else 1)
        memory[first + _OTHERWISE : failed : _SIZE] = array("q", [base + 8 * failed]) * ((failed - first) // _SIZE)
        if script.orphan:
            memory[first - _SIZE + _OTHERWISE] = base + 8 * (restore - _SIZE)
        return _Sheet(self, script, launched, memory, failed)

    def _fill_clone(self, script: Script, memory: array[int], base: int) -> None:
        """Fill in the arguments of the clone, and of the second one for an orphan. Only the child gets 0 and continues."""
        flags = self._flags
        watched = child_tid = 0
        if script.registration is not None:
            flags |= linux.CLONE_CHILD_SETTID
            child_tid = script.registration.buffer_info()[0] + script.registration.itemsize
        if not script.orphan:
            flags |= _PIDFD_FLAG
            watched = base + 8 * _WATCHED
        if not self._use_clone3:
            # clone(2): x86-64 takes the child's tid pointer before the tls argument, aarch64 after it.
            order = (child_tid, 0) if self._architecture.name == "x86_64" else (0, child_tid)
            record = array("q", (self._architecture.numbers["clone"], flags | SIGCHLD, 0, watched, *order))
            for start in (_CLONE, _CLONE + _SIZE)[: 1 + script.orphan]:
                memory[start : start + len(record)] = record
            return
        if script.into_cgroup >= 0:
            flags |= _CGROUP_FLAG
            memory[_CLONE_ARGS + _CGROUP] = script.into_cgroup
        memory[_CLONE_ARGS + _FLAGS] = flags
        memory[_CLONE_ARGS + _PIDFD] = watched
        memory[_CLONE_ARGS + _CHILD_TID] = child_tid
        memory[_CLONE + 1] = memory[_CLONE + script.orphan * _SIZE + 1] = base + 8 * _CLONE_ARGS

    def _handler_resets(self) -> array[int]:
        """The calls that do for clone what CLONE_CLEAR_SIGHAND does for clone3: no handler of ours may run in the child."""
        number = self._architecture.numbers["rt_sigaction"]
        nothing = _NOTHING.buffer_info()[0]
        words = array("q")
        for signal in resettable_signals():
            words += _record(number, signal, nothing, 0, linux.KERNEL_SIGSET_BYTES, lowest=-EINVAL, highest=0)
        return words


class _Sheet:
    """The words of one launch. The next launch of the same script differs at most in its descriptors, so they are kept for it."""

    __slots__ = (
        "_cgroup", "_closing", "_closing_at", "_in_cgroup", "_launcher", "_linger", "_pristine", "_sources", "_streams", "failed", "memory",
    )  # fmt: skip

    def __init__(self, launcher: NativeLauncher, script: Script, launched: Launched, memory: array[int], failed: int) -> None:
        self._launcher = launcher
        #: The words that run, and the index of the record at which a child continues when one of its calls failed.
        self.memory, self.failed = memory, failed
        self._pristine = memory[:]
        start = failed - len(script.words)
        self._sources = [start + index if index >= 0 else -1 for index in script.sources]
        self._in_cgroup = script.into_cgroup >= 0
        self._closing_at = len(memory) - _SIZE * (len(launched.closing) + 2 * (launched.linger is not None)) + 1
        self._fill(launched)

    def serve(self, launcher: NativeLauncher, launched: Launched) -> bool:
        """Prepare the words for this launch; False if it needs other records."""
        if (
            launched.streams != self._streams
            or launched.cgroup != self._cgroup
            or launched.closing != self._closing
            or launched.linger != self._linger
        ):
            shape = len(launched.closing), launched.linger is None, launched.streams is None
            if shape != (len(self._closing), self._linger is None, self._streams is None):
                return False
            self._fill(launched)
        else:
            self.memory[:] = self._pristine
        return launcher is self._launcher

    def _fill(self, launched: Launched) -> None:
        """Put the descriptors of this launch into the words."""
        words = self._pristine
        self._streams, self._cgroup = launched.streams, launched.cgroup
        self._closing, self._linger = launched.closing[:], launched.linger
        if self._streams is not None:
            for index, descriptor in zip(self._sources, self._streams):
                if index >= 0:
                    words[index] = descriptor
            if self._in_cgroup:
                words[_CLONE_ARGS + _CGROUP] = self._cgroup
        for index, descriptor in enumerate(self._closing):
            words[self._closing_at + index * _SIZE] = descriptor
        if self._linger is not None:
            out, err = self._linger
            words[_PIPES], words[_PIPES + 1] = POLLIN << 32 | out & 0xFFFFFFFF, POLLIN << 32 | err & 0xFFFFFFFF
        self.memory[:] = words


def _kept_sheet(launcher: NativeLauncher, script: Script, launched: Launched) -> _Sheet | None:
    """The sheet kept from an earlier launch of this script, prepared for this one; it is no longer in `script.kept`."""
    try:
        sheet: _Sheet = script.kept.pop()
    except IndexError:
        return None
    return sheet if sheet.serve(launcher, launched) else None


def _note(memory: array[int], launched: Launched) -> None:
    """Record in `launched` the child that the run has made, and that the descriptors are closed."""
    pid = memory[_CLONE + _RESULT]
    if pid != NOT_RUN:
        if pid > 0:
            launched.pid = pid
            pidfd = memory[_WATCHED] & 0xFFFFFFFF
            launched.pidfd = -1 if pidfd == 0xFFFFFFFF else pidfd
        launched.closing.clear()


def _stopped_at(script: Script, memory: array[int], failed: int) -> LaunchError:
    """The error of the call that kept the child from becoming its program."""
    first = failed - len(script.words)
    for index, name in enumerate(script.names):
        result = memory[first + index * _SIZE + _RESULT]
        if not script.accepts(index, result):
            return LaunchError.of(name, -result if result < 0 else ESRCH)
    return LaunchError.of("rt_sigaction", EINVAL)
