"""Runs a child's script by machine code, in a child that shares our memory while this thread is suspended (vfork(2)).

What a launch leaves behind, whatever happens: a child that is executing its program, or none and a LaunchError. The
caller's signal mask is what it was, and no signal handler of ours runs in the child.
"""

from __future__ import annotations

import mmap
import sys
from array import array

from .._abi import linux, machine_code
from .._abi.foreign import address, buffer_address, function_at
from .._abi.signals import SIGCHLD
from .launching import CHILD_FAILED, EINVAL, ESRCH, Architecture, Launched, LaunchError, resettable_signals
from .script import ANY, NOT_RUN, Script

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

_SIZE, _RESULT, _OTHERWISE = machine_code.WORDS, machine_code.RESULT, machine_code.OTHERWISE
_NOTHING = array("B", bytes(linux.KERNEL_SIGACTION_BYTES))


def _map_code(code: bytes) -> tuple[mmap.mmap, int]:
    """A page that holds `code`, readable and executable, and its address; OSError where such pages are refused.

    Never writable and executable at once: SELinux's execmem and PaX's MPROTECT forbid that, and rightly.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    page.write(code)
    start = buffer_address(page)
    linux.mprotect(start, mmap.PAGESIZE, linux.PROT_READ | linux.PROT_EXEC)
    return page, start


def code_pages_allowed() -> bool:
    """Whether this process may make a page of code; the page is given back."""
    try:
        _map_code(b"")
    except OSError:
        return False
    return True


class NativeLauncher:
    """One page of machine code for the life of the process, and the way it clones."""

    __slots__ = ("_architecture", "_full_mask", "_page", "_run", "_use_clone3", "name")

    def __init__(self, architecture: Architecture, use_clone3: bool) -> None:
        self.name = "clone3" if use_clone3 else "clone"
        self._architecture = architecture
        self._use_clone3 = use_clone3
        self._page, start = _map_code(machine_code.CODE[architecture.name])
        self._run = function_at(start)
        self._full_mask = array("Q", [0xFFFFFFFFFFFFFFFF])

    def launch(self, script: Script, launched: Launched) -> None:
        """Store the child's pid and pidfd in `launched`; on LaunchError nothing of it is alive and both are -1."""
        pidfd = array("i", [-1])
        old_mask = array("Q", [0])
        words = self._mask_words(self._full_mask, old_mask, 0)
        clone, *keep = self._clone_words(script, pidfd.buffer_info()[0])
        words += clone
        if script.orphan:
            # The child clones once more and leaves; what goes on is nobody's child but init's.
            clone, *more = self._clone_words(script, 0)
            words += clone
            keep += more
        if not self._use_clone3:
            words += self._handler_resets()
        words += script.words
        failed = len(words)
        numbers = self._architecture.numbers
        words += [numbers["getpid"], 0, 0, 0, 0, 0, 0, NOT_RUN, 0, ANY, 0]
        words += [numbers["exit"], CHILD_FAILED, 0, 0, 0, 0, 0, NOT_RUN, 0, 0, 0]
        leave = len(words)
        words += [numbers["exit"], 0, 0, 0, 0, 0, 0, NOT_RUN, 0, 0, 0]
        restore = len(words)
        words += self._mask_words(old_mask, None, 1)
        memory = array("q", words)
        base = memory.buffer_info()[0]
        memory[_SIZE + _OTHERWISE] = base + 8 * restore
        for index in range(2 * _SIZE + _OTHERWISE, failed, _SIZE):
            memory[index] = base + 8 * failed
        if script.orphan:
            memory[2 * _SIZE + _OTHERWISE] = base + 8 * leave
        try:
            self._run(base)
        finally:
            # Read here, so that what a signal handler of ours raises right after the call loses no child.
            if memory[_SIZE + _RESULT] != NOT_RUN:
                launched.pid = memory[_SIZE + _RESULT]
                launched.pidfd = pidfd[0]
        if memory[_SIZE + _RESULT] == NOT_RUN:
            raise LaunchError.of("rt_sigprocmask", -memory[_RESULT])
        if launched.pid < 0:
            code, launched.pid = -launched.pid, -1
            raise LaunchError.of(self.name, code)
        if memory[failed + _RESULT] != NOT_RUN:
            launched.discard()
            raise _stopped_at(script, memory, failed)

    def _mask_words(self, new: array[int], old: array[int] | None, lowest: int) -> list[int]:
        """rt_sigprocmask(2) of this thread; the kernel stores the old mask where `old` says."""
        store = old.buffer_info()[0] if old is not None else 0
        number = self._architecture.numbers["rt_sigprocmask"]
        set_bytes = linux.KERNEL_SIGSET_BYTES
        return [number, linux.SIG_SETMASK, new.buffer_info()[0], store, set_bytes, 0, 0, NOT_RUN, lowest, 0, 0]

    def _clone_words(self, script: Script, pidfd: int) -> tuple[list[int], object]:
        """The record of the clone, and the memory it points into. Only the child gets 0 and walks on."""
        flags = linux.CLONE_VM | linux.CLONE_VFORK
        if pidfd:
            flags |= linux.CLONE_PIDFD
        child_tid = 0
        if script.registration is not None:
            flags |= linux.CLONE_CHILD_SETTID
            child_tid = script.registration.buffer_info()[0] + script.registration.itemsize
        numbers = self._architecture.numbers
        if not self._use_clone3:
            # clone(2): x86-64 takes the child's tid pointer before the tls, aarch64 behind it.
            order = [child_tid, 0] if self._architecture.name == "x86_64" else [0, child_tid]
            return [numbers["clone"], flags | SIGCHLD, 0, pidfd, *order, 0, NOT_RUN, 0, 0, 0], None
        flags |= linux.CLONE_CLEAR_SIGHAND
        if script.into_cgroup >= 0:
            flags |= linux.CLONE_INTO_CGROUP
        arguments = linux.clone_args(
            flags=flags, pidfd=pidfd, child_tid=child_tid, exit_signal=SIGCHLD, cgroup=max(script.into_cgroup, 0)
        )
        size = linux.CLONE_ARGS_SIZE_VER2
        return [numbers["clone3"], address(arguments), size, 0, 0, 0, 0, NOT_RUN, 0, 0, 0], arguments

    def _handler_resets(self) -> list[int]:
        """What CLONE_CLEAR_SIGHAND does in clone3: no handler of ours may run in a child that shares our memory."""
        number = self._architecture.numbers["rt_sigaction"]
        nothing = _NOTHING.buffer_info()[0]
        words: list[int] = []
        for signal in resettable_signals():
            words += [number, signal, nothing, 0, linux.KERNEL_SIGSET_BYTES, 0, 0, NOT_RUN, -EINVAL, 0, 0]
        return words


def _stopped_at(script: Script, memory: array[int], failed: int) -> LaunchError:
    """The error of the call that kept the child from its program."""
    first = failed - len(script.words)
    for index, name in enumerate(script.names):
        result = memory[first + index * _SIZE + _RESULT]
        if not script.accepts(index, result):
            return LaunchError.of(name, -result if result < 0 else ESRCH)
    return LaunchError.of("rt_sigaction", EINVAL)
