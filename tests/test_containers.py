"""The contract of `_os/port.py`, held against every container that this machine offers."""

import os
import select
import signal
import subprocess
import threading
import time

import pytest
from programs import census

from processkit import Command, ProcessGroup
from processkit._os.errors import LaunchError, Refused
from processkit._os.linux import cgroup, cgroupfs, home, proctree, system
from processkit._os.posix.environ import environment
from processkit._os.terms import Attributes, Plan

SLEEP = "exec sleep 60"
TREE = "sleep 60 & (sleep 60; :) & setsid sleep 60 & echo ready; exec sleep 60"
TREE_SIZE = 5


def plan_for(script, stdout="pipe"):
    return Plan(
        program="sh",
        path="/bin/sh",
        argv=["sh", "-c", script],
        env=environment(False, (), {}),
        cwd=None,
        stdin="null",
        stdout=stdout,
        stderr="null",
        attributes=Attributes(),
    )


def eventually(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def ready(child):
    """Wait for the child's first output."""
    assert select.select([child.stream(1)], [], [], 20)[0]
    return os.read(child.stream(1), 4096)


@pytest.fixture(params=["private", "group"])
def container(request, mechanism):
    box = system.private_container() if request.param == "private" else system.group_container(False)
    assert box.mechanism == mechanism
    yield box
    box.close()


@pytest.fixture
def group(mechanism):
    box = system.group_container(False)
    yield box
    box.close()


def end(child):
    child.tree.kill()
    child.wait_killed()
    child.reap()


def test_a_spawned_child_is_a_member_and_its_end_is_told_without_reaping_it(container):
    child = container.spawn(plan_for("echo ready; exec sleep 60"))
    ready(child)
    assert container.tree.members() == [child.pid]
    assert not container.tree.empty()
    assert child.status() is None
    container.tree.kill()
    assert select.select([child.ended], [], [], 20)[0]
    assert os.WTERMSIG(child.status()) == signal.SIGKILL
    with open(f"/proc/{child.pid}/stat") as file:
        assert file.read().rpartition(")")[2].split()[:2] == ["Z", str(os.getpid())], "it is still a zombie of ours"
    eventually(container.tree.empty)
    child.reap()
    child.reap()
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)


def test_a_child_is_inside_before_its_first_instruction(mechanism, group):
    child = group.spawn(plan_for("cat /proc/self/cgroup; ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat"))
    eventually(lambda: child.status() is not None)
    said = os.read(child.stream(1), 65536).decode()
    if mechanism == "cgroup_v2":
        assert os.path.basename(group.tree.path) in said
    assert said.split()[-1] == str(child.pid)
    child.reap()


@pytest.mark.parametrize("program", ["/nowhere/at/all", "/etc/passwd"])
def test_a_spawn_that_fails_leaves_nothing_alive(container, program):
    plan = plan_for(SLEEP)
    plan.path = program
    with pytest.raises(LaunchError):
        container.spawn(plan)
    assert container.tree.empty()


def test_a_spawn_that_is_interrupted_after_the_birth_leaves_nothing_alive(container, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("processkit._os.linux.child.LinuxChild", interrupted)
        with pytest.raises(KeyboardInterrupt):
            container.spawn(plan_for(SLEEP))
    assert container.tree.empty()


def test_the_whole_tree_is_killed_with_those_that_left_their_session(container):
    child = container.spawn(plan_for(TREE))
    ready(child)
    eventually(lambda: len(container.tree.members()) == TREE_SIZE)
    members = container.tree.members()
    container.tree.kill()
    eventually(lambda: not any(alive(pid) for pid in members))
    eventually(container.tree.empty)
    end(child)


def test_a_tree_that_forks_all_the_time_is_killed_whole(container):
    # Each generation lives for a moment only; the loop ends by itself after some thousand turns.
    child = container.spawn(
        plan_for("echo ready; i=0; while [ $i -lt 3000 ]; do (sleep 0.01 &) ; i=$((i+1)); done; exec sleep 60")
    )
    ready(child)
    container.tree.kill()
    eventually(container.tree.empty)
    end(child)


def test_a_signal_reaches_every_member(container):
    trap = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    child = container.spawn(plan_for(f'sh -c "{trap}" & {trap.replace("echo ready", "wait_ready=1")}; wait'))
    ready(child)
    assert container.tree.send(signal.SIGTERM) >= 2
    eventually(container.tree.empty)
    end(child)


def test_news_of_emptiness_are_readable_where_the_mechanism_tells(container, mechanism):
    child = container.spawn(plan_for("echo ready; read x"))
    ready(child)
    descriptor = container.tree.changed()
    assert (descriptor >= 0) == (mechanism == "cgroup_v2")
    container.tree.kill()
    if descriptor >= 0:
        while not container.tree.empty():
            assert select.select([descriptor], [], [], 20)[0]
    end(child)


def test_one_childs_tree_is_killed_without_its_siblings(group):
    first, second = group.spawn(plan_for(TREE)), group.spawn(plan_for(TREE))
    ready(first)
    ready(second)
    eventually(lambda: len(second.tree.members()) == TREE_SIZE)
    survivors = second.tree.members()
    end(first)
    eventually(lambda: sorted(group.tree.members()) == sorted(survivors))
    assert all(alive(pid) for pid in survivors)
    end(second)


def test_a_frozen_tree_stands_still_and_a_thawed_one_goes_on(group):
    child = group.spawn(plan_for("while :; do echo x; sleep 0.01; done"))
    ready(child)
    group.freeze()
    group.freeze()
    with open(f"/proc/{child.pid}/stat") as file:
        assert file.read()
    eventually(lambda: _silent(child))
    with pytest.raises(Refused, match="suspended"):
        group.spawn(plan_for(SLEEP))
    group.thaw()
    group.thaw()
    ready(child)
    end(child)


def _silent(child):
    while select.select([child.stream(1)], [], [], 0)[0]:
        os.read(child.stream(1), 65536)
    return not select.select([child.stream(1)], [], [], 0.15)[0]


def test_a_frozen_tree_is_killed_too_and_the_group_stays_usable(group):
    child = group.spawn(plan_for("echo ready; exec sleep 60"))
    ready(child)
    group.freeze()
    group.slay()
    assert group.tree.empty()
    child.reap()
    again = group.spawn(plan_for("echo ready; exec sleep 60"))
    ready(again)
    end(again)


def test_an_adopted_process_is_listed_signalled_and_ended_with_the_group(group):
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    group.adopt(stranger.pid)
    assert group.tree.members() == [stranger.pid]
    group.close()
    assert stranger.wait() == -signal.SIGKILL


def test_a_closed_container_takes_no_child(group):
    group.close()
    group.close()
    with pytest.raises(Refused, match="already closed"):
        group.spawn(plan_for(SLEEP))


def left_directories():
    base = home.why_unusable()[0]
    return set() if base is None else {name for name in os.listdir(base) if name.startswith(home.LEFT_PREFIX)}


def test_closing_kills_what_is_left_and_leaving_lets_it_live(mechanism):
    before = left_directories()
    for leave in (False, True):
        box = system.group_container(False)
        child = box.spawn(plan_for("echo ready; exec sleep 60"))
        ready(child)
        box.close(leave=leave)
        if leave:
            assert alive(child.pid)
            os.kill(child.pid, signal.SIGKILL)
            child.wait_killed()
        eventually(lambda: child.status() is not None)  # noqa: B023
        child.reap()
    home.sweep_left()
    assert left_directories() <= before


def test_consumption_is_counted_and_what_is_not_measured_is_none(group, mechanism):
    child = group.spawn(plan_for("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo ready; exec sleep 60"))
    ready(child)
    usage = group.usage()
    assert usage.processes == 1
    assert usage.cpu_seconds > 0
    if mechanism == "process_group":
        assert usage.peak_memory > 0
        assert (usage.io_read, usage.io_written, usage.peak_processes) == (None, None, None)
    end(child)


def test_spawns_from_many_threads_all_land_in_the_group(group):
    children, errors = [], []

    def spawn():
        try:
            children.append(group.spawn(plan_for("echo ready; exec sleep 60")))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=spawn) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for child in children:
        ready(child)
    assert sorted(group.tree.members()) == sorted(child.pid for child in children)
    group.slay()
    for child in children:
        child.reap()


needs_cgroup = pytest.mark.skipif(home.why_unusable()[0] is None, reason=f"no cgroup_v2 here: {home.why_unusable()[1]}")


@needs_cgroup
def test_without_cgroup_kill_the_tree_is_frozen_and_swept(monkeypatch):
    whole = cgroupfs.write_file

    def old_kernel(directory, name, text):
        if name == "cgroup.kill":
            raise FileNotFoundError(2, "cgroup.kill")
        whole(directory, name, text)

    monkeypatch.setattr(cgroupfs, "write_file", old_kernel)
    box = system.group_container(False)
    child = box.spawn(plan_for(TREE))
    ready(child)
    box.tree.kill()
    eventually(box.tree.empty)
    end(child)
    box.close()


@needs_cgroup
def test_without_clone_into_cgroup_the_child_joins_before_anything_else(monkeypatch):
    monkeypatch.setattr(cgroup, "_clone_into", False)
    box = system.group_container(False)
    child = box.spawn(plan_for("cat /proc/self/cgroup"))
    eventually(lambda: child.status() is not None)
    assert os.path.basename(box.tree.path) in os.read(child.stream(1), 65536).decode()
    child.reap()
    box.close()


@needs_cgroup
def test_a_leaf_is_used_again_only_if_its_last_user_left_it_as_new():
    first = system.private_container()
    path = first.tree.path
    first.close()
    assert os.path.isdir(path), "nobody has touched it"
    second = system.private_container()
    child = second.spawn(plan_for(f"mkdir {_mount()}$(sed -n 's/^0:://p' /proc/self/cgroup)/made"))
    eventually(lambda: child.status() is not None)
    child.reap()
    used = second.tree.path
    assert os.path.isdir(f"{used}/made")
    second.close()
    assert not os.path.exists(used)


def _mount():
    """Where the hierarchy is mounted."""
    with open("/proc/self/cgroup") as file:
        own, base = file.read().partition("0::")[2].strip(), home.why_unusable()[0]
    return base[: len(base) - len(own)] if own != "/" else base


@needs_cgroup
def test_a_member_that_takes_the_modes_of_its_cgroup_away_is_killed_all_the_same():
    box = system.group_container(False)
    child = box.spawn(plan_for("echo ready; exec sleep 60"))
    ready(child)
    for name in ("cgroup.kill", "cgroup.procs", "cgroup.events", "cgroup.freeze"):
        if os.path.exists(f"{box.tree.path}/{name}"):
            os.chmod(f"{box.tree.path}/{name}", 0)
    os.chmod(child.tree.path, 0)
    os.chmod(box.tree.path, 0)
    box.close()
    eventually(lambda: child.status() is not None)
    child.reap()
    assert not os.path.exists(box.tree.path)


@needs_cgroup
def test_what_happens_between_a_look_and_the_wait_ends_the_wait():
    box = system.group_container(False)
    child = box.spawn(plan_for("echo ready; exec sleep 60"))
    ready(child)
    # The look of somebody else, who hears of the change with us: the kernel tells at most every ten milliseconds.
    with open(f"{box.tree.path}/cgroup.events") as events:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        assert "populated 1" in events.read()
        assert not box.tree.empty()
        os.kill(child.pid, signal.SIGKILL)
        said = "populated 1"
        while "populated 1" in said:
            assert poller.poll(20_000)
            events.seek(0)
            said = events.read()
    assert select.select([box.tree.changed()], [], [], 0)[0], "the last news were read, and thrown away"
    assert box.tree.empty()
    child.reap()
    box.close()


@needs_cgroup
def test_a_home_that_is_closed_has_closed_its_descriptors():
    before = census.open_descriptors()
    one = cgroup.Home(home.why_unusable()[0])
    one.private().close()
    one.close()
    assert not os.path.exists(one.path)
    assert census.open_descriptors() == before


@needs_cgroup
def test_a_home_that_somebody_removed_is_made_again():
    held = system._home
    for leaf in held._pool._spare:
        leaf.destroy()
    held._pool._spare.clear()
    assert held._directory.remove()
    box = system.private_container()
    child = box.spawn(plan_for("exit 4"))
    eventually(lambda: child.status() is not None)
    assert child.status() == 4 << 8
    child.reap()
    box.close()


def test_the_walk_finds_a_group_its_descendants_and_nobody_else():
    leader = subprocess.Popen(["/bin/sh", "-c", "setsid sleep 60 & exec sleep 60"], start_new_session=True)
    pid = leader.pid
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        eventually(lambda: len(proctree.reachable({pid}, set())) == 2)
        found = proctree.reachable({pid}, set())
        assert stranger.pid not in found
        proctree.kill_all({pid}, set())
        eventually(lambda: not proctree.reachable({pid}, set()))
        assert alive(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()
        leader.wait()


@needs_cgroup
def test_the_leaf_of_a_groups_child_serves_the_next_one_only_as_new():
    box = system.group_container(False)

    def run(script, below=None):
        child = box.spawn(plan_for(script))
        if below is not None:
            os.mkdir(f"{child.tree.path}/{below}")
        eventually(lambda: child.status() is not None)
        path = child.tree.path
        child.reap()
        return path

    try:
        first = run("true")
        assert os.path.isdir(first)
        assert run("true") == first
        # One in which somebody is left, or has made something, is nobody else's.
        left = run("sleep 1000 >/dev/null 2>&1 &")
        assert left == first
        made = run("true", below="below")
        assert made != left
        assert run("true") not in (left, made)
        # What a signal or a kill of the group may have left there is nobody's either.
        box.tree.send(0)
        after = run("true")
        assert run("true") != after
        assert not os.path.isdir(after)
    finally:
        box.close()
    assert not os.path.isdir(box.tree.path)


@pytest.fixture
def interrupt(mechanism, monkeypatch):
    """`interrupt()`: the next kill of a tree is interrupted before it has killed anything."""
    place, name = {"cgroup_v2": (cgroupfs, "kill"), "process_group": (proctree, "kill_all")}[mechanism]
    kill = getattr(place, name)

    def interrupted(*words):
        monkeypatch.setattr(place, name, kill)
        raise KeyboardInterrupt

    return lambda: monkeypatch.setattr(place, name, interrupted)


def test_an_interrupted_close_of_a_run_whose_child_has_ended_is_taken_up_again(interrupt):
    process = Command("/bin/sh", ["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]).start()
    left = int(next(process.stdout_lines()))
    eventually(lambda: process._child.status() is not None)
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        process.__exit__(None, None, None)
    eventually(lambda: not alive(left))
    process.__exit__(None, None, None)


def test_an_interrupted_close_of_a_group_is_taken_up_again(interrupt):
    group = ProcessGroup(shutdown_grace=0)
    pid = group.start(Command("/bin/sleep", ["1000"])).pid
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        group._close()
    assert alive(pid)
    assert repr(group) == "ProcessGroup(open)"
    group.shutdown()
    assert not alive(pid)
    assert repr(group) == "ProcessGroup(closed)"


def test_a_leaf_that_is_another_runs_is_not_touched_by_a_second_close(mechanism):
    first = system.private_container()
    child = first.spawn(plan_for("exit 0"))
    eventually(lambda: child.status() is not None)
    child.reap()
    first.close()
    second = system.private_container()
    sleeper = second.spawn(plan_for("echo ready; exec sleep 60"))
    ready(sleeper)
    first.close()
    assert sleeper.status() is None
    end(sleeper)
    second.close()
