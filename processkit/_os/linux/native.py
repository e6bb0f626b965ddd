"""Runs a child's script in machine code, in a child that shares our memory while this thread is suspended (vfork(2)).

After a launch, whatever happens, there is either a child that is executing its program, or no child and a LaunchError. The
caller's signal mask is unchanged, and no signal handler of ours runs in the child.

Three things are kept from one launch for the next, because programs are often run again and again:
1. the plan of a plain command (`_plan/plan.py`), until the environment, PATH's answer or the arguments differ;
2. the script compiled from it (birth.py), by the identity of the argument list that the kept plan holds, until the plan differs in
   more than its streams or this process is a fork;
3. the sheet of a script, one for each shape: all the words of a launch, of which the next one changes only descriptors.
They gain about 20, 60 and 40 microseconds of a run of some 600.
"""

from __future__ import annotations

import os
import struct
import sys
from errno import EINVAL, ESRCH

from ..._abi import linux, machine_code
from ..._abi.foreign import Cells, function_at, store_at
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
_NOTHING = Cells(bytes(linux.KERNEL_SIGACTION_BYTES))

# The words in front of the records: the mask to restore; a struct pollfd, where the kernel stores the pidfd and ppoll(2) looks
# for it; a struct timespec; two more struct pollfd; a struct timespec of 0; a struct clone_args.
_OLD_MASK, _WATCHED, _PATIENCE, _PIPES, _NO_PATIENCE, _CLONE_ARGS = 0, 1, 2, 4, 6, 8
_RECORDS = _CLONE_ARGS + linux.CLONE_ARGS_SIZE_VER2 // 8
_CLONE = _RECORDS + _SIZE
_FLAGS, _PIDFD, _CHILD_TID, _EXIT_SIGNAL, _CGROUP = (
    getattr(linux.clone_args, name).offset // 8 for name in ("flags", "pidfd", "child_tid", "exit_signal", "cgroup")
)

_PIDFD_FLAG, _CGROUP_FLAG = linux.CLONE_PIDFD, linux.CLONE_INTO_CGROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

#: Sheets kept of one script: a run alone and the stages of a chain have a shape each.
MOST_SHAPES = 8


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


def _record(number: int, *arguments: int, lowest: int = -ANY, highest: int = ANY) -> tuple[int, ...]:
    """The record of one call, which by default accepts any result."""
    return (number, *arguments, *(0,) * (6 - len(arguments)), NOT_RUN, lowest, highest, 0)


class Layout:
    """Where the records of one launch lie, as indices into its words: eleven words each, those in parentheses not in every launch.

        both     block        all signals are blocked
                 clone        the parent gets the child's pid and goes to `restore`, the child gets 0 and goes on
        child   (again)       an orphan: the child clones once more and goes to `gone`, the orphan gets 0 and goes on
                (resets …)    without CLONE_CLEAR_SIGHAND: no handler of ours may run in the child
                 script …     what the child does; a call that fails goes to `failed`
                 failed       getpid and exit: that the first one has run says that the child has failed
                 gone         exit
        parent   restore      the signal mask
                (closing …)   of descriptors that only the child needs
                (linger)      ppoll for the end of a short-lived child, as long as `_PATIENCE`
                (look)        ppoll of its two pipes at that moment

    In front of them lie the words that the kernel reads and writes: `_OLD_MASK` to `_CLONE_ARGS`.
    """

    __slots__ = ("again", "child", "closing", "failed", "gone", "linger", "look", "restore", "script", "size")
    block, clone = _RECORDS, _CLONE

    def __init__(self, script: Script, resets: int, closing: int, lingers: bool) -> None:
        #: The child's first record.
        self.child = self.again = self.clone + _SIZE
        self.script = self.child + _SIZE * (script.orphan + resets)
        self.failed = self.script + len(script.words)
        self.gone = self.failed + 2 * _SIZE
        self.restore = self.gone + _SIZE
        self.closing = self.restore + _SIZE
        self.linger = self.closing + closing * _SIZE
        self.look = self.linger + _SIZE
        self.size = self.linger + (2 * _SIZE if lingers else 0)


class NativeLauncher:
    """The machine code, and the call with which it clones."""

    __slots__ = ("_architecture", "_close", "_flags", "_full_mask", "_head", "_lingering", "_run", "_tail", "_use_clone3", "name")

    def __init__(self, architecture: Architecture, use_clone3: bool) -> None:
        self.name = "clone3" if use_clone3 else "clone"
        self._architecture = architecture
        self._use_clone3 = use_clone3
        self._run = function_at(_code(architecture))
        self._flags = linux.CLONE_VM | linux.CLONE_VFORK | (linux.CLONE_CLEAR_SIGHAND if use_clone3 else 0)
        self._full_mask = Cells(b"\xff" * linux.KERNEL_SIGSET_BYTES)
        numbers, set_size = architecture.numbers, linux.KERNEL_SIGSET_BYTES
        mask = (numbers["rt_sigprocmask"], linux.SIG_SETMASK)
        data = [0] * _RECORDS
        data[_WATCHED], data[_PATIENCE + 1] = POLLIN << 32 | 0xFFFFFFFF, LINGER_NANOSECONDS
        data[_CLONE_ARGS + _EXIT_SIGNAL] = SIGCHLD
        block = _record(*mask, self._full_mask.address, 0, set_size, lowest=0, highest=0)
        clone = _record(numbers["clone3"], 0, linux.CLONE_ARGS_SIZE_VER2, lowest=0, highest=0)
        self._head = (*data, *block, *clone)
        failed = _record(numbers["getpid"], lowest=0, highest=ANY) + _record(numbers["exit"], CHILD_FAILED, lowest=0, highest=0)
        self._tail = failed + _record(numbers["exit"], lowest=0, highest=0) + _record(*mask, 0, 0, set_size)
        self._close = _record(numbers["close"])
        self._lingering = _record(numbers["ppoll"], 0, 1, 0, 0, set_size, lowest=1) + _record(
            numbers["ppoll"], 0, 2, 0, 0, set_size
        )

    def launch(self, script: Script, launched: Launched) -> None:
        """Store the child's pid and pidfd in `launched`; on LaunchError nothing of it is alive and both are -1.

        The descriptors in `launched.closing` are closed and the list emptied, unless not even the clone was tried.
        """
        shape = len(launched.closing), launched.linger is None, launched.streams is None
        sheet = self._kept(script, launched, shape) or self._assembled(script, launched)
        words, layout = sheet.words, sheet.layout
        try:
            self._run(sheet.start)
        finally:
            # In `finally`, so that an exception of a signal handler right after the call, or in here, loses no child.
            try:
                _note(words, launched)
            except BaseException:
                _note(words, launched)
                raise
        pid = words[layout.clone + _RESULT]
        if launched.pid < 0:
            if pid == NOT_RUN:
                raise LaunchError.of("rt_sigprocmask", -words[layout.block + _RESULT])
            raise LaunchError.of(self.name, -pid)
        if words[layout.failed + _RESULT] != NOT_RUN:
            launched.discard()
            raise _stopped_at(script, words, layout)
        if script.orphan and words[layout.again + _RESULT] < 0:  # there was room for the child, and none for the orphan
            launched.discard()
            raise LaunchError.of(self.name, -words[layout.again + _RESULT])
        if launched.linger is not None and words[layout.linger + _RESULT] == 1:
            launched.events = words[_PIPES] >> 48, words[_PIPES + 1] >> 48
        if self._use_clone3:  # with clone(2) the words depend on the signals that are ignored at this moment
            if len(script.kept) >= MOST_SHAPES:
                script.kept.clear()
            script.kept[shape] = sheet

    def _kept(self, script: Script, launched: Launched, shape: tuple[int, bool, bool]) -> _Sheet | None:
        """The sheet kept from an earlier launch of this shape, prepared for this one; nothing else holds it then."""
        sheet: _Sheet | None = script.kept.pop(shape, None)
        if sheet is None or sheet.launcher is not self:
            return None
        sheet.prepare(launched)
        return sheet

    def _assembled(self, script: Script, launched: Launched) -> _Sheet:
        """The whole array of words for this launch."""
        lingers = launched.linger is not None
        resets = () if self._use_clone3 else self._handler_resets()
        layout = Layout(script, len(resets) // _SIZE, len(launched.closing), lingers)
        words = [*self._head, *(self._head[_CLONE:] if script.orphan else ()), *resets, *script.words, *self._tail]
        words += self._close * len(launched.closing)
        if lingers:
            words += self._lingering
        assert len(words) == layout.size
        memory = Cells(bytes(8 * layout.size), "q")

        def at(index: int) -> int:
            """The address of a word."""
            return memory.address + 8 * index

        words[layout.block + 3] = words[layout.restore + 2] = at(_OLD_MASK)
        words[layout.clone + _OTHERWISE] = at(layout.restore)
        for record in range(layout.child, layout.failed, _SIZE):
            words[record + _OTHERWISE] = at(layout.failed)
        if script.orphan:
            words[layout.again + _OTHERWISE] = at(layout.gone)
        if lingers:
            words[layout.linger + 1], words[layout.linger + 3] = at(_WATCHED), at(_PATIENCE)
            words[layout.look + 1], words[layout.look + 3] = at(_PIPES), at(_NO_PATIENCE)
        words[-_SIZE + _LOWEST] = ANY  # after the last record no result continues: the code returns
        self._fill_clone(script, words, layout, at)
        return _Sheet(self, script, launched, layout, memory, words)

    def _fill_clone(self, script: Script, words: list[int], layout: Layout, at: Callable[[int], int]) -> None:
        """Fill in the arguments of the clone, and of the second one for an orphan. Only the child gets 0 and continues."""
        flags = self._flags
        watched = child_tid = 0
        if script.registration is not None:
            flags |= linux.CLONE_CHILD_SETTID
            child_tid = script.registration.address + 4
        if not script.orphan:
            flags |= _PIDFD_FLAG
            watched = at(_WATCHED)
        clones = (layout.clone, layout.again) if script.orphan else (layout.clone,)
        if not self._use_clone3:
            # clone(2): x86-64 takes the child's tid pointer before the tls argument, aarch64 after it.
            order = (child_tid, 0) if self._architecture.name == "x86_64" else (0, child_tid)
            for start in clones:
                words[start : start + 6] = (self._architecture.numbers["clone"], flags | SIGCHLD, 0, watched, *order)
            return
        if script.into_cgroup >= 0:
            flags |= _CGROUP_FLAG
            words[_CLONE_ARGS + _CGROUP] = script.into_cgroup
        words[_CLONE_ARGS + _FLAGS] = flags
        words[_CLONE_ARGS + _PIDFD] = watched
        words[_CLONE_ARGS + _CHILD_TID] = child_tid
        for start in clones:
            words[start + 1] = at(_CLONE_ARGS)

    def _handler_resets(self) -> tuple[int, ...]:
        """The calls that do for clone what CLONE_CLEAR_SIGHAND does for clone3: no handler of ours may run in the child."""
        number, nothing, size = self._architecture.numbers["rt_sigaction"], _NOTHING.address, linux.KERNEL_SIGSET_BYTES
        words: list[int] = []
        for signal in resettable_signals():
            words += _record(number, signal, nothing, 0, size, lowest=-EINVAL, highest=0)
        return (*words,)


class _Sheet:
    """The words of one launch. The next launch of the same shape differs at most in its descriptors, so they are kept for it."""

    __slots__ = (
        "_cgroup", "_closing", "_in_cgroup", "_linger", "_memory", "_pristine", "_sources", "_streams",
        "launcher", "layout", "start", "words",
    )  # fmt: skip

    def __init__(
        self, launcher: NativeLauncher, script: Script, launched: Launched, layout: Layout, memory: Cells, words: list[int]
    ) -> None:
        self.launcher = launcher
        self.layout = layout
        self._memory = memory
        #: The words that run, and the address of the first record.
        self.words = memory.cells
        self.start = memory.address + 8 * layout.block
        self._pristine = memoryview(bytearray(struct.pack(f"{len(words)}q", *words))).cast("q")
        self._sources = [layout.script + index if index >= 0 else -1 for index in script.sources]
        self._in_cgroup = script.into_cgroup >= 0
        self._fill(launched)

    def prepare(self, launched: Launched) -> None:
        """Be the words of this launch, not run yet."""
        if (
            launched.streams != self._streams
            or launched.cgroup != self._cgroup
            or launched.closing != self._closing
            or launched.linger != self._linger
        ):
            self._fill(launched)
        else:
            self.words[:] = self._pristine

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
        for number, descriptor in enumerate(self._closing):
            words[self.layout.closing + number * _SIZE + 1] = descriptor
        if self._linger is not None:
            out, err = self._linger
            words[_PIPES], words[_PIPES + 1] = POLLIN << 32 | out & 0xFFFFFFFF, POLLIN << 32 | err & 0xFFFFFFFF
        self.words[:] = words


def _note(words: memoryview, launched: Launched) -> None:
    """Record in `launched` the child that the run has made, and that the descriptors are closed."""
    pid = words[_CLONE + _RESULT]
    if pid != NOT_RUN:
        if pid > 0:
            launched.pid = pid
            pidfd = words[_WATCHED] & 0xFFFFFFFF
            launched.pidfd = -1 if pidfd == 0xFFFFFFFF else pidfd
        launched.closing.clear()


def _stopped_at(script: Script, words: memoryview, layout: Layout) -> LaunchError:
    """The error of the call that kept the child from becoming its program."""
    for index, name in enumerate(script.names):
        result = words[layout.script + index * _SIZE + _RESULT]
        if not script.accepts(index, result):
            return LaunchError.of(name, -result if result < 0 else ESRCH)
    return LaunchError.of("rt_sigaction", EINVAL)
