"""Nobody is signalled without a proof that he is ours, nobody is taken for gone because he cannot be seen, and no step of a cleanup
is left out because the one before it failed.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from owners import BASE, Owner, alive, carriers
from programs import failing, sh, sleep, wait_until

from processkit import CancellationToken, ProcessError, ProcessGroup, Runner, aoutput_all, output_as_completed, process_is_alive
from processkit._drive import session, tender
from processkit._os.linux import procgroup
from processkit._os.linux.cgroupfs import Directory
from processkit._os.linux.leaf import Cgroup
from processkit._os.linux.procfs import start_time
from processkit._os.posix.descriptors import Epoll
from processkit._os.posix.guardian import Guardian

needs_cgroup = pytest.mark.skipif(BASE is None, reason="no cgroup_v2 here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="who may do that is root")


@pytest.fixture
def owner(tmp_path, mechanism, token):
    """An owner that uses `mechanism`, not yet begun."""
    one = Owner(tmp_path, mechanism)
    yield one
    one.clear(token)


@pytest.fixture
def stranger():
    """The leader of a process group that is no child of ours."""
    started = subprocess.run(
        ["/bin/sh", "-c", "setsid sleep 1000 >/dev/null & echo $!"], stdout=subprocess.PIPE, text=True, check=True
    )
    pid = int(started.stdout)
    wait_until(lambda: os.getpgid(pid) == pid)
    yield pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))


# Proof of identity.


@pytest.mark.parametrize("act", ["kill", "send", "kill_held", "close"])
@pytest.mark.parametrize("start", ["another", "unknown"])
def test_a_stranger_who_has_got_the_number_of_a_group_that_somebody_else_reaped_is_not_signalled(stranger, act, start):
    container = procgroup.GroupsContainer(Guardian("none", lambda _: None), private=False)
    tree = container.tree
    tree.born(stranger)
    if start == "another":
        tree.born_after(stranger, time.monotonic(), start_time(stranger) - 1)
    {"kill": tree.kill, "send": lambda: tree.send(signal.SIGTERM), "kill_held": tree.kill_held, "close": container.close}[act]()
    assert alive(stranger, start_time(stranger))
    assert tree.members() == []


@needs_cgroup
def test_the_events_of_another_cgroup_under_the_number_of_ours_are_not_believed():
    base = Directory(BASE)
    mine, others = (Cgroup(f"{BASE}/processkit-test-{os.getpid()}-{name}", base) for name in ("mine", "others"))
    member = subprocess.Popen(["/bin/sleep", "1000"])
    try:
        with open(f"{mine.path}/cgroup.procs", "w") as procs:
            procs.write(str(member.pid))
        assert not mine.empty()
        os.dup2(others._events.number, mine._events.number)
        assert not mine.empty()
    finally:
        member.kill()
        member.wait()
        os.close(mine._events.number) if mine._events.is_lost else None
        mine.destroy()
        others.destroy()
        base.close()


def test_an_epoll_whose_number_the_program_has_closes_no_file_of_its(tmp_path):
    epoll = Epoll()
    number = epoll.fileno()
    with open(tmp_path / "mine", "w") as file:
        os.dup2(file.fileno(), number)
    epoll.close()
    del epoll
    assert os.fstat(number).st_size == 0
    os.close(number)


def test_a_leash_whose_descriptors_the_program_closed_closes_none_of_its_files(in_child_env, tmp_path):
    script = f"""
import os
from processkit import Command
process = Command("/bin/cat").keep_stdin_open().leash().start()
numbers = range(3, 60)
os.closerange(3, 60)
mine = [os.open({str(tmp_path / "mine")!r}, os.O_CREAT | os.O_RDWR) for _ in numbers]
process.kill()
process.__exit__(None, None, None)
print([number for number in mine if os.fstat(number).st_size != 0])
"""
    ran = subprocess.run([sys.executable, "-c", script], env=in_child_env, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("[]\n", 0), ran.stderr


@needs_cgroup
@needs_root
@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="no time namespaces before Linux 5.6")
@pytest.mark.parametrize("mechanism", ["cgroup_v2"])
def test_an_owner_with_a_clock_of_its_own_is_not_taken_for_dead_by_the_next(owner, token):
    script = (
        "from processkit import Command\nprocess = Command('/bin/sleep', ['60']).start()\nprint(process.pid, flush=True)\ninput()"
    )
    owner.begin_command("unshare", "--time", "--boottime", "100000", sys.executable, "-c", script)
    pid = int(owner.line())
    second = "from processkit import Command\nCommand('/bin/true').output()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PROCESSKIT_MECHANISM": "cgroup_v2"}
    subprocess.run([sys.executable, "-c", second], env=environment, check=True)
    assert process_is_alive(pid)
    owner.kill_and_reap()
    owner.assert_gone(token, home=False)


OWN_CLOCK = """
import ctypes
assert ctypes.CDLL(None, use_errno=True).unshare(0x80) == 0  # CLONE_NEWTIME
with open("/proc/self/timens_offsets", "w") as offsets:
    offsets.write("boottime 100000 0")
from processkit import Command
process = Command("/bin/sh", ["-c", "setsid sleep 60 & exec sleep 60"]).start()
print(process.pid, flush=True)
input()
"""


@needs_root
@pytest.mark.skipif(not os.path.exists("/proc/self/ns/time"), reason="no time namespaces before Linux 5.6")
def test_an_owner_that_gives_its_children_another_clock_has_a_guardian_that_ends_them_and_not_before(owner, token):
    owner.begin(OWN_CLOCK)
    pid = int(owner.line())
    owner.guardian()
    assert alive(pid, start_time(pid))
    owner.kill_and_reap()
    owner.assert_gone(token)


# Unknown is not gone.

WITHOUT_PROC = {
    "a verb": """
process = Command("/bin/sh", ["-c", "echo $$; sleep 60 >/dev/null 2>&1 & exit 0"]).start()
subprocess.run(["umount", "-l", "/proc"], check=True)
process.output()
""",
    "a handle": """
process = Command("/bin/sh", ["-c", "sleep 60 >/dev/null 2>&1 & exit 0"]).start()
subprocess.run(["umount", "-l", "/proc"], check=True)
process.wait_any if False else None
with process:
    while process.poll() is None:
        time.sleep(0.001)
""",
    "a member": """
group = ProcessGroup(shutdown_grace=0)
process = group.start(Command("/bin/sh", ["-c", "echo $$; sleep 60 >/dev/null 2>&1 &"]))
subprocess.run(["umount", "-l", "/proc"], check=True)
process.output()
group.shutdown()
""",
}


@needs_root
@pytest.mark.parametrize("what", WITHOUT_PROC)
def test_without_proc_nobody_is_left_behind(owner, token, what, tmp_path):
    script = f"import os, subprocess, time\nfrom processkit import Command, ProcessGroup\n{WITHOUT_PROC[what]}\nprint('done', flush=True)\ninput()\n"
    (tmp_path / "owner.py").write_text(script)
    owner.begin_command("unshare", "--mount", "--propagation", "private", sys.executable, str(tmp_path / "owner.py"))
    assert owner.line() == "done"
    wait_until(lambda: "sleep" not in carriers(token).values())
    owner.kill_and_reap()
    owner.assert_gone(token)


@needs_cgroup
@needs_root
@pytest.mark.parametrize("mechanism", ["cgroup_v2"])
def test_a_group_whose_owner_sees_no_processes_is_asked_to_end_all_the_same(owner, token, tmp_path):
    script = f"""
import os
from processkit import Command, ProcessGroup
group = ProcessGroup()
group.start(Command("/bin/sleep", ["60"]))
os.chroot({str(tmp_path)!r})
report = group.stop(20)
print(report.members_before, report.members_after, report.drained_within_grace, report.soft_signal, flush=True)
os._exit(0)
"""
    owner.begin(script)
    assert owner.line() == "1 0 True sent"
    owner.process.wait(20)
    owner.assert_gone(token)


# Every step is taken.


def test_a_group_whose_collection_is_interrupted_is_ended_all_the_same(mechanism, monkeypatch, letting_go):
    group = ProcessGroup()
    pid = group.start(sleep(1000)).pid
    failing(monkeypatch, type(group._container), "close", KeyboardInterrupt)
    with letting_go, pytest.warns(ResourceWarning):
        del group
    assert not process_is_alive(pid)


def test_a_child_whose_tree_cannot_be_killed_is_killed_itself_and_reaped(mechanism, monkeypatch):
    process = sleep(1000).start()
    child, pid = process._child, process.pid
    failing(monkeypatch, type(child.tree), "kill", OSError(5, "kill"))
    with pytest.raises(OSError, match="kill"):
        child.end()
    assert not os.path.exists(f"/proc/{pid}")
    process.__exit__(None, None, None)


def test_a_batch_lets_go_of_its_threads_and_tokens_though_a_run_cannot_be_ended(monkeypatch):
    token = CancellationToken()
    stream = output_as_completed([sh("echo a"), sleep(1000).cancel_on(token)], concurrency=2)
    next(stream)
    cancel = CancellationToken.cancel

    def fails(cancelled):
        cancel(cancelled)
        raise OSError(5, "cancel")

    monkeypatch.setattr(CancellationToken, "cancel", fails)
    with pytest.raises(OSError, match="cancel"):
        stream.close()
    assert token._callbacks == {}
    wait_until(lambda: not any(thread.name == "processkit-batch" for thread in threading.enumerate()))


def test_a_deadline_that_could_not_be_kept_at_once_is_kept_a_little_later(mechanism, monkeypatch):
    with sleep(1000).timeout(0.05).timeout_grace(0.05).start() as process:
        pid = process.pid
        tree = type(process._child.tree)
        failing(monkeypatch, tree, "ask", OSError(5, "ask"))
        failing(monkeypatch, tree, "kill", OSError(5, "kill"))
        monkeypatch.setattr(tender, "ignore", lambda error: None)
        wait_until(lambda: not process_is_alive(pid))
        assert process.outcome().timed_out


class Odd(BaseException):
    """No Exception, and nobody's interrupt: as pytest.fail raises."""


class Raising(Runner):
    """A runner all of whose runs raise."""

    def __init__(self, kind):
        super().__init__()
        self._kind = kind

    async def aoutput(self, command, /):
        raise self._kind


def test_a_slot_of_an_async_batch_holds_any_error_but_those_that_end_the_program():
    slots = asyncio.run(aoutput_all([sh("echo a")] * 3, runner=Raising(Odd), concurrency=2))
    assert [type(slot) for slot in slots] == [Odd] * 3


def test_an_interrupt_in_an_async_batch_ends_it():
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(aoutput_all([sh("echo a")] * 3, runner=Raising(KeyboardInterrupt), concurrency=2))


def test_a_cancelled_async_start_ends_although_its_process_could_not_be_ended(monkeypatch):
    from processkit._drive import spawner
    from processkit._process.running import RunningProcess

    monkeypatch.setattr(spawner, "_known", {})
    born, go_on = threading.Event(), threading.Event()

    async def main():
        task = asyncio.ensure_future(slow.astart())
        await asyncio.to_thread(born.wait)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)

    started = spawner._timed

    def held_up(program, spawn):
        process = started(program, spawn)
        failing(monkeypatch, RunningProcess, "_close", OSError(5, "close"))
        born.set()
        go_on.wait()
        return process

    monkeypatch.setattr(spawner, "_timed", held_up)
    monkeypatch.setattr("processkit._os.worker.ignore", lambda error: None)
    slow = sleep(1000)
    asyncio.run(main())


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="a trace function of CPython's finds the line")
def test_a_token_whose_cancel_was_interrupted_at_any_line_can_be_cancelled_again():
    for line in range(1, 12):
        token, told = CancellationToken(), []
        token._subscribe(lambda told=told: told.append(1))
        seen = [0]

        def trace(frame, event, _argument, seen=seen, line=line):
            if frame.f_code.co_name != "cancel":
                return None
            if event == "line":
                seen[0] += 1
                if seen[0] == line:
                    raise Odd
            return trace

        sys.settrace(trace)
        try:
            token.cancel()
        except Odd:
            pass
        finally:
            sys.settrace(None)
        token.cancel()
        assert told == [1], line


def test_a_group_that_two_threads_shut_down_is_closed_when_either_returns(mechanism):
    for _ in range(5):
        group = ProcessGroup(shutdown_grace=20)
        pid = group.start(sleep(1000)).pid
        gate, errors = threading.Barrier(2), []

        def shut(group=group, gate=gate, errors=errors, pid=pid):
            gate.wait()
            try:
                group.shutdown()
                assert not process_is_alive(pid)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=shut) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []


# Loops that are busy.


@pytest.fixture
def busy(monkeypatch):
    """`busy(process)`: a loop that streams from `process`, and is held up until its `let_go` is set; `join` ends it."""
    monkeypatch.setattr(session, "PATIENCE", 0.1)
    let_go, reading = threading.Event(), threading.Event()
    threads = []

    def begin(process):
        async def main():
            lines = process.stdout_lines()
            assert await lines.__anext__() == "hi"
            reading.set()
            let_go.wait(60)  # the loop is blocked, as by a callback of the program
            await asyncio.sleep(0.05)

        threads.append(threading.Thread(target=lambda: asyncio.run(main())))
        threads[-1].start()
        reading.wait()

    begin.let_go = let_go
    yield begin
    let_go.set()
    for thread in threads:
        thread.join()


def test_a_loop_that_was_busy_while_its_process_was_closed_kills_nobody_else_afterwards(mechanism, busy):
    process = sh("echo hi").timeout(60).start()
    busy(process)
    wait_until(lambda: process.poll() is not None)
    process.kill()
    process.__exit__(None, None, None)
    with sleep(1000).start() as another:
        busy.let_go.set()
        for thread in [*threading.enumerate()]:
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        assert another.poll() is None


@pytest.mark.parametrize("how", ["deadline", "token"])
def test_a_deadline_and_a_token_hold_while_the_loop_that_leads_is_busy(mechanism, busy, how):
    token = CancellationToken()
    process = sh("echo hi; exec sleep 1000").timeout(0.3 if how == "deadline" else 600).cancel_on(token).start()
    pid = process.pid
    busy(process)
    if how == "token":
        threading.Timer(0.1, token.cancel).start()
    ended = []

    def wait():
        try:
            ended.append(process.outcome().timed_out)
        except ProcessError as error:
            ended.append(type(error).__name__)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: not process_is_alive(pid))
    assert not busy.let_go.is_set()
    busy.let_go.set()
    waiting.join()
    assert ended == [True if how == "deadline" else "Cancelled"]
