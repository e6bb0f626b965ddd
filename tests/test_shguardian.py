"""The guardian in sh: a script that the shells of small systems take, and what it does when its owner is gone."""

import os
import shutil
import signal
import subprocess

import pytest
from programs import wait_until

from processkit._os.linux.procfs import start_time
from processkit._os.linux.shguardian import SCRIPT, squeezed

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}


@pytest.fixture(params=SHELLS)
def shell(request):
    words = SHELLS[request.param]
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]} here")
    return words


@pytest.mark.parametrize("text", [SCRIPT, squeezed()], ids=["as it is read", "as it is run"])
def test_the_script_is_one_for_every_shell(shell, text):
    ran = subprocess.run([*shell, "-n"], input=text, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_is_run_is_the_script_without_its_comments():
    assert [line for line in squeezed().splitlines() if line.startswith("#") or line != line.strip() or not line] == []
    assert {line.strip() for line in SCRIPT.splitlines()} - set(squeezed().splitlines()) == {
        line.strip() for line in SCRIPT.splitlines() if line.strip().startswith("#") or not line.strip()
    }


@pytest.fixture
def sleepers():
    """Processes that lead a group of their own."""
    started = []

    def start():
        process = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def watch(shell, messages, home=""):
    """Run the guardian to its end: the owner says this, and is gone."""
    return subprocess.run(
        [*shell, "-c", squeezed(), "guardian", home], input=messages, text=True, capture_output=True, timeout=60
    )


SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def ignores(pid):
    """The signals that a process ignores. proc_pid_status(5)"""
    with open(f"/proc/{pid}/status") as status:
        mask = int(next(line for line in status if line.startswith("SigIgn:")).split()[1], 16)
    return {number for number in SIGNALS if mask >> number - 1 & 1}


def killed(process):
    return process.wait(20) == -signal.SIGKILL


def test_groups_and_processes_that_were_registered_die_and_those_taken_back_live(shell, sleepers):
    group, unknown, single, dropped, left, other, reused = (sleepers() for _ in range(7))
    messages = "".join(
        f"{line}\n"
        for line in (
            f"group {group.pid} {start_time(group.pid)}",
            f"group {unknown.pid} 0",
            f"process {single.pid} {start_time(single.pid)}",
            f"group {dropped.pid} {start_time(dropped.pid)}",
            f"process {left.pid} {start_time(left.pid)}",
            f"drop {dropped.pid}",
            f"leave {left.pid}",
            f"group {reused.pid} {start_time(reused.pid) - 1}",
            "nonsense 1 2",
        )
    )
    assert watch(shell, messages).returncode == 0
    assert all(killed(process) for process in (group, unknown, single))
    assert all(process.poll() is None for process in (dropped, left, other, reused))


@pytest.mark.parametrize("name", ["a) R (b 1 2", "a\nb", "a) R 1\n) S 2 3"])
def test_a_name_with_blanks_parentheses_and_line_ends_hides_nobody(shell, tmp_path, name):
    program = tmp_path / name
    os.symlink("/bin/sleep", program)
    process = subprocess.Popen([program, "1000"], start_new_session=True)
    try:
        watch(shell, f"process {process.pid} {start_time(process.pid)}\n")
        assert killed(process)
    finally:
        process.kill()
        process.wait()


def test_who_has_left_the_group_dies_with_the_parent_that_leads_to_him(shell, sleepers):
    other = sleepers()
    script = "setsid sleep 1000 & setsid sh -c 'setsid sleep 1000 & echo $!; wait' & wait"
    process = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True)
    try:
        deepest = int(process.stdout.readline())
        wait_until(lambda: os.getsid(deepest) == deepest)
        watch(shell, f"group {process.pid} {start_time(process.pid)}\n")
        assert killed(process)
        wait_until(lambda: not os.path.exists(f"/proc/{deepest}"))
        wait_until(lambda: not process.stdout.read())  # nobody holds the pipe any more
        assert other.poll() is None
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def test_an_owner_that_says_nothing_is_no_error(shell):
    ran = watch(shell, "")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "up\n", "")


def test_signals_meant_for_the_owner_do_not_end_it(shell, sleepers):
    victim = sleepers()
    guardian = subprocess.Popen([*shell, "-c", squeezed(), "guardian", ""], stdin=subprocess.PIPE, text=True)
    guardian.stdin.write(f"group {victim.pid} 0\n")
    guardian.stdin.flush()
    wait_until(lambda: ignores(guardian.pid) >= SIGNALS)
    for number in SIGNALS:
        guardian.send_signal(number)
    guardian.stdin.close()
    assert guardian.wait(20) == 0
    assert killed(victim)
