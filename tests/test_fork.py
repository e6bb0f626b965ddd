"""A fork of the owner: new objects work, inherited ones are inert, and the parent's trees are never touched. api.md §24.4."""

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
import warnings

import pytest

from processkit import Command, Outcome, ProcessError, ProcessGroup, ProcessResult, process_is_alive, wait_any
from processkit._os.linux import system

SLEEP = Command("/bin/sleep", ["1000"])
pytestmark = [pytest.mark.usefixtures("mechanism"), pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]


def sh(script):
    return Command("/bin/sh", ["-c", script])


def forked(work):
    """Run `work` in a fork of this process; what went wrong in it fails here."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)  # which os.fork raises from Python 3.15 on
            try:
                work()
                gc.collect()
                code = 0
            except BaseException:
                os.write(write, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(code)
    os.close(write)
    with open(read, "rb") as file:
        told = file.read().decode()
    _, status = os.waitpid(pid, 0)
    assert told == ""
    assert status == 0


def use_everything():
    """Every verb on new objects."""
    assert sh("echo x").run() == "x"
    assert sh("sleep 1000 & echo x").output().leaked == 1
    assert asyncio.run(sh("echo x").arun()) == "x"
    assert sh("sleep 1000").timeout(0.1).output().timed_out
    with SLEEP.start() as process:
        assert process.poll() is None
    with ProcessGroup(shutdown_grace=0) as group:
        member = group.start(SLEEP)
        assert group.members() == [member.pid]
        assert group.run(sh("echo x")) == "x"
        member.kill()
        assert member.outcome() == Outcome(None, 9, False)
    assert SLEEP.leash().timeout(0.1).output().timed_out


def test_a_fork_can_use_every_verb_on_new_objects(mechanism):
    use_everything()
    forked(use_everything)
    use_everything()


def test_a_fork_of_a_fork_can_too():
    forked(lambda: (use_everything(), forked(use_everything), use_everything()))


def test_a_fork_uses_the_same_mechanism_with_a_home_of_its_own(mechanism):
    def work():
        assert sh("exit 0").output().mechanism == mechanism
        with ProcessGroup() as group:
            assert group.mechanism == mechanism

    forked(work)


HANDLE_USES = {
    "outcome": lambda handle: handle.outcome(),
    "output": lambda handle: handle.output(),
    "finish": lambda handle: handle.finish(),
    "shutdown": lambda handle: handle.shutdown(0),
    "kill": lambda handle: handle.kill(),
    "poll": lambda handle: handle.poll(),
    "wait_any": lambda handle: wait_any([handle], timeout=0),
}


@pytest.mark.parametrize("use", HANDLE_USES)
def test_an_inherited_handle_is_refused_in_the_fork_and_works_on_in_the_parent(use):
    def work():
        with pytest.raises(ProcessError, match="fork"):
            HANDLE_USES[use](process)

    with sh("read line; exit 7").keep_stdin_open().start() as process:
        forked(work)
        assert process.poll() is None
        # The fork's copy of the pipe is gone with it, so the child finds the end of its input.
        assert process.outcome().code == 7


GROUP_USES = {
    "mechanism": lambda group: group.mechanism,
    "members": lambda group: group.members(),
    "start": lambda group: group.start(SLEEP),
    "run": lambda group: group.run(SLEEP),
    "signal": lambda group: group.signal("term"),
    "suspend": lambda group: group.suspend(),
    "kill_all": lambda group: group.kill_all(),
    "stop": lambda group: group.stop(0),
    "stats": lambda group: group.stats(),
    "adopt_external": lambda group: group.adopt_external(1),
}


@pytest.mark.parametrize("use", GROUP_USES)
def test_an_inherited_group_is_refused_in_the_fork_and_works_on_in_the_parent(use):
    def work():
        with pytest.raises(ProcessError, match="fork"):
            GROUP_USES[use](group)

    with ProcessGroup(shutdown_grace=0) as group:
        process = group.start(SLEEP)
        forked(work)
        assert group.members() == [process.pid]
        assert process.poll() is None
        process.kill()
        assert process.outcome() == Outcome(None, 9, False)


def test_context_exits_and_finalisers_in_the_fork_touch_nothing_of_the_parents():
    things = {}

    def work():
        things["process"].__exit__(None, None, None)
        things["group"].__exit__(None, None, None)
        things["group"].shutdown()
        things.clear()
        gc.collect()

    things["process"], things["group"] = SLEEP.start(), ProcessGroup(shutdown_grace=0)
    with things["process"] as process, things["group"] as group, group.start(SLEEP) as member:
        forked(work)
        assert process.poll() is None
        assert member.poll() is None
        assert group.members() == [member.pid]
        assert group.run(sh("echo x")) == "x"


def test_a_fork_that_exits_normally_touches_nothing_of_the_parents(in_child_env, mechanism):
    # In an interpreter of its own, for a fork of pytest's must not run pytest's exit.
    script = """
import os, sys
from processkit import Command, ProcessGroup
group = ProcessGroup(shutdown_grace=0)
process = Command("/bin/sleep", ["1000"]).start()
member = group.start(Command("/bin/sleep", ["1000"]))
for use in (False, True):
    pid = os.fork()
    if pid == 0:
        if use:
            assert Command("/bin/echo", ["x"]).run() == "x"
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert process.poll() is None and member.poll() is None, "the fork's exit killed them"
    assert Command("/bin/echo", ["x"]).run() == "x"
    assert group.members() == [member.pid]
process.kill()
group.kill_all()
print(process.outcome().signal, member.outcome().signal)
group.shutdown()
"""
    settings = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    result = Command(sys.executable, ["-W", "ignore::DeprecationWarning", "-c", script]).envs(settings).timeout(60).output()
    assert (result.stdout, result.stderr, result.code) == ("9 9", "", 0)


def test_the_parents_tree_dies_with_the_parent_although_a_fork_lives_on(in_child_env, mechanism, tmp_path):
    script = f"""
import os, time
from processkit import Command
process = Command("/bin/sleep", ["1000"]).stdout("null").stderr("null").start()
pid = os.fork()
if pid == 0:
    time.sleep(1000)
with open("{tmp_path}/new", "w") as file:
    file.write(f"{{process.pid}} {{pid}}")
os.rename("{tmp_path}/new", "{tmp_path}/pids")
os._exit(0)
"""
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, check=True)
    child, fork = map(int, (tmp_path / "pids").read_text().split())
    try:
        deadline = time.monotonic() + 20
        while process_is_alive(child):
            assert time.monotonic() < deadline, "the tree outlived its owner"
            time.sleep(0.005)
        assert process_is_alive(fork)
    finally:
        os.kill(fork, 9)


def test_a_fork_while_other_threads_start_processes_can_start_its_own():
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            assert sh("echo x").run() == "x"

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            forked(lambda: sh("echo x").run())
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_fork_while_another_thread_uses_the_pool_of_leaves_can_start_its_own(mechanism):
    if mechanism != "cgroup_v2":
        pytest.skip("process groups have no leaves")
    Command("/bin/true").run()
    held, free = threading.Event(), threading.Event()

    def hold():
        with system._home._pool._lock:
            held.set()
            free.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        forked(lambda: Command("/bin/true").run())
    finally:
        free.set()
        thread.join()


def test_values_are_pickled_across_a_fork():
    result = sh("echo x; exit 3").output()
    data = pickle.dumps([result, result.outcome])

    def work():
        loaded, outcome = pickle.loads(data)
        assert type(loaded) is ProcessResult
        assert (loaded, outcome) == (result, result.outcome)
        assert hash(loaded) == hash(result)

    forked(work)
