"""`ProcessGroup` on each mechanism: api.md §18, §20, §24.2."""

import asyncio
import gc
import inspect
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest
from programs import POSIX, READY_AND_LOOPING, alive, census, is_wines, needs_signals, py, sh, shell_argv, sleep, soon, wait_until

from processkit import (
    MemberInfo,
    NonZeroExit,
    Outcome,
    ProcessError,
    ProcessGroup,
    ProcessGroupStats,
    ProcessRunner,
    ResourceLimit,
    ShutdownReport,
    StreamingRunner,
)

SLEEP = sleep(1000)
# The exit code of what a job was told to end.
KILLED_BY_US = 137
pytestmark = pytest.mark.usefixtures("mechanism")


def state(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return "X"


def reaped(pid):
    """Whether nothing is left of a process, not even a zombie."""
    return state(pid) == "X" if POSIX else not alive(pid)


def pid_in(path):
    return int(wait_until(lambda: path.exists() and path.read_text().strip()))


def stubborn(path):
    """A command that ignores SIGTERM, once its pid is in `path`."""
    return sh(f"trap '' TERM; echo $$ > {path}; while :; do sleep 0.02; done")


@pytest.fixture
def group():
    with ProcessGroup(shutdown_grace=0) as made:
        yield made


@pytest.fixture
def outsider():
    """A process that processkit did not start; its parent, this test, reaps it."""
    process = subprocess.Popen(shell_argv("exec sleep 1000"))
    yield process
    process.kill()
    process.wait()


@pytest.fixture(params=["sync", "async"])
def call(request):
    async def awaited(target, verb, words, keywords):
        return await getattr(target, "a" + verb)(*words, **keywords)

    if request.param == "sync":
        return lambda target, verb, *words, **keywords: getattr(target, verb)(*words, **keywords)
    return lambda target, verb, *words, **keywords: asyncio.run(awaited(target, verb, words, keywords))


# What it is.


def test_a_group_says_what_holds_its_members(group, mechanism):
    assert group.mechanism == mechanism
    assert group.soft_stop_scope == ("whole_tree" if POSIX else "opt_in_members")
    assert repr(group) == "ProcessGroup(open)"
    assert isinstance(group, ProcessRunner)
    assert isinstance(group, StreamingRunner)


def test_a_group_takes_keywords_only_and_checks_them():
    names = ["max_memory", "max_processes", "cpu_quota", "shutdown_grace", "escalate_to_kill"]
    assert [name for name in inspect.signature(ProcessGroup).parameters if name in names] == names
    with pytest.raises(TypeError):
        ProcessGroup(1)
    for bad in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="shutdown_grace"):
            ProcessGroup(shutdown_grace=bad)
    with pytest.raises(TypeError, match="shutdown_grace"):
        ProcessGroup(shutdown_grace="1")


@pytest.mark.parametrize(
    "cap", [{"max_memory": 0}, {"max_processes": 0}, {"cpu_quota": 0}, {"cpu_quota": -1.0}, {"cpu_quota": float("nan")}]
)
def test_an_invalid_cap_is_named(cap, group):
    for set_it in (ProcessGroup, group.update_limits):
        with pytest.raises(ResourceLimit, match=f"{list(cap)[0]} limit is invalid"):
            set_it(**cap)
        for name in ("max_memory", "max_processes"):
            with pytest.raises(OverflowError, match=name):
                set_it(**{name: -1})
    group.update_limits()


def test_a_group_is_equal_to_itself_only_and_cannot_be_pickled(group):
    with ProcessGroup() as other:
        assert len({group, other}) == 2
    with pytest.raises(TypeError, match="ProcessGroup"):
        pickle.dumps(group)
    with pytest.raises(AttributeError):
        group.shutdown_grace
    with pytest.raises(AttributeError):
        group.shutdown_grace = 1
    assert not hasattr(ProcessGroup, "__len__")


# Members.


def test_the_runner_verbs_run_members_and_leave_none(group, call, mechanism):
    result = call(group, "output", sh("echo x; echo y >&2; exit 3"))
    assert (result.stdout, result.stderr, result.code, result.mechanism) == ("x", "y", 3, mechanism)
    assert call(group, "output_bytes", sh("echo x")).stdout == b"x\n"
    assert call(group, "run", sh("echo x")) == "x"
    assert call(group, "exit_code", sh("exit 4")) == 4
    assert call(group, "probe", sh("exit 1")) is False
    with pytest.raises(NonZeroExit):
        call(group, "run", sh("exit 3"))
    with pytest.raises(ProcessError, match="not piped"):
        call(group, "output", SLEEP.stdout("null"))
    assert group.members() == []


def test_a_started_member_is_listed_with_its_descendants(group, call, tmp_path):
    process = call(group, "start", sh(f"sleep 1000 & echo $! > {tmp_path}/pid; wait"))
    assert process.owns_group is False
    pids = {process.pid, pid_in(tmp_path / "pid")}
    assert set(group.members()) == pids
    infos = group.members_info()
    assert all(type(info) is MemberInfo for info in infos)
    assert {info.pid: info.ppid for info in infos} == {process.pid: os.getpid(), pid_in(tmp_path / "pid"): process.pid}
    wait_until(lambda: "sleep" in [info.exe_name for info in group.members_info()] or not POSIX)
    assert POSIX or {info.exe_name for info in group.members_info()} == {os.path.basename(sys.executable)}
    process.kill()
    process.outcome()


def test_a_dead_child_that_is_not_reaped_is_no_member(group):
    process = group.start(sh("exit 0"))
    wait_until(process.poll)
    assert group.members() == []
    assert group.members_info() == []
    assert group.stats().active_process_count == 0
    report = group.stop(5)
    assert (report.members_before, report.members_after, report.drained_within_grace) == (0, 0, True)
    assert process.outcome().code == 0


def test_leaving_a_handles_block_kills_that_child_only(group):
    with group.start(SLEEP) as one, group.start(SLEEP) as two:
        with two:
            pid = two.pid
        assert not alive(pid)
        assert group.members() == [one.pid]


def test_a_members_own_deadline_ends_only_its_subtree(group, call, tmp_path):
    with group.start(SLEEP) as other:
        result = call(group, "output", sh(f"sleep 1000 & echo $! > {tmp_path}/pid; wait").timeout(soon(0.5)))
        assert result.timed_out
        assert not alive(pid_in(tmp_path / "pid"))
        assert group.members() == [other.pid]


def test_a_deadline_of_a_dropped_member_is_enforced_too(group):
    pid = group.start(SLEEP.timeout(0.3)).pid
    gc.collect()
    wait_until(lambda: not alive(pid))
    assert group.members() == []


def test_cancelling_a_member_ends_only_its_subtree(group, tmp_path):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(group.aoutput(sh(f"sleep 1000 & echo $! > {tmp_path}/pid; wait")), soon(0.5))

    with group.start(SLEEP) as other:
        asyncio.run(main())
        assert not alive(pid_in(tmp_path / "pid"))
        assert group.members() == [other.pid]


def test_shutting_down_a_members_handle_ends_its_subtree_only(group, call, tmp_path):
    with group.start(SLEEP) as other:
        process = group.start(sh(f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/pid; while :; do sleep 0.02; done"))
        child = pid_in(tmp_path / "pid")
        assert call(process, "shutdown", 0.05) == Outcome(None, 9, False)
        assert not alive(child)
        assert group.members() == [other.pid]


def test_a_dropped_handle_leaves_its_member_alive_and_the_group_reaps_it(group):
    pid = group.start(SLEEP).pid
    gc.collect()
    assert group.members() == [pid]
    group.kill_all()
    assert reaped(pid)


def test_handles_that_outlive_their_group_are_reaped_when_they_are_dropped():
    with ProcessGroup(shutdown_grace=0) as group:
        one, two = group.start(SLEEP), group.start(SLEEP)
        pids = one.pid, two.pid
    assert not any(alive(pid) for pid in pids)
    assert one.outcome().signal in (15, 9)
    del one, two
    gc.collect()
    assert [reaped(pid) for pid in pids] == [True, True]


# Signals.


@needs_signals
def test_a_signal_reaches_the_whole_tree(group, tmp_path):
    script = "trap 'echo got > {0}; exit 0' USR1; : > {0}; while :; do sleep 0.01; done"
    one, two = tmp_path / "one", tmp_path / "two"
    process = group.start(sh(f"({script.format(one)}) & {script.format(two)}"))
    wait_until(lambda: one.exists() and two.exists())
    group.signal("SigUsr1")
    wait_until(lambda: one.read_text() == two.read_text() == "got\n")
    assert process.outcome().code == 0
    group.signal(signal.SIGUSR2)
    assert group.run(sh("echo x")) == "x"


@pytest.mark.parametrize("number", ["kill", 9])
def test_sigkill_reaches_everybody_and_the_group_stays_usable(group, number):
    process = group.start(sh("sleep 1000 & sleep 1000"))
    group.signal(number)
    assert process.outcome() == Outcome(None, 9, False)
    wait_until(lambda: group.members() == [])
    assert group.run(sh("echo x")) == "x"


@pytest.mark.parametrize(
    ("value", "error"),
    [("cont", ValueError), ("", ValueError), (0, ValueError), (65, ValueError), (-(2**40), ValueError), (True, TypeError), (1.0, TypeError), (None, TypeError)],
)  # fmt: skip
def test_a_bad_signal_is_refused_on_an_open_and_on_a_closed_group(group, value, error):
    closed = ProcessGroup()
    closed.shutdown()
    for target in (group, closed):
        with pytest.raises(error):
            target.signal(value)


def test_a_suspended_tree_stands_still_until_it_is_resumed(group, tmp_path):
    ticks = tmp_path / "ticks"
    process = group.start(sh(f"while :; do echo x >> {ticks}; sleep 0.01; done"))
    wait_until(ticks.exists)
    group.suspend()
    group.suspend()
    size = ticks.stat().st_size
    for _ in range(20):
        time.sleep(0.005)
        assert ticks.stat().st_size == size, "it ran on after suspend() had returned"
    group.resume()
    group.resume()
    wait_until(lambda: ticks.stat().st_size > size)
    assert alive(process.pid)
    group.kill_all()


def test_a_suspended_tree_can_be_killed(group):
    with group.start(SLEEP) as process:
        group.suspend()
        group.kill_all()
        assert process.outcome() == Outcome(None, 9, False)


def test_the_block_of_a_suspended_group_kills_its_tree():
    with ProcessGroup(shutdown_grace=0.1) as group:
        pid = group.start(SLEEP).pid
        group.suspend()
    wait_until(lambda: not alive(pid))


def test_kill_all_ends_everybody_at_once_and_the_group_stays_usable(group, tmp_path):
    process = group.start(stubborn(tmp_path / "pid"))
    pid_in(tmp_path / "pid")
    group.kill_all()
    assert group.members() == []
    assert process.outcome() == Outcome(None, 9, False)
    assert group.run(sh("echo x")) == "x"


# Stats.


def test_stats_count_the_living_and_measure_what_the_mechanism_can(group, mechanism):
    assert group.stats().active_process_count == 0
    with group.start(sh("sleep 1000 & wait")):
        wait_until(lambda: group.stats().active_process_count == 2)
        stats = group.stats()
        assert type(stats) is ProcessGroupStats
        assert stats.total_cpu_time_seconds is None or stats.total_cpu_time_seconds >= 0
        assert stats.peak_memory_bytes is None or stats.peak_memory_bytes > 0
        assert stats.peak_process_count is None or stats.peak_process_count >= 2
        for name in ("io_read_bytes", "io_write_bytes", "peak_process_count"):
            assert f"{name}=" in repr(stats)
            assert mechanism != "process_group" or getattr(stats, name) is None
        assert pickle.loads(pickle.dumps(stats)) == stats


# The end.


def test_stopping_nobody_is_drained_at_once(group, call):
    report = call(group, "stop", 1000)
    assert type(report) is ShutdownReport
    assert repr(report).startswith("ShutdownReport(")
    assert (report.members_before, report.members_after, report.drained_within_grace, report.escalated) == (0, 0, True, False)
    assert report.attempted_signal in ("term", None)
    assert pickle.loads(pickle.dumps(report)) == report


@needs_signals
def test_a_cooperative_tree_ends_the_grace_early_and_the_group_stays_open(group, call):
    process = group.start(sh("trap 'exit 0' TERM; echo x; while :; do sleep 0.01; done").stdout("null"))
    also = group.start(SLEEP)
    report = call(group, "stop", 1000)
    assert (report.soft_signal, report.attempted_signal) == ("sent", "term")
    assert (report.members_after, report.drained_within_grace, report.escalated) == (0, True, False)
    assert report.members_before >= 2
    assert process.outcome().timed_out is False
    assert also.outcome() == Outcome(None, 15, False)
    assert group.run(sh("echo x")) == "x"


def test_a_stubborn_tree_is_killed_after_its_grace(group, call, tmp_path):
    process = group.start(stubborn(tmp_path / "pid"))
    pid_in(tmp_path / "pid")
    report = call(group, "stop", 0.05)
    assert (report.soft_signal, report.attempted_signal) == (("sent", "term") if POSIX else ("unsupported", None))
    assert (report.members_after, report.drained_within_grace, report.escalated) == (0, False, True)
    assert report.members_before >= 1
    assert process.outcome() == Outcome(None, 9, False)


def test_without_escalation_a_stubborn_tree_lives_on(group, call, tmp_path):
    process = group.start(stubborn(tmp_path / "pid"))
    pid_in(tmp_path / "pid")
    report = call(group, "stop", 0.05, escalate=False)
    assert (report.drained_within_grace, report.escalated) == (False, False)
    assert report.members_after >= 1
    assert alive(process.pid)
    group.kill_all()
    assert process.outcome() == Outcome(None, 9, False)


def frozen(pid):
    """Whether a suspended process is at rest: stopped, or in a cgroup that is. Windows does not tell."""
    if not POSIX:
        return True
    with open(f"/proc/{pid}/cgroup") as cgroup, open("/proc/mounts") as mounts:
        path = cgroup.read().rpartition("0::")[2].strip()
        events = [f"{line.split()[1]}{path}/cgroup.events" for line in mounts if line.split()[2] == "cgroup2"]
    return state(pid) == "T" or any("frozen 1" in pathlib.Path(file).read_text() for file in events if os.path.exists(file))


def test_a_frozen_tree_gets_its_whole_grace_and_is_killed(group, call):
    # One that would end by itself if it ran; a signal whose default is to kill needs no reaction, and kills the frozen too.
    process = group.start(py(READY_AND_LOOPING))
    process.wait_for_line("ready", timeout=60)
    group.suspend()
    assert frozen(process.pid), "suspend() returned before the tree was at rest"
    report = call(group, "stop", 0.1)
    assert (report.drained_within_grace, report.escalated, report.members_after) == (False, True, 0)
    assert process.outcome() == Outcome(None, 9, False)


def test_bad_arguments_of_stop_are_refused(group, call):
    with pytest.raises(ValueError, match="grace_seconds"):
        call(group, "stop", float("nan"))
    with pytest.raises(TypeError):
        call(group, "stop", 1, True)
    with pytest.raises(TypeError):
        call(group, "stop")


OPERATIONS = {
    "members": (), "members_info": (), "adopt_external": (1,), "signal": ("term",), "suspend": (), "resume": (), "kill_all": (),
    "stats": (), "update_limits": (), "stop": (0,), "start": (SLEEP,), "output": (SLEEP,), "output_bytes": (SLEEP,), "run": (SLEEP,),
    "exit_code": (SLEEP,), "probe": (SLEEP,),
}  # fmt: skip
TWINS = ["stop", "start", "output", "output_bytes", "run", "exit_code", "probe"]


def test_a_closed_group_refuses_everything_but_closing(call):
    group = ProcessGroup()
    call(group, "shutdown")
    call(group, "shutdown")
    assert repr(group) == "ProcessGroup(closed)"
    with group as entered:
        assert entered is group
    for name, words in OPERATIONS.items():
        with pytest.raises(ProcessError, match="already closed"):
            getattr(group, name)(*words)
    for name in TWINS:
        with pytest.raises(ProcessError, match="already closed"):
            asyncio.run(getattr(group, "a" + name)(*OPERATIONS[name]))
    for name in ("mechanism", "soft_stop_scope"):
        with pytest.raises(ProcessError, match="already closed"):
            getattr(group, name)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_leaving_the_block_ends_the_tree_also_on_an_exception(asynchronous, tmp_path):
    pids = []

    def fail(group):
        pids.append(group.start(stubborn(tmp_path / "pid")).pid)
        pid_in(tmp_path / "pid")
        raise KeyError

    async def main():
        async with ProcessGroup(shutdown_grace=0.05) as group:
            fail(group)

    with pytest.raises(KeyError):
        if asynchronous:
            asyncio.run(main())
        else:
            with ProcessGroup(shutdown_grace=0.05) as group:
                fail(group)
    gc.collect()
    assert not alive(pids[0])


def test_an_async_verb_of_a_group_without_a_loop_says_so(group):
    for name in [*TWINS, "shutdown"]:
        with pytest.raises(ProcessError, match="no running asyncio event loop"):
            getattr(group, "a" + name)(*OPERATIONS.get(name, ())).send(None)
        assert group.run(sh("echo x")) == "x", name


@needs_signals
def test_cancelling_a_graceful_shutdown_kills_at_once(tmp_path):
    async def main():
        group = ProcessGroup(shutdown_grace=1000)
        pid = group.start(stubborn(tmp_path / "pid")).pid
        pid_in(tmp_path / "pid")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(group.ashutdown(), 0.1)
        assert repr(group) == "ProcessGroup(closed)"
        return pid

    assert not alive(asyncio.run(main()))


def test_survivors_of_a_group_that_does_not_escalate_live_on(tmp_path):
    group = ProcessGroup(shutdown_grace=0.05, escalate_to_kill=False)
    pid = group.start(stubborn(tmp_path / "pid")).pid
    pid_in(tmp_path / "pid")
    group.shutdown()
    del group
    gc.collect()
    assert alive(pid)
    census.kill(pid)
    wait_until(lambda: not alive(pid))
    # It is our child still; whatever is started next finds that it has ended.
    sh("exit 0").output()
    assert reaped(pid)


def test_dropping_a_group_kills_its_tree_and_says_so(letting_go):
    group = ProcessGroup()
    pid = group.start(SLEEP).pid
    with pytest.warns(ResourceWarning, match="dropped"), letting_go:
        group = None
    wait_until(lambda: not alive(pid))


# Adoption.


def test_an_adopted_process_is_listed_signalled_and_ended_but_never_reaped(group, outsider):
    assert group.adopt_external(outsider.pid) is None
    assert group.members() == [outsider.pid]
    assert [info.pid for info in group.members_info()] == [outsider.pid]
    assert group.stop(1000).drained_within_grace is POSIX
    assert outsider.wait() == (-signal.SIGTERM if POSIX else KILLED_BY_US)


def test_what_cannot_be_adopted_is_refused(group, outsider):
    for pid in (0, os.getpid()):
        with pytest.raises(ProcessError, match="pid"):
            group.adopt_external(pid)
    outsider.kill()
    outsider.wait()
    for pid in (outsider.pid, 2**31 - 1, 2**32 - 1):
        with pytest.raises(ProcessError, match=str(pid)) as caught:
            group.adopt_external(pid)
        assert type(caught.value) is ProcessError
    for pid in (-1, 2**32):
        with pytest.raises(OverflowError):
            group.adopt_external(pid)
    with pytest.raises(TypeError):
        group.adopt_external("1")
    assert group.members() == []


# Threads.


def test_starts_in_many_threads_are_distinct_members_and_all_are_reaped(group):
    processes = []
    threads = [threading.Thread(target=lambda: processes.extend(group.start(SLEEP) for _ in range(4))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({process.pid for process in processes}) == 24
    wait_until(lambda: sorted(group.members()) == sorted(process.pid for process in processes))
    pids = [process.pid for process in processes]
    group.kill_all()
    assert [process.outcome() for process in processes] == [Outcome(None, 9, False)] * 24
    assert [pid for pid in pids if not reaped(pid)] == []


@pytest.mark.parametrize("end", ["shutdown", "kill_all"])
def test_a_start_beside_an_end_is_a_member_or_a_process_error(end):
    for _ in range(5):
        group = ProcessGroup(shutdown_grace=0)
        pids, refused, ready = [], [], threading.Barrier(5)

        def start(group=group, pids=pids, refused=refused, ready=ready):
            ready.wait()
            for _ in range(4):
                try:
                    pids.append(group.start(SLEEP).pid)
                except ProcessError as error:
                    refused.append(error)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        ready.wait()
        getattr(group, end)()
        for thread in threads:
            thread.join()
        group.shutdown()
        gc.collect()
        assert len(pids) + len(refused) == 16
        assert [str(error) for error in refused if "already closed" not in str(error) and not is_wines(error)] == []
        assert [pid for pid in pids if not reaped(pid)] == []


# The owner's death.


def test_a_group_that_survives_its_owner_is_left_alive_when_the_owner_is_killed(in_child_env, tmp_path, mechanism):
    script = f"""
import os, time
from processkit import Command, ProcessGroup
kept, lost = ProcessGroup(survive_owner=True), ProcessGroup()
command = Command({SLEEP.program!r}, {SLEEP.arguments!r}).stdout("null").stderr("null")
pids = [group.start(command).pid for group in (kept, lost)]
with open({str(tmp_path / "new")!r}, "w") as file:
    file.write(" ".join(map(str, pids)))
os.rename({str(tmp_path / "new")!r}, {str(tmp_path / "pids")!r})
time.sleep(1000)
"""
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    owner = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        kept, lost = map(int, wait_until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text()).split())
    finally:
        owner.kill()
        owner.wait()
    wait_until(lambda: not alive(lost))
    assert alive(kept)
    census.kill(kept)
    wait_until(lambda: not alive(kept))
