"""Runs a child's script in a Python loop after os.fork, where machine code cannot: refused pages, another machine.

This is the second choice because it is slower (a fork copies our page tables) and runs Python in the copy. Errors come back
through a close-on-exec pipe. `launcher` in `host_containment()` says "fork" when this launcher is in use.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from errno import EAGAIN, EINVAL, ESRCH

from ..._abi import linux
from ..._abi.foreign import Cells
from ..._abi.machine_code import HIGHEST, LOWEST, WORDS
from ..errors import LaunchError
from ..forking import forking_ourselves
from ..posix.descriptors import pipe_above, read_all
from .calls import Architecture, open_pidfd, raw_syscall
from .script import CHILD_FAILED, Launched, Script, resettable_signals

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

# (index of the step that failed, errno), (ORPHAN, pid), or (BORN, pid), which is the first.
_REPORT = struct.Struct("=ii")
ORPHAN, BORN = -1, -2


class ForkLauncher:
    """os.fork, then the script one call at a time."""

    name = "fork"

    __slots__ = ("_architecture", "_nothing")

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._nothing = Cells(bytes(linux.KERNEL_SIGACTION_BYTES))

    def launch(self, script: Script, launched: Launched) -> None:
        """Store the child's pid and pidfd in `launched`; on LaunchError nothing of it is alive and both are -1."""
        if launched.streams is not None:
            script = script.with_streams(launched.streams)
        report, reports = pipe_above()
        try:
            calls = self._handler_resets() + _calls(script, reports)
            before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
            try:
                with forking_ourselves():
                    try:
                        launched.pid = os.fork()
                    except OSError as error:
                        raise LaunchError.of("fork", error.errno or EAGAIN) from error
                    except BaseException as error:
                        # The child may exist: Python 3.15 warns of other threads in the parent, and a filter may raise that.
                        os.close(reports)
                        reports = -1
                        born = os.read(report, _REPORT.size)
                        if born:
                            launched.pid = _REPORT.unpack(born)[1]
                        if not (born and isinstance(error, DeprecationWarning)):
                            raise
                    if launched.pid == 0:
                        self._live(calls, script, reports)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if script.registration is not None and not script.orphan:
                script.registration[1] = launched.pid
            if reports >= 0:
                os.close(reports)
                reports = -1
            told = read_all(report)
        finally:
            os.close(report)
            if reports >= 0:
                os.close(reports)
        for index, code in _REPORT.iter_unpack(told):
            if index == BORN:
                continue
            if index == ORPHAN:
                assert script.registration is not None
                script.registration[1] = code
                continue
            launched.discard()
            raise LaunchError.of(calls[index].name, code)
        if not script.orphan:
            launched.pidfd = open_pidfd(self._architecture, launched.pid)
        elif script.registration is not None and script.registration[1] <= 0:
            launched.discard()
            raise LaunchError.of("fork", EAGAIN)  # there was room for the child, and none for the orphan

    def _handler_resets(self) -> list[_Call]:
        action = self._nothing.address
        size = linux.KERNEL_SIGSET_BYTES
        return [_Call("rt_sigaction", [number, action, 0, size], -EINVAL, 0) for number in resettable_signals()]

    def _live(self, calls: list[_Call], script: Script, reports: int) -> None:
        """Run the script in the child. Never returns: the child becomes its program, or reports and ends."""
        index = 0
        code = ESRCH
        try:
            os.write(reports, _REPORT.pack(BORN, os.getpid()))
            orphan = os.fork() if script.orphan else 0
            if orphan:
                os.write(reports, _REPORT.pack(ORPHAN, orphan))
                code = 0
                return
            if script.registration is not None:
                script.registration[1] = os.getpid()
            for index, call in enumerate(calls):
                try:
                    result = raw_syscall(self._architecture, call.name, *call.arguments)
                except OSError as error:
                    code = error.errno or ESRCH
                    result = -code
                if not call.low <= result <= call.high:
                    os.write(reports, _REPORT.pack(index, code if result < 0 else ESRCH))
                    break
        finally:
            os._exit(CHILD_FAILED if code else 0)


class _Call:
    """One record of a script, split into its fields."""

    __slots__ = ("arguments", "high", "low", "name")

    def __init__(self, name: str, arguments: list[int], low: int, high: int) -> None:
        self.name = name
        self.arguments = arguments
        self.low = low
        self.high = high


def _calls(script: Script, keep: int) -> list[_Call]:
    """The script's calls; the one that closes all descriptors is split so that `keep` stays open."""
    calls = []
    for index, name in enumerate(script.names):
        words = script.words[index * WORDS : (index + 1) * WORDS]
        call = _Call(name, list(words[1:7]), words[LOWEST], words[HIGHEST])
        if index != script.close_from:
            calls.append(call)
            continue
        first, last, *rest = call.arguments
        parts = ([first, keep - 1, *rest], [keep + 1, last, *rest])
        calls += [_Call(name, part, call.low, call.high) for part in parts if part[0] <= part[1]]
    return calls
