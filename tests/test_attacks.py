"""Attacks on the promise: what a hostile or unlucky program does to its cgroup, its threads, and its owner's view of the system."""

import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from owners import BASE, Owner, alive, carriers, guardians_of, kill
from programs import py, wait_until

import processkit
from processkit import Command, ProcessGroup, process_is_alive
from processkit._core.guardian import Guard
from processkit._os.errors import LaunchError
from processkit._os.linux import child, forked, procgroup, system
from processkit._os.linux.calls import architecture
from processkit._os.linux.guardian import _Running
from processkit._os.linux.procfs import read_stat
from processkit._os.posix.guardian import Guardian
from processkit._plan.plan import make_plan

needs_cgroup = pytest.mark.skipif(BASE is None, reason="no cgroup_v2 here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="who may do that is root")

# Where a process's own cgroup lies.
MINE = """
import os, sys, time
sys.setrecursionlimit(10000)
own = open("/proc/self/cgroup").read().partition("0::")[2].splitlines()[0]
"""


def mine():
    """Lines of Python that set `mine` to the directory of the cgroup of who runs them."""
    with open("/proc/self/cgroup") as file:
        own = file.read().partition("0::")[2].splitlines()[0].rstrip("/")
    mount = BASE[: len(BASE) - len(own)]
    return f"{MINE}mine = {mount!r} + own\n"


#: (levels, length of each name): deeper than Python recurses, and longer than PATH_MAX.
NESTS = [(1100, 1), (17, 250)]


def nesting(levels, length):
    """Makes cgroups inside each other in its own, step by step, as paths may be too long."""
    return mine() + f"os.chdir(mine)\nfor _ in range({levels}):\n    os.mkdir('n' * {length})\n    os.chdir('n' * {length})\n"


@pytest.fixture
def owner(tmp_path, mechanism, token):
    """An owner that uses `mechanism`, not yet begun."""
    one = Owner(tmp_path, mechanism)
    yield one
    one.clear(token)


@needs_cgroup
@pytest.mark.parametrize(("levels", "length"), NESTS)
def test_a_child_that_nests_cgroups_without_end_leaves_nothing(levels, length):
    if system.mechanism() != "cgroup_v2":
        pytest.skip("another mechanism is in use")
    script = nesting(levels, length) + "os.execvp('sh', ['sh', '-c', 'sleep 1000 >/dev/null 2>&1 & echo $!'])"
    left = int(py(script).output().stdout)
    wait_until(lambda: not os.path.exists(f"/proc/{left}"))
    with ProcessGroup(shutdown_grace=0) as group:
        member = group.start(py(nesting(levels, length) + "print('ready', flush=True)\ntime.sleep(1000)"))
        next(member.stdout_lines())
        assert group.members() == [member.pid]
    assert not [name for name in os.listdir(system._home.path) if name.startswith("g")]


@needs_cgroup
@pytest.mark.parametrize("mechanism", ["cgroup_v2"])
@pytest.mark.parametrize(("levels", "length"), NESTS)
def test_nested_cgroups_do_not_keep_the_guardian_from_anything(owner, token, levels, length):
    script = nesting(levels, length) + "print('ready', flush=True)\ntime.sleep(60)"
    owner.begin(
        "import sys, time\nfrom processkit import Command\n"
        f"other = Command('/bin/sleep', ['60']).start()\nnester = Command(sys.executable, ['-c', {script!r}]).start()\n"
        "print(next(nester.stdout_lines()), flush=True)\ntime.sleep(60)"
    )
    assert owner.line() == "ready"
    owner.kill_and_reap()
    owner.assert_gone(token)


# Ends its first thread; another one goes on.
HEADLESS = """
import ctypes, os, sys, threading, time
def go_on():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.001)
    os.write(1, b"%d\\n" % os.getpid())
    os.close(1), os.close(2)
    time.sleep(60)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)
"""


def headless():
    """A command that leaves such a process behind, and says its pid when its first thread has ended."""
    return py(
        "import subprocess, sys\n"
        f"left = subprocess.Popen([sys.executable, '-c', {HEADLESS!r}], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "print(left.stdout.readline().decode().strip())"
    )


def test_a_process_whose_first_thread_has_ended_is_not_gone(mechanism):
    result = headless().output()
    assert result.leaked == 1
    wait_until(lambda: not os.path.exists(f"/proc/{int(result.stdout)}"))
    with ProcessGroup(shutdown_grace=0) as group:
        left = int(group.output(headless()).stdout)
        assert group.members() == [left]
    wait_until(lambda: not os.path.exists(f"/proc/{left}"))
    with ProcessGroup() as group:
        left = int(group.output(headless()).stdout)
        group.kill_all()
        assert group.members() == []


def test_a_process_whose_first_thread_has_ended_dies_with_its_owner(owner, token):
    owner.begin(
        f"import sys, time\nfrom processkit import Command, ProcessGroup\ngroup = ProcessGroup()\n"
        f"print(group.output(Command(sys.executable, {[*headless().arguments]!r})).stdout, flush=True)\ntime.sleep(60)"
    )
    left = int(owner.line())
    assert os.path.exists(f"/proc/{left}")
    owner.kill_and_reap()
    wait_until(lambda: not os.path.exists(f"/proc/{left}"))
    owner.assert_gone(token)


# What happens to the owner's view of the cgroups between its first run and its end.
BLINDING = {
    "chroot": "os.mkdir('root'); os.chroot('root')",
    "umount": "subprocess.run(['umount', '-l', {mount!r}], check=True)",
    "mount over it": "subprocess.run(['mount', '-t', 'tmpfs', 'none', {mount!r}], check=True)",
}


@needs_cgroup
@needs_root
@pytest.mark.parametrize("mechanism", ["cgroup_v2"])
@pytest.mark.parametrize("end", ["returns", "is killed"])
@pytest.mark.parametrize("how", BLINDING)
def test_an_owner_that_cannot_see_its_cgroups_any_more_leaves_nobody(owner, token, tmp_path, how, end):
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split()[4] for line in file if " - cgroup2 " in line]
    mount = next(mount for mount in mounts if BASE.startswith(mount))
    script = f"""
import os, subprocess, sys, time
from processkit import Command, ProcessGroup, process_is_alive
os.chdir({os.fspath(tmp_path)!r})
group = ProcessGroup(shutdown_grace=0)
group.start(Command("/bin/sleep", ["60"]))
run = Command("/bin/sleep", ["60"]).start()
{BLINDING[how].format(mount=mount)}
group.shutdown()
member = ProcessGroup()
print(os.getpid(), flush=True)
if {end!r} == "is killed":
    time.sleep(60)
"""
    (tmp_path / "owner.py").write_text(script)
    with_mounts = ["unshare", "--mount", "--propagation", "private"] if how != "chroot" else []
    owner.begin_command(*with_mounts, sys.executable, str(tmp_path / "owner.py"))
    assert owner.line()
    if end == "is killed":
        owner.kill_and_reap()
    else:
        assert owner.process.wait(20) == 0
    owner.assert_gone(token)


# Closes what it does not know, as daemons do, and opens files of its own under the numbers; then it goes on working.
CLOSING = """
import os, sys, time
from processkit import Command, ProcessGroup, process_is_alive
os.chdir(sys.argv[1])
true, sleep = Command("/bin/true"), Command("/bin/sleep", ["60"])
true.run()
held = [sleep.start(), ProcessGroup()]
held[1].start(sleep)
for held_one in (True, False):
    os.closerange(3, 300)
    own = [open(f"own{number}", "w+b") for number in range(40)]
    for _ in range(3):
        assert true.output().code == 0
        assert Command("/bin/cat").stdin_text("x").run() == "x"
    with ProcessGroup(shutdown_grace=0) as group:
        group.start(sleep)
        assert len(group.members()) == 1
    assert [file.read() for file in own] == [b""] * 40, "something was written to the program's own files"
    [os.fstat(file.fileno()) for file in own]
    [file.close() for file in own]
last = sleep.start()
print("done", flush=True)
if sys.argv[2] == "is killed":
    time.sleep(60)
os._exit(0)
"""


@pytest.mark.parametrize("end", ["returns", "is killed"])
def test_an_owner_that_closes_descriptors_it_does_not_know_goes_on_and_leaves_nobody(owner, token, tmp_path, end):
    owner.begin(CLOSING, str(tmp_path), end)
    assert owner.line() == "done"
    if end == "is killed":
        owner.kill_and_reap()
    else:
        assert owner.process.wait(20) == 0
    owner.assert_gone(token)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this Python opens no pidfds")
def test_the_end_of_a_guardian_ends_nobody_who_has_got_its_descriptor():
    guardian, stranger = (subprocess.Popen(["/bin/sleep", "60"]) for _ in range(2))
    running = _Running(guardian.pid)
    other = os.pidfd_open(stranger.pid)
    try:
        os.dup2(other, running.pidfd)
        running.end(False)
        running.forget()
        guardian.kill()
        guardian.wait()
        assert stranger.poll() is None
    finally:
        os.close(other)
        stranger.kill()
        stranger.wait()


class Deaf:
    """Guardians that are not there: what they are told stays in their pipes."""

    def __init__(self):
        self.pipes = []
        self.ended = 0

    def start(self, guardian):
        read, write = os.pipe()
        os.set_blocking(write, False)
        self.pipes.append(read)
        guardian.started(self, write)

    pidfd = -1

    def end(self, is_alive):
        assert is_alive
        self.ended += 1

    def forget(self):
        pass

    def heard(self):
        """What the last one was told, as a guardian understands it."""
        guard = Guard()
        guard.feed(os.read(self.pipes[-1], 1 << 20))
        return guard

    def close(self):
        for pipe in self.pipes:
            os.close(pipe)


def test_a_guardian_that_does_not_read_is_replaced_and_the_next_one_is_told_everything():
    deaf = Deaf()
    guardian = Guardian("python", deaf.start)
    guardian.ensure()
    guardian.announce(4242, 1)
    for _ in range(10_000):
        guardian.announce(4243, 1)
        guardian.drop(4243)
    assert deaf.ended > 0
    assert deaf.heard().groups == {4242: 1}
    guardian.forget()
    deaf.close()


def test_a_start_that_fails_leaves_no_number_with_the_guardian(monkeypatch, tmp_path):
    program = tmp_path / "program"
    program.write_text("")
    program.chmod(0o755)
    deaf = Deaf()
    guardian = Guardian("python", deaf.start)
    tree = procgroup.Groups(guardian)
    for launcher in (child.launcher(), forked.ForkLauncher(architecture())):
        monkeypatch.setattr(child, "launcher", lambda: launcher)  # noqa: B023
        with pytest.raises(LaunchError):
            procgroup._spawn_in(guardian, tree, make_plan(Command(str(program))._settings), True)
        assert deaf.heard().groups == {}
    guardian.forget()
    deaf.close()


# Owners whose guardian has a hard time to begin; each says its guardian's language once its child has been handed out.
BEGINNING = """
import os, sys, time
{before}
import processkit
os.chdir("/")
process = processkit.Command("/bin/sleep", ["60"]).start()
print(processkit.host_containment().guardian, flush=True)
time.sleep(60)
"""


def zipped(tmp_path):
    """An archive of the package."""
    package = os.path.dirname(processkit.__file__)
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        for place, _, names in os.walk(package):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(place, name)
                    archive.write(path, os.path.relpath(path, os.path.dirname(package)))


def broken(tmp_path):
    """An interpreter that starts, and fails."""
    path = tmp_path / "python-broken"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def test_the_package_in_an_archive_with_a_relative_path_has_a_guardian(owner, token, tmp_path):
    zipped(tmp_path)
    before = f"os.chdir({str(tmp_path)!r}); sys.path.insert(0, 'it.zip')"
    owner.begin(BEGINNING.format(before=before))
    assert owner.line() == "python"
    owner.kill_and_reap()
    owner.assert_gone(token)


def test_an_interpreter_that_cannot_begin_is_replaced_by_sh_before_the_handle_is_there(owner, token, tmp_path):
    owner.begin(BEGINNING.format(before=f"sys.executable = {str(broken(tmp_path))!r}"))
    assert owner.line() == "sh"
    owner.kill_and_reap()
    owner.assert_gone(token)


def test_where_no_guardian_can_begin_a_start_is_an_error_and_leaves_nobody(owner, token, tmp_path):
    script = f"""
from processkit._os.linux import guardian
import processkit
guardian._command = lambda kind, home: [{str(broken(tmp_path))!r}]
try:
    processkit.Command("/bin/sleep", ["60"]).start()
except processkit.ProcessError as error:
    print(error, flush=True)
"""
    owner.begin(script)
    assert "no guardian can be started" in owner.line()
    owner.assert_gone(token, home=False)
    assert owner.process.wait(20) == 0
    owner.assert_gone(token)


def test_an_interpreter_that_needs_its_home_has_it_in_the_guardian_too(owner, token, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    owner.begin(BEGINNING.format(before=""))
    assert owner.line() == "python"
    owner.kill_and_reap()
    owner.assert_gone(token)


# An owner that cannot see any process; it says what became of what it started, a line each.
BLIND = """
import sys, time
from processkit import Command, ProcessError, ProcessGroup
print(Command("/bin/sh", ["-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).output().stdout, flush=True)
group = ProcessGroup()
asked = group.start(Command("/bin/sh", ["-c", "trap 'echo asked; exit' TERM; echo ready; while :; do sleep 0.01; done"]))
lines = asked.stdout_lines()
next(lines)
report = group.stop(1)
print(*lines, report.members_before, flush=True)
try:
    group.members()
except ProcessError as error:
    print(error, flush=True)
print(Command("/bin/sleep", ["60"]).timeout(0.1).output().timed_out, flush=True)
last = Command("/bin/sleep", ["60"]).start()
print("done", flush=True)
time.sleep(60)
"""


@needs_root
@pytest.mark.parametrize("mechanism", ["process_group"])
def test_without_proc_nobody_is_taken_for_gone(owner, token, tmp_path):
    (tmp_path / "owner.py").write_text(BLIND)
    blind = f"umount -l /proc && exec {sys.executable} {tmp_path}/owner.py"
    owner.begin_command("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", blind)
    left = int(owner.line())
    wait_until(lambda: not process_is_alive(left))
    assert owner.line() == "asked None"
    assert "cannot be seen" in owner.line()
    assert owner.line() == "True"
    assert owner.line() == "done"
    owner.kill_and_reap()
    owner.assert_gone(token)


# Becomes a user who may have one process more: the one that starts the guardian, but not the guardian.
CROWDED = """
import os, resource, signal, sys, time
import processkit
from processkit._os.linux import system
true = processkit.Command("/bin/true")
true.output()
try:
    processkit.Command("/bin/true").cwd("/does/not/exist").output()
except processkit.ProcessError:
    pass
os.kill(system._guardian._running.pid, signal.SIGKILL)
while os.path.exists(f"/proc/{system._guardian._running.pid}"):
    time.sleep(0.001)
os.setgroups([])
os.setresgid(64321, 64321, 64321)
os.setresuid(64321, 64321, 64321)
for most in (1, 2):
    resource.setrlimit(resource.RLIMIT_NPROC, (most, 2))
    try:
        print(true.output().code, flush=True)
    except processkit.ProcessError as error:
        print(error, flush=True)
"""


@needs_root
@pytest.mark.parametrize("mechanism", ["process_group"])
def test_a_user_who_may_have_no_more_processes_is_told_so(owner, token):
    owner.begin(CROWDED)
    for _ in range(2):
        assert "no more processes are allowed here (RLIMIT_NPROC" in owner.line()
    assert owner.process.wait(20) == 0
    owner.assert_gone(token)


# An owner that waits for its child, in one way or the other, or leaves it alone; and starts nothing more.
WAITING = """
import asyncio, sys, time
from processkit import Command, ProcessGroup
command = Command("/bin/sleep", ["60"])
{how}
"""
WAYS = {
    "a verb": "command.output()",
    "a verb under asyncio": "asyncio.run(command.aoutput())",
    "a member of a group": "ProcessGroup().output(command)",
    "a stream": "process = command.start(); [*process.stdout_lines()]",
    "a chain": "(command | command).output()",
    "nobody": "process = command.start(); time.sleep(60)",
    "nobody, and the clock": "process = command.timeout(50).start(); time.sleep(60)",
    "nobody, for a member": "group = ProcessGroup(); group.start(command); time.sleep(60)",
    "nobody, for a chain": "chain = (command | command).start(); time.sleep(60)",
    "nobody, under asyncio": """
async def main():
    process = await command.astart()
    time.sleep(60)
asyncio.run(main())""",
}


@pytest.mark.parametrize("how", WAYS)
def test_a_guardian_that_is_killed_while_its_owner_starts_nothing_is_replaced_at_once(owner, token, how):
    process = owner.begin(WAITING.format(how=WAYS[how]))
    first, start = owner.guardian()
    wait_until(lambda: list(carriers(token).values()).count("sleep") >= 1)
    kill(first)
    wait_until(lambda: not alive(first, start))
    second, _ = owner.guardian()
    assert second != first
    if owner.mechanism == "process_group":
        wait_until(lambda: asleep(second))  # it has been told what it is to guard
    assert process.poll() is None
    owner.kill_and_reap()
    owner.assert_gone(token)


@pytest.mark.parametrize("how", ["a verb", "a member of a group", "nobody", "nobody, for a member"])
def test_whatever_is_done_to_the_guardian_at_whatever_moment_nobody_outlives_the_owner(owner, token, how):
    chance = random.Random(how + owner.mechanism)
    for _ in range(5):
        process = owner.begin(WAITING.format(how=WAYS[how]))
        owner.guardian()
        wait_until(lambda: "sleep" in carriers(token).values())
        for _ in range(chance.randint(1, 3)):
            time.sleep(chance.uniform(0, 0.06))  # the moment is what is tried
            for pid in guardians_of(process.pid):
                try:
                    os.kill(pid, chance.choice([signal.SIGKILL, signal.SIGSTOP]))
                except ProcessLookupError:
                    pass
        time.sleep(0.1)  # another one is up
        owner.kill_and_reap()
        owner.assert_gone(token)


def asleep(pid):
    """Whether a process waits for something."""
    stat = read_stat(pid)
    return stat is not None and stat.state == "S"


def test_a_guardian_that_is_stopped_wakes_when_its_owner_dies(owner, token):
    owner.begin(WAITING.format(how=WAYS["a verb"]))
    guardian, start = owner.guardian()
    wait_until(lambda: "sleep" in carriers(token).values())
    wait_until(lambda: asleep(guardian))
    os.kill(guardian, signal.SIGSTOP)
    wait_until(lambda: read_stat(guardian).state == "T")
    owner.kill_and_reap()
    owner.assert_gone(token)
    wait_until(lambda: not alive(guardian, start))


# What `gevent.monkey.patch_all()` does to `select`; its module has the originals.
PATCHED = """
import select, sys, types
gevent = types.ModuleType("gevent.monkey")
originals = {"epoll": select.epoll}
gevent.get_original = lambda module, name: originals[name]
sys.modules["gevent.monkey"] = gevent
del select.epoll
from processkit import Command, ProcessGroup
with Command("/bin/echo", ["streamed"]).start() as process:
    print(*process.stdout_lines())
print((Command("/bin/echo", ["chained"]) | Command("/bin/cat")).run())
with ProcessGroup() as group:
    group.start(Command("/bin/sleep", ["60"]))
    print(group.stop(20).drained_within_grace)
"""


def test_where_gevent_has_taken_epoll_away_it_is_found_again(mechanism, in_child_env):
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    ran = subprocess.run(
        [sys.executable, "-c", PATCHED], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("streamed\nchained\nTrue\n", "")


# Many threads hear at once that the guardian is up.
AT_ONCE = """
import threading
import processkit
command, gate, held = processkit.Command("/bin/sleep", ["60"]), threading.Barrier(12), []
def start():
    gate.wait()
    held.append(command.start())
threads = [threading.Thread(target=start) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(held), processkit.host_containment().guardian, flush=True)
"""


def test_the_first_starts_of_many_threads_share_one_guardian(owner, token):
    for _ in range(5):
        process = owner.begin(AT_ONCE)
        assert owner.line() == "12 python"
        assert process.wait(20) == 0
    owner.assert_gone(token)
