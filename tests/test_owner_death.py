"""The promise: nothing that an owner started outlives it, however the owner goes, whatever its children do to get away.

Real processes throughout. An owner is a small program that imports this package; the tree that it starts reports each of its
members over a fifo. Survivors are counted by the token in their environment. Every process here ends by itself after a
minute, so that a bug leaves nothing for good.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest

from processkit._os.home import home_name, usable_base, why_unusable
from processkit._os.procfs import pid_namespace, start_time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASE = usable_base()
MECHANISMS = [
    pytest.param("cgroup_v2", marks=pytest.mark.skipif(BASE is None, reason=f"no cgroup_v2 here: {why_unusable()[1]}")),
    "process_group",
]
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)
on_cgroups = pytest.mark.parametrize("mechanism", MECHANISMS[:1])

# The tree: its first process and one process of each kind, each of which reports over the fifo when it is what it is to be.
TREE = r"""
import os, signal, sys, time
fifo, *kinds = sys.argv[1:]
end = time.monotonic() + 60

def say(kind):
    with open("/proc/self/comm", "w") as comm:
        comm.write("k-" + kind)
    pipe = os.open(fifo, os.O_WRONLY)
    os.write(pipe, f"{kind} {os.getpid()}\n".encode())
    os.close(pipe)

def linger():
    while time.monotonic() < end:
        time.sleep(1)

def plain():
    say("plain")
    os.execv("/bin/sleep", ["sleep", "60"])

def setsid():
    os.setsid()
    say("setsid")
    linger()

def daemon():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        return
    say("daemon")
    linger()

def stubborn():
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTSTP", "SIGPIPE", "SIGUSR1"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    say("stubborn")
    linger()

def torch(pass_on):
    # A copy takes over every few milliseconds and the one before it ends: two are alive at most.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while time.monotonic() < end:
        time.sleep(0.002)
        if os.fork():
            return
        pass_on()

def forker():
    say("forker")
    torch(lambda: None)

def hopper():
    say("hopper")
    torch(os.setsid)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for kind in kinds:
    if not os.fork():
        try:
            globals()[kind]()
        finally:
            os._exit(0)
say("first")
linger()
"""

# An owner: starts TREE in one of the ways, waits for a line on stdin, and goes in one of the ways.
OWNER = r"""
import asyncio, os, resource, signal, sys, threading
how, end, *tree = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGINT, signal.default_int_handler)

import processkit

def go():
    sys.stdin.readline()
    if end == "exits at once":
        os._exit(3)
    if end == "aborts":
        os.abort()
    if end == "becomes another program":
        os.execv("/bin/sleep", ["sleep", "60"])

command = processkit.Command(sys.executable, tree)

async def beside():
    task = asyncio.ensure_future(command.aoutput())
    await asyncio.get_running_loop().run_in_executor(None, go)

async def within():
    await command.aoutput()

if how == "group":
    group = processkit.ProcessGroup()
    child = group.start(command)
    go()
elif how == "private tree":
    child = command.start()
    go()
elif how == "thread":
    threading.Thread(target=command.output, daemon=True).start()
    go()
elif how == "output":
    threading.Thread(target=go, daemon=True).start()
    command.output()
elif end == "returns":
    asyncio.run(beside())
else:
    threading.Thread(target=go, daemon=True).start()
    asyncio.run(within())
"""


def carriers(token: str) -> dict[int, str]:
    """Live processes (not this one) whose environment carries `token`: pid → name."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if int(name) == os.getpid() or token.encode() not in file.read():
                    continue
            with open(f"/proc/{name}/stat", "rb") as file:
                before, _, behind = file.read().rpartition(b")")
            if behind.split()[0] not in (b"Z", b"X"):
                found[int(name)] = before.partition(b"(")[2].decode()
        except OSError:
            continue
    return found


def wait_until(condition, seconds: float = 20.0, what="the condition"):
    """Poll `condition` until it is truthy and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what() if callable(what) else what} did not come true within {seconds} s")
        time.sleep(0.005)


def alive(pid: int, start: int) -> bool:
    """Whether the process that had this pid at that time still runs or is a zombie."""
    return start_time(pid) == start


def kill(pid: int) -> None:
    """SIGKILL, unless it has gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def homes_of(pid: int) -> list[str]:
    """Directories that owner `pid` has made beside its own cgroup."""
    if BASE is None:
        return []
    return [name for name in os.listdir(BASE) if name.startswith(f"processkit-{pid_namespace()}-{pid}-")]


def pipes_of(pid: int) -> set[str]:
    """The pipes that process `pid` has open."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("pipe:"):
                found.add(target)
    except OSError:
        pass
    return found


def guardians_of(pid: int) -> list[int]:
    """The guardians that read from a pipe of process `pid`."""
    found = []
    pipes = pipes_of(pid)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read()
            if (b"processkit-guardian" in words or b"warden" in words) and os.readlink(f"/proc/{name}/fd/0") in pipes:
                found.append(int(name))
        except OSError:
            continue
    return found


class Owner:
    """A running owner program, its fifo, and what is to be asked about it."""

    def __init__(self, tmp_path, mechanism: str) -> None:
        self.mechanism = mechanism
        self.fifo = str(tmp_path / "fifo")
        self.tree = str(tmp_path / "tree.py")
        (tmp_path / "tree.py").write_text(TREE)
        os.mkfifo(self.fifo)
        # Open for both: whoever reports never waits, and the end of one reporter is no end-of-file.
        self._reports = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)
        self._heard = b""
        self._path = tmp_path
        self.process: subprocess.Popen | None = None
        self._all: list[subprocess.Popen] = []
        self._guardians: list[tuple[int, int]] = []

    def begin(self, script: str, *words: str) -> subprocess.Popen:
        """Start `script` as an owner in a session of its own, stdin and stdout piped."""
        (self._path / "owner.py").write_text(script)
        return self.begin_command(sys.executable, str(self._path / "owner.py"), *words)

    def begin_command(self, *words: str) -> subprocess.Popen:
        """The same for any command."""
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": ROOT, "PROCESSKIT_MECHANISM": self.mechanism},
            start_new_session=True,
        )
        self._all.append(self.process)
        return self.process

    def tree_words(self, *kinds: str) -> list[str]:
        """Arguments of an interpreter that becomes the tree."""
        return [self.tree, self.fifo, *kinds]

    def wait_for(self, *kinds: str) -> dict[str, int]:
        """Wait until each of `kinds` has reported; kind → pid."""

        def reported():
            try:
                self._heard += os.read(self._reports, 4096)
            except BlockingIOError:
                pass
            found = dict(line.split() for line in self._heard.decode().splitlines())
            return found if set(kinds) <= set(found) else None

        found = wait_until(reported, what=lambda: f"reports of {kinds}, heard {self._heard!r}")
        self._heard = b""
        return {kind: int(pid) for kind, pid in found.items()}

    def line(self) -> str:
        """The next line of the owner's stdout; "" at its end."""
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        assert ready, "the owner said nothing for 20 s"
        return self.process.stdout.readline().decode().strip()

    def tell(self, text: str = "go") -> None:
        """Write a line to the owner's stdin."""
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def guardian(self) -> tuple[int, int]:
        """(pid, start) of the owner's guardian, which is up."""

        def up():
            for pid in guardians_of(self.process.pid):
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() in ("processkit-grd", "sh"):
                        return pid
            return None

        pid = wait_until(up, what="a guardian")
        start = start_time(pid)
        self._guardians.append((pid, start))
        return pid, start

    def kill_and_reap(self) -> None:
        """SIGKILL the owner and wait for it."""
        self.process.kill()
        self.process.wait(20)

    def assert_gone(self, token: str, allowed=(), spare=()) -> None:
        """Nobody is left but those named in `allowed`, which are killed here, and the pids in `spare`; no home either."""
        survivors = {}

        def only_allowed():
            survivors.clear()
            survivors.update({pid: name for pid, name in carriers(token).items() if pid not in spare})
            return set(survivors.values()) <= set(allowed)

        wait_until(only_allowed, what=lambda: f"the end of {survivors}")
        for pid in survivors:
            kill(pid)
        pid = self.process.pid
        wait_until(lambda: not homes_of(pid), what=lambda: f"the removal of {homes_of(pid)}")

    def clear(self, token: str) -> None:
        """After the test: nothing of it stays, even if it failed."""
        for process in self._all:
            if process.returncode is None:
                process.kill()
                process.wait(20)
            process.stdin.close()
            process.stdout.close()
        wait_until(lambda: [kill(pid) for pid in carriers(token)] == [], what="the end of what a failed test left")
        for pid, start in self._guardians:
            wait_until(lambda: not alive(pid, start), what="the end of the guardian")  # noqa: B023
        os.close(self._reports)


@pytest.fixture
def owner(tmp_path, mechanism, token):
    """An owner that uses `mechanism`, not yet begun."""
    one = Owner(tmp_path, mechanism)
    yield one
    one.clear(token)


@pytest.fixture(autouse=True)
def signals_as_from_a_terminal():
    """Owners inherit no ignored signal, however pytest itself was started."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def escapees(mechanism: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(kinds of children to try, names of those that a mechanism cannot hold)."""
    if mechanism == "cgroup_v2":
        return ("plain", "setsid", "daemon", "stubborn", "forker", "hopper"), ()
    return ("plain", "setsid", "daemon", "stubborn", "forker"), ("k-daemon",)


SIGNALS = {
    "is killed": signal.SIGKILL,
    "is terminated": signal.SIGTERM,
    "is interrupted": signal.SIGINT,
    "has a segmentation fault": signal.SIGSEGV,
}
ENDS = [*SIGNALS, "exits at once", "aborts", "becomes another program"]
WAYS = [(how, end) for how in ("group", "private tree", "output", "async") for end in ENDS]
WAYS += [(how, "returns") for how in ("group", "private tree", "async", "thread")] + [("thread", "is killed")]


@each_mechanism
@pytest.mark.parametrize(("how", "end"), WAYS, ids="-".join)
def test_whatever_an_owner_started_dies_with_it(owner, mechanism, token, how, end):
    kinds, escaping = escapees(mechanism)
    process = owner.begin(OWNER, how, end, *owner.tree_words(*kinds))
    owner.wait_for("first", *kinds)
    if end in SIGNALS:
        process.send_signal(SIGNALS[end])
    else:
        owner.tell()
    spare = ()
    if end == "becomes another program":
        spare = (process.pid,)
    else:
        process.wait(20)
    owner.assert_gone(token, escaping, spare)
    if spare:
        assert process.poll() is None, "the program that the owner became was hit"


@each_mechanism
@pytest.mark.parametrize("end", ["is killed", "has a segmentation fault"])
def test_whatever_the_command_line_started_dies_with_it(owner, mechanism, token, end):
    kinds, escaping = escapees(mechanism)
    tree = [sys.executable, *owner.tree_words(*kinds)]
    process = owner.begin_command(
        "/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh", sys.executable, "-m", "processkit", "run", "--", *tree
    )
    owner.wait_for("first", *kinds)
    process.send_signal(SIGNALS[end])
    process.wait(20)
    owner.assert_gone(token, escaping)


SPAWNING = r"""
import sys, threading
import processkit
how = sys.argv[1]
command = processkit.Command("/bin/sh", ["-c", "/bin/sleep 60 & exec /bin/sleep 60"])
quick = processkit.Command("/bin/sh", ["-c", "/bin/sleep 60 & exec /bin/true"]).stdout("null").stderr("null")

def groups():
    while True:
        with processkit.ProcessGroup(shutdown_grace=0) as group:
            for _ in range(4):
                group.start(command)

def trees():
    held = []
    while True:
        held.append(command.start())
        if len(held) > 4:
            with held.pop(0):
                pass

def outputs():
    while True:
        quick.exit_code()

loops = {"groups": [groups], "private trees": [trees], "verbs": [outputs], "threads": [groups, trees, outputs]}[how]
for loop in loops[1:]:
    threading.Thread(target=loop, daemon=True).start()
print("spawning", flush=True)
loops[0]()
"""


@each_mechanism
@pytest.mark.parametrize("how", ["groups", "private trees", "verbs", "threads"])
@pytest.mark.parametrize("seed", range(4), ids="seed{}".format)
def test_an_owner_killed_at_any_moment_of_its_spawns_leaves_nothing(owner, mechanism, token, how, seed):
    moment = random.Random(f"{how} {seed}").uniform(0, 0.12)
    owner.begin(SPAWNING, how)
    assert owner.line() == "spawning"
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        pass
    owner.kill_and_reap()
    owner.assert_gone(token)


# An owner that does as it is told, one line of stdin at a time, and answers each with a line.
OBEDIENT = r"""
import ctypes, os, signal, sys, threading
tree = sys.argv[1:]
import processkit

held = []
command = processkit.Command(sys.executable, tree)
for line in sys.stdin:
    word = line.strip()
    answer = "done"
    if word == "group":
        held.append(processkit.ProcessGroup())
        answer = held[-1].start(command).pid
    elif word == "surviving group":
        held.append(processkit.ProcessGroup(survive_owner=True))
        answer = held[-1].start(command).pid
    elif word == "private tree":
        held.append(command.start())
        answer = held[-1].pid
    elif word == "detached":
        answer = command.stdout("null").stderr("null").spawn_detached().pid
    elif word == "sleep":
        held.append(processkit.Command("/bin/sleep", ["60"]).start())
        answer = held[-1].pid
    elif word == "50 runs":
        for _ in range(50):
            processkit.Command("/bin/true").output()
    elif word == "ignore":
        for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGQUIT"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    elif word == "os.fork":
        answer = os.fork()
        if answer == 0:
            signal.pause()
    elif word == "libc.fork":
        answer = ctypes.PyDLL(None).fork()
        if answer == 0:
            ctypes.PyDLL(None).sleep(60)
            os._exit(0)
    elif word == "sh":
        sys.executable = "/usr/local/bin/embedding-program"
    elif word == "os.wait":
        try:
            answer = os.wait()
        except ChildProcessError:
            answer = "no children"
    elif word == "containment":
        answer = processkit.host_containment().guardian
    elif word == "leave":
        break
    print(answer, flush=True)
"""


class Told(Owner):
    """An owner that runs OBEDIENT."""

    def __init__(self, tmp_path, mechanism: str) -> None:
        super().__init__(tmp_path, mechanism)
        self.again()

    def again(self) -> None:
        """Begin another one; the one before keeps running or not."""
        self.begin(OBEDIENT, *self.tree_words("plain", "setsid"))

    def order(self, text: str) -> str:
        """Have it done; the answer."""
        self.tell(text)
        return self.line()


@pytest.fixture
def told(tmp_path, mechanism, token):
    """An owner that uses `mechanism` and does as it is told."""
    one = Told(tmp_path, mechanism)
    yield one
    one.clear(token)


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
    told.assert_gone(token)


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
    kill(guardian)
    wait_until(lambda: not alive(guardian, start), what="the end of the guardian")
    told.kill_and_reap()
    assert len(homes_of(told.process.pid)) == 1
    orphans = set(carriers(token))
    assert len(orphans) == 3
    dead = told.process.pid
    told.again()
    told.order("sleep")
    assert homes_of(dead) == []
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
    namespace = pid_namespace()
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
    left = f"{BASE}/processkit-left-{pid_namespace()}-{told.process.pid}-0"
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
