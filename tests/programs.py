"""What the tests run, on whatever system: a shell and a few small programs, and how to see what became of them."""

import asyncio
import os
import re
import sys
import time

import pytest

from processkit import Command, process_is_alive

if sys.platform == "linux":
    import census_linux as census  # noqa: F401
else:
    import census_windows as census  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))
POSIX = os.name == "posix"
MINISH = os.path.join(HERE, "minish.py")
SHELL = "/bin/sh" if POSIX else sys.executable

#: Starts nobody, for who waits for a vfork(2) cannot be stopped before his child has begun; ends by itself when it is asked.
READY_AND_LOOPING = (
    "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "print('ready', flush=True)\nwhile True: time.sleep(0.02)"
)

#: Skips by what a system can do, never by its name.
needs_signals = pytest.mark.skipif(not POSIX, reason="this system has no signals that a program could handle")
needs_signal_ends = pytest.mark.skipif(not POSIX, reason="this system knows no end by a signal: who is killed has an exit code")
needs_posix = pytest.mark.skipif(not POSIX, reason="this system has no users, modes, terminals or limits of that kind")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork(2)")


def is_wines(error):
    """Once in thousands of times Wine cannot make a process (1359, an internal error), which says nothing of us."""
    return getattr(error.__cause__, "winerror", None) == 1359


def shell_argv(script, *words):
    """Program and arguments that run `script`."""
    return ["/bin/sh", "-c", script, "sh", *words] if POSIX else [sys.executable, MINISH, script, *words]


def sh(script, *words):
    """A command that runs `script` in a shell, or in what the tests have for one."""
    program, *arguments = shell_argv(script, *words)
    return Command(program, arguments)


def py(script, *words):
    """A command that runs a line of Python."""
    return Command(sys.executable, ["-c", script, *words])


def _tool(path, *words):
    return Command(path, list(words)) if POSIX else sh(" ".join([os.path.basename(path), *words]))


def cat():
    """Copies its stdin to its stdout."""
    return _tool("/bin/cat")


def true():
    """Does nothing."""
    return _tool("/bin/true")


def sleep(seconds=1000):
    """Sleeps."""
    return _tool("/bin/sleep", str(seconds))


def show_env():
    """Prints its environment, a variable a line."""
    return _tool("/usr/bin/env")


def variables(text):
    """What `show_env` said, but for what a system adds of its own accord."""
    return dict(line.partition("=")[::2] for line in given(text))


def given(text):
    """The lines that `show_env` said, in order, but for those that a system adds of its own accord."""
    return sorted(line for line in text.splitlines() if POSIX or not OF_THE_SYSTEM.match(line))


#: Windows (and what imitates it) gives these to every process.
OF_THE_SYSTEM = re.compile("(SYSTEMROOT|WINDIR|SYSTEMDRIVE|WINE[A-Z0-9]*)=")


def soon(seconds):
    """A short limit that a command has to say something within: where an interpreter plays the shell, it is longer."""
    return seconds if POSIX else 4 * seconds + 1


def alive(pid):
    """Whether a process runs; a zombie does not."""
    return process_is_alive(pid)


def open_handles():
    """How many descriptors or handles this process has open. It stands alone: its source goes into other interpreters, too."""
    import ctypes
    import os

    if os.name == "posix":
        return len(os.listdir("/proc/self/fd"))
    # NtQuerySystemInformation(SystemExtendedHandleInformation): Wine's GetProcessHandleCount says 0.
    size, word, status = 1 << 16, ctypes.sizeof(ctypes.c_void_p), -1
    while status:
        size *= 2
        found = ctypes.create_string_buffer(size)
        status = ctypes.WinDLL("ntdll").NtQuerySystemInformation(64, found, size, ctypes.byref(ctypes.c_ulong()))
        assert status & 0xFFFFFFFF in (0, 0xC0000004), hex(status & 0xFFFFFFFF)
    entry, own = 3 * word + 16, os.getpid().to_bytes(word, "little")
    count = int.from_bytes(found.raw[:word], "little")
    owners = [found.raw[at + word : at + 2 * word] for at in range(2 * word, 2 * word + count * entry, entry)]
    return owners.count(own)


def processors():
    """The processors that this thread may run on. It stands alone: its source goes into other interpreters, too."""
    import ctypes
    import os

    if os.name == "posix":
        # What sched_getaffinity(2) says. PyPy has no os.sched_getaffinity, and Python 3.14 makes that call itself when it starts.
        with open("/proc/thread-self/status") as status:
            listed = next(line for line in status if line.startswith("Cpus_allowed_list:")).split()[1]
        ranges = (part.split("-") for part in listed.split(","))
        return [cpu for part in ranges for cpu in range(int(part[0]), int(part[-1]) + 1)]
    kernel, mine, all_there_are = ctypes.WinDLL("kernel32"), ctypes.c_size_t(), ctypes.c_size_t()
    assert kernel.GetProcessAffinityMask(ctypes.c_void_p(-1), ctypes.byref(mine), ctypes.byref(all_there_are))
    return [cpu for cpu in range(64) if mine.value >> cpu & 1]


def wait_until(condition, seconds=20.0):
    """Wait for what nothing tells of; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


async def await_until(condition, seconds=20.0):
    """`wait_until` beside a running loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.005)


def failing(monkeypatch, kind, name, error, times=1):
    """Have a method raise `error` so many times before it works again."""
    method, left = getattr(kind, name), [times]

    def fails(*words, **named):
        if left[0]:
            left[0] -= 1
            raise (
                error() if isinstance(error, type) else type(error)(*error.args)
            )  # a fresh one: it would keep what it has passed
        return method(*words, **named)

    monkeypatch.setattr(kind, name, fails)
