"""The two other ways to start a process: on the leash (api.md §30.2), and detached (§3.9); and the owner's death (§30.3)."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest
from programs import POSIX, alive, census, needs_posix, needs_signal_ends, sh, shell_argv, sleep, true, wait_until

from processkit import (
    Command,
    DetachedChild,
    Outcome,
    ProcessError,
    ProcessGroup,
    ProcessNotFound,
    Unsupported,
    leash_scope,
    run_guardian_if_invoked,
    wait_any,
)

SLEEP = sleep(1000)
# How the tests' own interpreters write these commands.
SLEEP_THERE = f"Command({SLEEP.program!r}, {SLEEP.arguments!r})"
TRUE_THERE = f"Command({true().program!r}, {true().arguments!r})"
needs_sessions = pytest.mark.skipif(not hasattr(os, "getsid"), reason="this system has no process groups and sessions")


def fields(pid):
    """/proc/PID/stat after the name: state, ppid, pgrp, session; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def gone(pid):
    """Whether nothing is left of a process, not even a zombie."""
    return fields(pid) is None and not alive(pid)


def numbers_in(path):
    return [int(word) for word in wait_until(lambda: path.exists() and path.read_text()).split()]


@pytest.fixture
def owner(in_child_env, tmp_path):
    """`owner(script)`: a Python process that runs it, and the numbers that it hands to `tell(...)`."""
    owners = []

    def start(script):
        head = f"""
import os, sys, threading, time
from processkit import *
def tell(*numbers):
    with open({str(tmp_path / "new")!r}, "w") as file:
        file.write(" ".join(map(str, numbers)))
    os.rename({str(tmp_path / "new")!r}, {str(tmp_path / "told")!r})
"""
        process = subprocess.Popen([sys.executable, "-c", head + script], env=in_child_env, stdin=subprocess.PIPE)
        owners.append(process)
        return process, numbers_in(tmp_path / "told")

    yield start
    for process in owners:
        process.stdin.close()
        process.kill()
        process.wait()


# The leash.


def test_the_leash_is_held_by_somebody_known():
    assert leash_scope() == "kernel"
    assert run_guardian_if_invoked() is None


@needs_sessions
def test_a_leashed_child_stays_in_our_process_group_and_session():
    with SLEEP.leash().start() as process:
        assert process.mechanism == "leash"
        _, parent, group, session, *_ = fields(process.pid)
        assert (int(parent), int(group), int(session)) == (os.getpid(), os.getpgrp(), os.getsid(0))
        with SLEEP.start() as contained:
            assert int(fields(contained.pid)[2]) != os.getpgrp()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request):
    """`call(command, verb)`: the verb, or its twin."""

    async def awaited(command, verb):
        return await getattr(command, "a" + verb)()

    return lambda command, verb: asyncio.run(awaited(command, verb)) if request.param else getattr(command, verb)()


@needs_signal_ends
def test_a_leashed_child_that_a_signal_ends_says_which(call):
    assert call(sh("kill -9 $$").leash(), "output").signal == 9


def test_a_leashed_child_has_all_the_verbs(call):
    result = call(sh("echo x; cat; exit 3").leash().stdin_text("in"), "output")
    assert (result.stdout, result.code, result.mechanism) == ("x\nin", 3, "leash")
    assert call(sh("exit 1").leash(), "probe") is False
    assert call(SLEEP.leash().timeout(0.3), "output").timed_out
    grace = sh("trap 'exit 0' TERM; while :; do sleep 0.01; done").leash().timeout(0.5).timeout_grace(1000)
    assert call(grace, "output").timed_out
    with pytest.raises(ProcessNotFound):
        call(Command("/nowhere/at/all").leash(), "run")


def test_a_leashed_handle_can_be_killed_polled_waited_for_and_left(letting_go):
    with SLEEP.leash().start() as process:
        assert process.poll() is None
        process.kill()
        assert wait_any([process])[1] == Outcome(None, 9, False)
        assert process.outcome() == Outcome(None, 9, False)
    with SLEEP.leash().start() as process:
        pid = process.pid
    assert gone(pid)
    with SLEEP.leash().timeout(0.3).start() as process:
        assert wait_until(process.poll).timed_out
    process = SLEEP.leash().start()
    pid = process.pid
    with pytest.warns(ResourceWarning, match="dropped"), letting_go:
        process = None
    assert gone(pid)


def test_a_leashed_child_outlives_the_thread_that_started_it():
    processes = []
    thread = threading.Thread(target=lambda: processes.append(SLEEP.leash().start()))
    thread.start()
    thread.join()
    with processes[0] as process:
        # The kernel would have killed it with the thread; what is started later has been, then, for long.
        sh("sleep 0.1").output()
        assert process.poll() is None


def test_many_threads_leash_at_the_same_time():
    processes = []
    threads = [threading.Thread(target=lambda: processes.append(SLEEP.leash().start())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({process.pid for process in processes}) == 16
    assert all(process.poll() is None for process in processes)
    for process in processes:
        assert process.shutdown(10) == Outcome(None, 15 if POSIX else 9, False)


def test_a_group_takes_no_leashed_child():
    with ProcessGroup() as group, pytest.raises(Unsupported) as caught:
        group.start(SLEEP.leash())
    assert "leash" in caught.value.operation


DEATHS = {
    "return": "",
    "exception": "raise KeyError",
    "sys.exit": "sys.exit(3)",
    "os._exit": "os._exit(0)",
    "SIGTERM": "os.kill(os.getpid(), 15)",
    "SIGKILL": "os.kill(os.getpid(), 9)",
    "abort": "os.abort()",
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_leashed_child_dies_with_its_owner(owner, death):
    script = f"""
sys.stderr = open(os.devnull, "w")
process = {SLEEP_THERE}.leash().start()
tell(process.pid)
sys.stdin.read(1)
{DEATHS[death]}
"""
    process, (pid,) = owner(script)
    assert alive(pid)
    process.stdin.close()
    process.wait()
    wait_until(lambda: not alive(pid))


# Every tree and group dies with its owner, unasked.


@pytest.mark.parametrize("mechanism_name", census.MECHANISMS)
@pytest.mark.parametrize("death", DEATHS)
def test_trees_and_groups_die_whole_with_their_owner(owner, death, mechanism_name, monkeypatch, tmp_path):
    if census.why_not(mechanism_name) is not None:
        pytest.skip(f"no {mechanism_name} here: {census.why_not(mechanism_name)}")
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    argvs = [shell_argv(f"trap '' TERM HUP INT; sleep 1000 & echo $! > '{path}'; wait; sleep 1000") for path in paths]
    script = f"""
sys.stderr = open(os.devnull, "w")
os.environ["PROCESSKIT_MECHANISM"] = {mechanism_name!r}
group = ProcessGroup()
paths = {paths!r}
one, two = [Command(argv[0], argv[1:]) for argv in {argvs!r}]
started = [group.start(one), two.start()]
assert {{process.mechanism for process in started}} == {{{mechanism_name!r}}}
while not all(os.path.exists(path) and open(path).read().strip() for path in paths):
    time.sleep(0.005)
tell(*[process.pid for process in started], *[int(open(path).read()) for path in paths])
sys.stdin.read(1)
{DEATHS[death]}
"""
    process, pids = owner(script)
    assert all(alive(pid) for pid in pids)
    process.stdin.close()
    process.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_group_that_is_to_survive_is_not_swept_away_while_it_is_empty(mechanism, in_child_env):
    use = f"from processkit import *; {TRUE_THERE}.run(); ProcessGroup().shutdown()"

    def another_owner():
        """Makes its home beside ours, and sweeps what is left there."""
        subprocess.run([sys.executable, "-c", use], env={**in_child_env, "PROCESSKIT_MECHANISM": mechanism}, check=True)

    group = ProcessGroup(survive_owner=True, shutdown_grace=0)
    try:
        for _ in range(2):
            another_owner()
            assert group.run(sh("echo x")) == "x"
        assert group.members() == []
    finally:
        group.shutdown()


# Detached.


@pytest.fixture
def end():
    """`end(pid)`: kill a process that is not our child, and wait for its end."""

    def kill(pid):
        census.kill(pid)
        wait_until(lambda: not alive(pid))

    return kill


def test_a_detached_child_is_nobodys_and_shows_only_its_pid(end, tmp_path):
    child = SLEEP.spawn_detached()
    try:
        assert type(child) is DetachedChild
        assert repr(child) == f"DetachedChild(pid={child.pid})"
        assert alive(child.pid)
        if POSIX:  # Elsewhere who made a process stays its parent, and there are no sessions.
            _, parent, _, session, *_ = fields(child.pid)
            assert int(parent) != os.getpid()
            assert int(session) != os.getsid(0)
        for name in ("kill", "wait", "outcome", "poll"):
            assert not hasattr(child, name)
    finally:
        end(child.pid)


def test_a_detached_child_gets_its_settings_and_null_streams(tmp_path):
    script = 'echo "$NAME $1"; cat; echo lost >&2; mv out done'
    command = sh(script, "word").env("NAME", "value").cwd(tmp_path).stdout_file(tmp_path / "out")
    command.spawn_detached()
    wait_until((tmp_path / "done").exists)
    assert (tmp_path / "done").read_text() == "value word\n"


@needs_posix
def test_a_detached_child_gets_its_umask_and_the_null_device(tmp_path):
    script = 'readlink /proc/$$/fd/0 /proc/$$/fd/2 > fds; echo "$NAME $1"; umask; mv out done'
    command = sh(script, "word").env("NAME", "value").cwd(tmp_path).umask(0o27).stdout_file(tmp_path / "out")
    command.spawn_detached()
    wait_until((tmp_path / "done").exists)
    assert (tmp_path / "done").read_text() == "value word\n0027\n"
    assert (tmp_path / "fds").read_text() == "/dev/null\n/dev/null\n"


def test_a_detached_child_survives_its_launcher(owner, end):
    process, (pid,) = owner(f"tell({SLEEP_THERE}.spawn_detached().pid)\n{TRUE_THERE}.run()\nsys.stdin.read(1)")
    process.kill()
    process.wait()
    # A tree that dies with the owner is gone by then.
    sh("sleep 0.2").output()
    assert alive(pid)
    end(pid)


OWNER_DEPENDENT = {
    "timeout": (5,),
    "stdin_bytes": (b"x",),
    "stdin_text": ("x",),
    "stdin_file": ("/dev/null",),
    "keep_stdin_open": (),
    "inherit_stdin": (),
    "kill_on_parent_death": (),
    "stdout": ("inherit",),
    "stderr": ("inherit",),
}


@pytest.mark.parametrize("name", OWNER_DEPENDENT)
def test_a_setting_that_needs_an_owner_is_refused(name, tmp_path):
    command = getattr(sh(f": > {tmp_path}/ran"), name)(*OWNER_DEPENDENT[name])
    with pytest.raises(Unsupported) as caught:
        command.spawn_detached()
    assert "spawn_detached" in caught.value.operation
    assert not (tmp_path / "ran").exists()


def test_a_detached_launch_that_fails_says_why(tmp_path):
    with pytest.raises(ProcessNotFound):
        Command("/nowhere/at/all").spawn_detached()
    for command in (SLEEP.cwd("/nowhere"), SLEEP.stdout_file("/nowhere/out"), Command(sleep().program, ["a\0b"])):
        with pytest.raises(ProcessError) as caught:
            command.spawn_detached()
        assert type(caught.value) is ProcessError
    script = tmp_path / ("garbage" if POSIX else "garbage.exe")
    script.write_bytes(b"\x7fNOT")
    script.chmod(0o755)
    with pytest.raises(ProcessError):
        Command(script).spawn_detached()
