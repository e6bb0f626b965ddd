"""Attacks on the promise: what a hostile or unlucky program does to its cgroup, its threads, and its owner's view of the system."""

import os
import sys

import pytest
from owners import BASE, Owner
from programs import py, wait_until

from processkit import ProcessGroup
from processkit._os.linux import system

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
from processkit import Command, ProcessGroup
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
