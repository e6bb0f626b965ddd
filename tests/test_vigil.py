"""Guardians that cannot be replaced, that do not get up, that know too late; the threads that watch them; and forks."""

import os
import signal
import subprocess
import sys

import pytest
from owners import Owner, carriers
from programs import failing, sleep, wait_until

from processkit._core.guardian import Guard
from processkit._os.linux import system
from processkit._os.posix import vigil
from processkit._os.posix.guardian import Guardian
from processkit._os.terms import guardian_given_up

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="who may do that is root")


@pytest.fixture
def owner(tmp_path, mechanism, token):
    """An owner that uses `mechanism`, not yet begun."""
    one = Owner(tmp_path, mechanism)
    yield one
    one.clear(token)


def test_a_guardian_that_cannot_be_replaced_at_once_is_replaced_a_little_later(mechanism, monkeypatch):
    monkeypatch.setattr(vigil, "PATIENCE", 0.05)
    with sleep(1000).start():
        guardian = system._guardian if system._home is None else system._home._guardian
        first = guardian._running.pid
        failing(monkeypatch, Guardian, "_begin", OSError(24, "pipe2"), times=3)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: guardian._running is not None and guardian._running.pid != first)
        guardian.confirm()


def test_guardians_that_end_before_they_are_up_are_told_and_tried_again_at_the_next_start(monkeypatch):
    def start(guardian):
        if guardian.kind == "none":
            raise OSError(8, "none")
        read, write = os.pipe()
        word, said = os.pipe()
        os.close(said)  # it has ended
        os.set_blocking(write, False)
        guardian.started(Gone(), write, word)
        pipes.append(read)

    class Gone:
        pidfd = -1

        def end(self, is_alive):
            pass

        def forget(self):
            pass

    told, pipes = [], []
    monkeypatch.setitem(globals(), "told", told)
    listen = lambda kind, follower: told.append((kind, follower))  # noqa: E731
    guardian_given_up.append(listen)
    guardian = Guardian("python", start)
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="none"):
                guardian.confirm()
        assert told == [("python", "sh"), ("sh", "none")] * 2
        assert guardian.kind == "python"
    finally:
        guardian_given_up.remove(listen)
        guardian.end()
        for pipe in pipes:
            os.close(pipe)


REFUSING = """
import ctypes, os, sys
if len(sys.argv) == 1:
    assert ctypes.CDLL(None).prctl(24, 5, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_KILL
    os.execv(sys.executable, [sys.executable, __file__, "again"])
from processkit import Command
process = Command("/bin/sleep", ["60"]).uid(65534).start()
print(process.pid, flush=True)
os._exit(0)
"""


@needs_root
@pytest.mark.parametrize("mechanism", ["process_group"])
def test_a_guardian_ends_beside_a_process_that_it_may_not_kill(owner, token):
    owner.begin(REFUSING)
    pid = int(owner.line())
    owner.process.wait(20)
    wait_until(lambda: set(carriers(token).values()) == {"sleep"}, 30)
    wait_until(lambda: not [name for name in os.listdir("/proc") if is_guardian_of(name, owner.process.pid)], 30)
    os.kill(pid, signal.SIGKILL)


def is_guardian_of(name, owner):
    try:
        with open(f"/proc/{name}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return b"%d" % owner in words and any(b"types" in word for word in words)


def test_no_thread_of_ours_takes_a_signal_from_the_main_thread(mechanism):
    def blocked(thread):
        with open(f"/proc/self/task/{thread}/status") as status:
            return int(next(line.split()[1] for line in status if line.startswith("SigBlk:")), 16)

    before = set(os.listdir("/proc/self/task"))
    with sleep(1000).timeout(1000).start(), sleep(1000).leash().start():
        threads = set(os.listdir("/proc/self/task")) - before
        assert threads
        assert all(blocked(thread) >> signal.SIGINT - 1 & 1 for thread in threads)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


# A guardian that is stopped before it reads: it knows all the same.


def test_a_guardian_knows_everything_before_it_begins(monkeypatch):
    read, write = os.pipe()
    os.set_blocking(write, False)
    known = Guard()

    def start(guardian):
        guardian.foretell(write)
        known.feed(os.read(read, 65536))
        guardian.started(Gone(), write)

    class Gone:
        pidfd = -1

        def end(self, is_alive):
            pass

        def forget(self):
            pass

    guardian = Guardian("python", start)
    guardian._groups, guardian._processes = {7: 70, 8: None}, {9: 90}
    guardian.ensure()
    assert (known.groups, known.processes) == ({7: 70, 8: 0}, {9: 90})
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)  # and it is not told twice
    guardian.end()
    os.close(read)


# Forks.

FORKING = """
import os, signal, sys, threading, time
import processkit
delay, gate = float(sys.argv[1]), threading.Event()
def first():
    gate.set()
    processkit.Command("/bin/true").output()
thread = threading.Thread(target=first)
thread.start()
gate.wait()
time.sleep(delay)
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    with processkit.Command("/bin/echo", ["x"]).start() as process:
        assert process.output().stdout == "x"
    os._exit(0)
thread.join()
print(os.waitpid(pid, 0)[1])
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="PyPy may not be asked where other threads are")
@pytest.mark.parametrize("delay", [n / 1000 for n in range(0, 24, 3)])
def test_a_fork_while_another_thread_uses_the_package_for_the_first_time_gives_a_child_that_works(delay, mechanism, in_child_env):
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, str(delay)],
        env={**in_child_env, "PROCESSKIT_MECHANISM": mechanism},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("0\n", "")


# A thread that mends waits for the home's lock; the guardian's must be free meanwhile.
MENDING = """
import os, threading
from processkit import Command
from processkit._os.linux import system
Command("/bin/true").output()
home = system._home
guardian, lock, reached = home._guardian, home._lock, threading.Event()

class Watched:
    def __enter__(self):
        reached.set()
        lock.acquire()
    def __exit__(self, *_):
        lock.release()

os.close(guardian._pipe.number)
lock.acquire()
home._lock = Watched()
thread = threading.Thread(target=guardian.renew, args=(guardian._running,))
thread.start()
assert reached.wait(20)
print(guardian._lock.acquire(timeout=5))
guardian._lock.release()
lock.release()
thread.join()
print(Command("/bin/echo", ["works"]).run())
"""


def test_who_mends_holds_no_lock_that_another_thread_takes_the_other_way_round(mechanism, in_child_env):
    if mechanism != "cgroup_v2":
        pytest.skip("there is no home there")
    ran = subprocess.run(
        [sys.executable, "-c", MENDING], env=in_child_env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("True\nworks\n", "")
