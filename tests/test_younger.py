"""What an ended process left behind is found from the numbers given since its birth, and where those say nothing, by a walk."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import pytest
from programs import alive, py, sh, wait_until

from processkit import Command, ProcessGroup
from processkit._os.linux import procgroup, proctree, younger


@pytest.fixture(autouse=True)
def process_groups():
    """The mechanism that looks at numbers."""
    import census_linux as census

    before = census.current()
    census.use("process_group")
    yield
    census.use(before)


@pytest.fixture
def walks(monkeypatch):
    """How often all of /proc was read."""
    count = []
    whole = proctree.snapshot
    # A machine so slow that the fastest one might use up all numbers during one run of it walks as well, rightly.
    monkeypatch.setattr(younger, "MOST_BIRTHS", 100)
    monkeypatch.setattr(proctree, "snapshot", lambda: count.append(1) or whole())
    return count


LEAVES = "sleep 1000 >/dev/null 2>&1 & echo $!"


def left_dead(command):
    """Run it; the process whose number it prints is dead after that."""
    pid = int(command.output().stdout)
    wait_until(lambda: not alive(pid))


def test_a_run_that_leaves_nobody_needs_no_walk(walks):
    for _ in range(5):
        assert Command("/bin/true").output().code == 0
    with ProcessGroup() as group:
        walks.clear()
        for _ in range(20):
            assert group.output(Command("/bin/true")).code == 0
        # Others on the machine may give out more than 64 numbers meanwhile; that is seen at once and leads to a walk.
        assert len(walks) < 10


SIX = "for i in 1 2 3 4 5 6; do sleep 1000 >/dev/null 2>&1 & echo $!; done"


def test_the_processes_born_after_one_are_found_and_no_others():
    found = None
    for _ in range(50):  # others on the machine may give out more numbers meanwhile than are read one by one
        moment = time.monotonic()
        shell = subprocess.Popen(["/bin/sh", "-c", f"{SIX}; exec sleep 1000"], stdout=subprocess.PIPE, text=True)
        children = [int(shell.stdout.readline()) for _ in range(6)]
        try:
            found = younger.younger(shell.pid, moment)
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            shell.kill()
            shell.communicate()
        if found is not None:
            break
    assert found is not None, "no quiet moment in fifty tries"
    assert set(children) <= found.keys()
    assert all(pid > shell.pid for pid in found)


def test_more_processes_than_can_be_read_one_by_one_are_not_read():
    moment = time.monotonic()
    first = subprocess.Popen(["/bin/true"])
    subprocess.run(["/bin/sh", "-c", "for i in $(seq 80); do /bin/true; done"], check=True)
    assert younger.younger(first.pid, moment) is None
    first.wait()


def test_what_is_left_is_found_also_when_the_numbers_begin_again(monkeypatch):
    # As if the numbers had begun again behind the leader: the last one is below it.
    monkeypatch.setattr(younger, "_last_given", lambda: younger.LOWEST)
    left_dead(sh(LEAVES))


def test_the_numbers_say_nothing_once_they_may_have_begun_again(monkeypatch):
    assert not younger._may_have_begun_again(time.monotonic())
    with open("/proc/sys/kernel/pid_max") as file:
        most = int(file.read())
    assert younger._may_have_begun_again(time.monotonic() - (most - younger.LOWEST) / younger.MOST_BIRTHS)
    process = subprocess.Popen(["/bin/true"])
    assert younger.younger(process.pid, time.monotonic() - 1e6) is None
    process.wait()
    # A system with so few numbers that they are used up in no time.
    monkeypatch.setattr(younger, "_content", lambda path, device=None: b"301\n" if path.endswith("pid_max") else b"0/0 5\n")
    assert younger._may_have_begun_again(time.monotonic() - 1e-5)


def test_without_the_file_or_with_one_that_is_not_the_kernels_nothing_is_said(monkeypatch, tmp_path):
    fake = tmp_path / "loadavg"
    fake.write_text(f"0.00 0.00 0.00 1/1 {os.getpid()}\n")
    real = younger._content
    monkeypatch.setattr(younger, "_content", lambda path, device=None: real(str(fake), device))
    assert younger._last_given() is None
    monkeypatch.setattr(younger, "_content", lambda path, device=None: None)
    assert younger._last_given() is None
    monkeypatch.setattr(younger, "_content", real)
    assert younger._last_given() >= 1
    monkeypatch.setattr(os, "readlink", lambda path: "1")  # a /proc of another pid namespace
    assert younger._last_given() is None


def in_a_namespace(*options):
    """The words that run a command in namespaces of its own, or a skip."""
    words = ["unshare", *options]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip(f"no {' '.join(words)} here")
    return words


def test_a_file_that_is_mounted_over_the_kernels_own_is_not_believed(tmp_path, in_child_env):
    fake = tmp_path / "loadavg"
    fake.write_text("0.00 0.00 0.00 1/1 4000000\n")
    script = f"mount --bind {fake} /proc/loadavg && exec {sys.executable} -c " + repr(
        "from processkit._os.linux import younger; print(younger._last_given())"
    )
    words = in_a_namespace("--mount")
    ran = subprocess.run([*words, "/bin/sh", "-c", script], capture_output=True, text=True, env=in_child_env)
    if "mount" in ran.stderr:
        pytest.skip(f"nothing can be mounted here: {ran.stderr}")
    assert ran.stdout == "None\n", ran.stderr


def test_a_process_of_many_threads_that_is_left_is_found():
    left = "import threading, time; [threading.Thread(target=time.sleep, args=(1000,)).start() for _ in range(10)]; print('up', flush=True)"
    script = (
        "import subprocess, sys\n"
        f"left = subprocess.Popen([sys.executable, '-c', {left!r}], stdout=subprocess.PIPE)\n"
        "left.stdout.readline(); print(left.pid)"
    )
    left_dead(py(script))


# clone3(2) with a number of our choice that nobody has, not even as a group or session, and what the child does.
BY_NUMBER = """
import ctypes, errno, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
for number in range(int(sys.argv[1]), os.getpid()):
    wanted = (ctypes.c_int * 1)(number)
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(wanted), 1, 0)
    pid = libc.syscall(435, arguments, ctypes.sizeof(arguments))
    if pid >= 0 or ctypes.get_errno() != errno.EEXIST:
        break
if pid == 0:
    os.dup2(os.open("/dev/null", os.O_RDWR), 1)
    os.dup2(1, 2)
    time.sleep(1000)
    os._exit(0)
print(pid, ctypes.get_errno(), flush=True)
"""


@pytest.fixture
def by_number():
    """A command that leaves a process with a number below its own."""
    if platform.machine() not in ("x86_64", "aarch64") or os.geteuid():
        pytest.skip("who may choose a number is root")
    command = py(BY_NUMBER, str(younger.LOWEST))
    probe = subprocess.run([command.program, *command.arguments], capture_output=True, text=True)
    pid, code = (int(word) for word in probe.stdout.split())
    if pid < 0:
        pytest.skip(f"clone3 refuses a chosen number here: {os.strerror(code)}")
    os.kill(pid, signal.SIGKILL)
    return py(BY_NUMBER, str(younger.LOWEST))


def test_a_process_hidden_by_a_number_of_its_own_choice_ends_with_its_run(by_number):
    pid = int(by_number.output().stdout.split()[0])
    assert pid > 0
    wait_until(lambda: not alive(pid))


def test_a_process_hidden_by_a_number_of_its_own_choice_stays_a_member_of_its_group(by_number):
    with ProcessGroup(shutdown_grace=0) as group:
        pid = int(group.output(by_number).stdout.split()[0])
        assert pid > 0
        assert alive(pid)
        assert pid in group.members()
    wait_until(lambda: not alive(pid))


def test_who_joins_a_group_from_outside_is_listed_and_ends_with_it():
    with ProcessGroup(shutdown_grace=0) as group:
        # Older than the leader that it will join; it waits until it is told whom to join.
        code = "import os, sys, time; os.setpgid(0, int(sys.stdin.readline())); print('in', flush=True); time.sleep(1000)"
        joiner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            with group.start(sh("read x").keep_stdin_open()) as leader:
                joiner.stdin.write(f"{leader.pid}\n")
                joiner.stdin.flush()
                assert joiner.stdout.readline() == "in\n"
                assert joiner.pid in group.members()
            group.shutdown()
            assert joiner.wait(20) == -signal.SIGKILL
        finally:
            joiner.kill()
            joiner.wait()
            joiner.stdin.close()
            joiner.stdout.close()


def test_a_tree_that_was_empty_is_looked_at_again_once_a_member_is_born():
    with ProcessGroup(shutdown_grace=0) as group:
        assert group.output(Command("/bin/true")).code == 0
        assert group.members() == []
        assert group._container.tree.empty()
        pid = int(group.output(sh(LEAVES)).stdout)
        assert group.members() == [pid]
        assert not group._container.tree.empty()
        os.kill(pid, signal.SIGKILL)
        wait_until(group._container.tree.empty)
        other = int(group.output(sh(LEAVES)).stdout)
        assert group.members() == [other]
    wait_until(lambda: not alive(other))


def test_a_leader_whose_group_lives_on_is_kept_and_reaped_once_that_has_ended(walks):
    with ProcessGroup(shutdown_grace=0) as group:
        left = [int(group.output(sh(LEAVES)).stdout) for _ in range(3)]
        tree = group._container.tree
        held = set(tree._waiting)
        assert len(held) == 3
        # Those that are known to live keep nobody from being quick.
        walks.clear()
        for _ in range(20):
            assert group.output(Command("/bin/true")).code == 0
        assert len(walks) < 10
        os.kill(left[0], signal.SIGKILL)
        wait_until(lambda: not alive(left[0]))
        assert group.output(Command("/bin/true")).code == 0
        assert len(set(tree._waiting) & held) == 2
    for pid in left[1:]:
        wait_until(lambda pid=pid: not alive(pid))


def test_a_handler_may_end_a_tree_while_another_look_at_its_leaders_is_under_way(monkeypatch):
    with ProcessGroup() as group:
        left = [int(group.output(sh(LEAVES)).stdout) for _ in range(2)]
        tree = group._container.tree
        assert len(tree._waiting) == 2
        is_in = procgroup._is_in

        def interrupted(leader, witness):
            """As if a signal handler ran between two leaders."""
            monkeypatch.setattr(procgroup, "_is_in", is_in)
            group.kill_all()
            wait_until(lambda: not any(alive(pid) for pid in left))
            tree.prune()
            assert not tree._waiting
            return is_in(leader, witness)

        monkeypatch.setattr(procgroup, "_is_in", interrupted)
        tree.prune()
        assert not tree._waiting, "a number that is not ours any more is no leader of ours"
        assert not tree.pgids
