"""The guardian: what it survives, what it costs, when it ends, and what it leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from owners import BASE, Told, alive, carriers, each_mechanism, homes_of, kill, on_cgroups, wait_until  # noqa: E402

from processkit._core.guardian import group_message  # noqa: E402
from processkit._os.linux.home import home_name  # noqa: E402
from processkit._os.linux.procfs import namespaces  # noqa: E402
from processkit._os.posix.guardian import Guardian  # noqa: E402


@pytest.fixture
def told(tmp_path, mechanism, token):
    """An owner that uses `mechanism` and does as it is told."""
    one = Told(tmp_path, mechanism)
    yield one
    one.clear(token)


class Nobody:
    """The process of a guardian that there is not."""

    pidfd = -1

    def end(self, is_alive: bool) -> None:
        pass

    def forget(self) -> None:
        pass


def cpu_ticks(pid: int) -> int:
    """User and system time of a process. proc_pid_stat(5)"""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12])


def wakes(pid: int) -> int:
    """How often a process went to sleep by itself."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


def wait_until_asleep(pid: int) -> None:
    """Until the process sleeps in poll(2), its start-up behind it."""

    def asleep():
        with open(f"/proc/{pid}/wchan") as file:
            return "poll" in file.read()

    wait_until(asleep, what="the guardian's sleep")


@each_mechanism
@pytest.mark.parametrize("kind", ["python", "sh"])
def test_the_guardian_survives_what_ends_its_owners_process_group(told, mechanism, token, kind):
    if kind == "sh":
        told.order("sh")
    assert told.order("containment") == kind
    told.order("ignore")
    told.order("group")
    told.wait_for("first", "plain")
    guardian, start = told.guardian()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        os.killpg(told.process.pid, number)
        os.kill(guardian, number)
    assert told.order("sleep").isdigit()
    assert alive(guardian, start)
    assert os.getsid(guardian) == guardian
    told.kill_and_reap()
    # The one in sh knows no descendants outside the groups that it was told of.
    told.assert_gone(token, ("k-setsid",) if (kind, mechanism) == ("sh", "process_group") else ())


@each_mechanism
def test_a_killed_guardian_is_replaced_at_the_next_spawn_and_the_promise_holds_for_all(told, mechanism, token):
    told.order("group")
    told.wait_for("first", "plain", "setsid")
    first, start = told.guardian()
    kill(first)
    wait_until(lambda: not alive(first, start), what="the end of the first guardian")
    told.order("private tree")
    told.wait_for("first", "plain", "setsid")
    second, _ = told.guardian()
    assert second != first
    told.kill_and_reap()
    told.assert_gone(token)


@each_mechanism
@pytest.mark.parametrize("way", ["os.fork", "libc.fork"])
def test_a_forked_child_of_the_owner_that_runs_on_does_not_keep_the_tree_alive(told, mechanism, token, way):
    told.order("group")
    told.wait_for("first", "plain", "setsid")
    guardian, start = told.guardian()
    stray = int(told.order(way))
    told.kill_and_reap()
    told.assert_gone(token, spare=(stray,))
    assert stray in carriers(token)
    kill(stray)
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")


@on_cgroups
def test_a_forked_child_that_holds_the_pipe_does_not_keep_the_guardian_for_good(told, token):
    told.order("group")
    told.wait_for("first", "plain", "setsid")
    guardian, start = told.guardian()
    stray = int(told.order("libc.fork"))
    told.kill_and_reap()
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")
    assert stray in carriers(token)
    kill(stray)


@on_cgroups
def test_fifty_runs_do_not_wake_the_guardian(told):
    told.order("50 runs")
    guardian, _ = told.guardian()
    wait_until_asleep(guardian)
    before, ticks = wakes(guardian), cpu_ticks(guardian)
    told.order("50 runs")
    assert wakes(guardian) - before <= 1
    assert cpu_ticks(guardian) - ticks <= 1


@each_mechanism
def test_the_guardian_sleeps_while_its_owner_does_nothing(told, mechanism):
    told.order("sleep")
    guardian, _ = told.guardian()
    wait_until_asleep(guardian)
    before, ticks = wakes(guardian), cpu_ticks(guardian)
    time.sleep(0.5)  # the period that is measured
    assert wakes(guardian) == before
    assert cpu_ticks(guardian) == ticks


@each_mechanism
@pytest.mark.parametrize("kind", ["python", "sh"])
def test_the_guardian_is_nobodys_child_and_ends_with_an_owner_that_leaves(told, mechanism, token, kind):
    if kind == "sh":
        told.order("sh")
    told.order("50 runs")
    guardian, start = told.guardian()
    assert told.order("os.wait") == "no children"
    told.tell("leave")
    assert told.process.wait(20) == 0
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")
    assert homes_of(told.process.pid) == []


@each_mechanism
@pytest.mark.parametrize("how", ["group", "private tree"])
def test_an_owner_that_leaves_without_closing_ends_its_tree_and_guardian(told, mechanism, token, how):
    told.order(how)
    told.wait_for("first", "plain", "setsid")
    guardian, start = told.guardian()
    told.tell("leave")
    assert told.process.wait(20) == 0
    told.assert_gone(token)
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")


@each_mechanism
@pytest.mark.parametrize("how", ["group", "private tree"])
def test_a_guardian_in_sh_keeps_the_promise_for_plain_children(told, mechanism, token, how):
    told.order("sh")
    assert told.order("containment") == "sh"
    told.order(how)
    told.wait_for("first", "plain")
    guardian, start = told.guardian()
    told.kill_and_reap()
    told.assert_gone(token, () if mechanism == "cgroup_v2" else ("k-setsid",))
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")


@on_cgroups
def test_the_home_of_an_owner_that_died_with_its_guardian_is_swept_by_the_next(told, token):
    told.order("group")
    told.wait_for("first", "plain", "setsid")
    guardian, start = told.guardian()
    os.kill(told.process.pid, signal.SIGSTOP)  # it would have another one at once
    kill(guardian)
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")
    assert len(homes_of(told.process.pid)) == 1
    orphans = set(carriers(token)) - {told.process.pid}
    assert len(orphans) == 3
    told.kill_and_reap()
    dead = told.process.pid
    told.again()
    # The first start kills what is there and waits for nobody; the directory goes with one of the next.
    wait_until(lambda: told.order("sleep") and homes_of(dead) == [], what="the end of the dead home")
    assert not orphans & set(carriers(token))
    assert len(homes_of(told.process.pid)) == 1


@on_cgroups
def test_the_home_of_a_live_owner_is_not_touched_by_the_next(told, token):
    told.order("group")
    members = told.wait_for("first", "plain", "setsid")
    first = told.process
    told.again()
    told.order("sleep")
    assert len(homes_of(first.pid)) == 1
    assert set(members.values()) <= set(carriers(token))
    first.kill()
    first.wait(20)
    wait_until(lambda: not homes_of(first.pid), what="the end of the first home")


@on_cgroups
@pytest.mark.parametrize("stranger", ["other namespace", "unknown namespace", "own home", "no fields", "words"])
def test_a_home_that_cannot_be_judged_is_not_touched(told, token, stranger):
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    namespace = namespaces()
    name = {
        "other namespace": f"processkit-{namespace + 1}-{dead.pid}-17",
        "unknown namespace": f"processkit-0-{dead.pid}-17",
        "own home": home_name(),
        "no fields": f"processkit-{namespace}-{dead.pid}",
        "words": f"processkit-{namespace}-{dead.pid}-later",
    }[stranger]
    path = f"{BASE}/{name}"
    existed = os.path.isdir(path)
    if not existed:
        os.mkdir(path)
    try:
        told.order("sleep")
        assert os.path.isdir(path)
    finally:
        if not existed:
            os.rmdir(path)


@each_mechanism
def test_a_group_that_is_to_survive_survives_its_owner(told, mechanism, token):
    told.order("surviving group")
    members = told.wait_for("first", "plain", "setsid")
    told.order("sleep")
    guardian, start = told.guardian()
    before = set(carriers(token))
    told.kill_and_reap()
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")
    left = carriers(token)
    assert set(left) == set(members.values())
    assert len(before - set(left)) == 2  # the owner and its sleep
    for pid in left:
        kill(pid)


@on_cgroups
def test_the_directory_of_a_surviving_group_is_removed_once_it_is_empty(told, token):
    told.order("surviving group")
    members = told.wait_for("first", "plain", "setsid")
    told.kill_and_reap()
    (name,) = (name for name in os.listdir(BASE) if name.startswith(f"processkit-left-{namespaces()}-{told.process.pid}-"))
    left = f"{BASE}/{name}"
    assert os.path.isdir(left)
    told.again()
    told.order("sleep")
    assert set(members.values()) <= set(carriers(token))
    assert os.path.isdir(left)
    for pid in members.values():
        kill(pid)
    wait_until(lambda: not set(members.values()) & set(carriers(token)), what="the end of the survivors")
    told.kill_and_reap()
    told.again()
    told.order("sleep")
    wait_until(lambda: not os.path.isdir(left), what="the removal of the empty directory")


@each_mechanism
def test_a_detached_child_survives_its_owner_in_a_session_of_its_own(told, mechanism, token):
    pid = int(told.order("detached"))
    members = told.wait_for("first", "plain", "setsid")
    assert members["first"] == pid
    assert os.getsid(pid) == pid
    told.order("sleep")
    guardian, start = told.guardian()
    told.kill_and_reap()
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")
    wait_until(lambda: not homes_of(told.process.pid), what="the removal of the home")
    left = carriers(token)
    assert set(left) == set(members.values())
    for one in left:
        kill(one)


@on_cgroups
def test_an_owner_that_dies_before_its_first_spawn_leaves_no_home(told, token):
    told.order("empty group")
    told.kill_and_reap()
    # Not longer than that: another owner on this machine may come by and sweep.
    wait_until(lambda: not homes_of(told.process.pid), 3, what="the removal of the home")


LATE = """
import threading, time, processkit
from processkit._os.linux import procgroup
whole, began = procgroup.spawn_child, threading.Event()

def slow(*words):
    child = whole(*words)
    print(child.pid, flush=True)
    began.set()
    time.sleep(1000)

procgroup.spawn_child = slow
threading.Thread(target=processkit.Command("sleep", ["1000"]).output, daemon=True).start()
began.wait()
"""


def test_a_child_that_its_owner_has_not_heard_of_yet_dies_with_it_too(token):
    environment = {**os.environ, "PROCESSKIT_MECHANISM": "process_group", "PYTHONPATH": os.path.dirname(HERE)}
    ran = subprocess.run([sys.executable, "-c", LATE], env=environment, stdout=subprocess.PIPE, check=True, timeout=60)
    try:
        wait_until(lambda: carriers(token) == {}, what="the child's end and the guardian's")
    finally:
        kill(int(ran.stdout))


def test_a_group_that_has_told_a_guardian_that_is_gone_is_told_to_the_next():
    readers = []

    def start(guardian):
        read, write = os.pipe()
        readers.append(read)
        guardian.started(Nobody(), write)

    guardian = Guardian("python", start)
    guardian.ensure()
    at_birth = guardian.generation
    os.close(readers.pop())  # it was killed
    guardian.ensure()
    guardian.registered(4242, at_birth)
    guardian.registered(4243, guardian.generation)  # which has told this one itself
    guardian.forget()
    with open(readers.pop(), "rb") as told:
        assert told.read() == group_message(4242, None)
