"""Signal handlers that raise or act at any moment, and collections at any moment: nothing is lost, nothing locks itself out."""

import gc
import subprocess
import sys

import pytest
from programs import needs_fork, needs_signals, sleep, true, wait_until

from processkit import ProcessGroup, process_is_alive

INTERRUPTED = """
import gc, os, random, signal, sys
import threading
from processkit import CancellationToken, Command, ProcessGroup, output_all

def started():
    with chatty.start() as process:
        process.wait_for_line("hi", timeout=20)
        process.outcome()

def streamed():
    with chatty.start() as process:
        for line in process.stdout_lines():
            pass

def grouped():
    with ProcessGroup(shutdown_grace=0.001) as one:
        one.start(sleep)
        one.start(chatty)
        one.stop(0.001)

def cancelled():
    token = CancellationToken()
    timer = threading.Timer(0.001, token.cancel)
    timer.start()
    try:
        sleep.cancel_on(token).output()
    except ProcessError:
        pass
    finally:
        timer.join()

from processkit import ProcessError
true, sleep = Command("/bin/true"), Command("/bin/sleep", ["1"])  # one interrupt may strike a finalizer, which ignores it
group = ProcessGroup()
group.output(true)
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
runs = {
    "member": lambda: group.output(sleep),
    "bytes": lambda: group.output_bytes(sleep),
    "private": sleep.output,
    "quick": true.output,
    "chain": (sleep | Command("/bin/cat")).output,
    "leash": sleep.leash().output,
    "handle": started,
    "stream": streamed,
    "group": grouped,
    "batch": lambda: output_all([sleep] * 3, concurrency=3),
    "token": cancelled,
}
chatty = Command("/bin/sh", ["-c", "echo hi; exec sleep 1"])
run, random = runs[sys.argv[1]], random.Random(1)
own = []
for number in range(50 if sys.argv[1] == "batch" else 150):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.002))
            run()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    except (RuntimeError, KeyError):
        assert sys.argv[1] in ("batch", "token")  # what an interrupt in the midst of threading's own start of a thread may become
    own.append(open("/dev/null"))
    if sys.implementation.name != "cpython":
        gc.collect()  # PyPy: a finaliser does not run before
    assert group.members() == [], number  # after the block: until then the traceback holds what was lost
with open(f"/proc/self/task/{os.getpid()}/children") as file:
    assert file.read() == ""
[os.fstat(file.fileno()) for file in own]  # nobody has closed files of the program's own
print("done")
"""


def told(script, environment, *words):
    """What a script said on stdout; it must not hang."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@needs_signals
@pytest.mark.parametrize(
    "kind", ["member", "bytes", "private", "quick", "chain", "leash", "handle", "stream", "group", "batch", "token"]
)
def test_a_run_that_is_interrupted_at_any_moment_leaves_no_child(kind, mechanism, in_child_env):
    assert told(INTERRUPTED, {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}, kind) == "done\n"


DROPPED = """
import os, random, signal, sys
from processkit import Command

sleep, random = Command("/bin/sleep", ["1000"]), random.Random(1)
Command("/bin/true").output()
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
for _ in range(80):
    try:
        try:
            process = sleep.start()
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.0006))
            del process
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
Command("/bin/true").output()
with open(f"/proc/self/task/{os.getpid()}/children") as file:
    assert file.read() == ""
print("done")
"""


@needs_fork
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="a finaliser runs later where references are not counted")
def test_a_handle_whose_finalizer_is_interrupted_ends_its_tree_all_the_same(mechanism, in_child_env):
    assert told(DROPPED, {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}) == "done\n"


IN_A_CYCLE = """
import sys
from processkit import Command
class Holder: pass
holder = Holder()
holder.itself, holder.process = holder, Command(sys.executable, ["-c", "import time; time.sleep(1000)"]).start()
"""


def test_a_handle_in_a_cycle_is_quiet_when_the_interpreter_ends(mechanism, in_child_env):
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    run = subprocess.run(
        [sys.executable, "-c", IN_A_CYCLE], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


class Raising:
    """A logger that is interrupted."""

    def isEnabledFor(self, _level):  # noqa: N802 (as logging has it)
        return True

    def log(self, *_words, **_fields):
        raise KeyboardInterrupt


def test_a_child_whose_handle_was_never_made_is_ended(mechanism):
    with ProcessGroup() as group:
        for start in (lambda command: group.start(command), lambda command: command.start(), lambda command: command.output()):
            with pytest.raises(KeyboardInterrupt):
                start(sleep().logger(Raising()))
            assert group.members() == []


ENDED_BY_A_HANDLER = """
import random, signal, sys
from processkit import Command, ProcessError, ProcessGroup

random = random.Random(2)
for _ in range(40):
    group = ProcessGroup(shutdown_grace=0)
    signal.signal(signal.SIGALRM, lambda *_: getattr(group, sys.argv[1])())
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.003))
    try:
        for _ in range(10):
            group.start(Command("/bin/true")).outcome()
    except ProcessError as error:
        assert "already closed" in str(error), error
    signal.setitimer(signal.ITIMER_REAL, 0)
    group.shutdown()
print("done")
"""


@needs_signals
@pytest.mark.parametrize("verb", ["shutdown", "kill_all", "members"])
def test_a_handler_may_end_a_group_in_the_midst_of_a_start(verb, mechanism, in_child_env):
    assert told(ENDED_BY_A_HANDLER, {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}, verb) == "done\n"


@pytest.mark.skipif(not hasattr(gc, "set_threshold"), reason="this collector cannot be told to collect all the time (PyPy)")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_handles_that_are_collected_at_any_moment_lock_nobody_out(mechanism):
    class Box:
        pass

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        for _ in range(50):
            box = Box()
            box.process, box.itself = sleep().start(), box
            del box
            true().output()
        gc.collect()
    finally:
        gc.set_threshold(*before)


def test_what_is_left_open_at_the_exit_makes_no_noise(mechanism, in_child_env):
    script = (
        "import sys\nfrom processkit import Command, ProcessGroup\n"
        "group = ProcessGroup(); sleep = Command(sys.executable, ['-c', 'import time; time.sleep(1000)'])\n"
        "handles = group.start(sleep), sleep.start()"
    )
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")


FULL = """
import os, resource, sys, threading, time
from processkit import Command, ProcessGroup, process_is_alive

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
hog = []

def fill():
    try:
        while True:
            hog.append(os.dup(0))
    except OSError:
        pass

sleep = Command("/bin/sleep", ["1000"])
group = ProcessGroup(shutdown_grace=0)
pid = group.start(sleep).pid
if sys.argv[1] == "timeout":
    timer = threading.Timer(0.2, fill)
    timer.start()
    started = time.monotonic()
    assert sleep.timeout(0.5).output().timed_out
    assert time.monotonic() - started < 8
    timer.join()
else:
    fill()
    report = getattr(group, sys.argv[1])(*([0.2] if sys.argv[1] == "stop" else []))
    assert sys.argv[1] != "stop" or (report.members_before, report.members_after) == (1, 0), report
for descriptor in hog:
    os.close(descriptor)
assert sys.argv[1] == "timeout" or not process_is_alive(pid)
print("done")
"""


@needs_signals
@pytest.mark.parametrize("verb", ["shutdown", "kill_all", "stop", "timeout"])
def test_a_tree_is_ended_also_when_no_descriptor_is_left(verb, mechanism, in_child_env):
    assert told(FULL, {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}, verb) == "done\n"


@needs_fork
def test_a_descriptor_that_was_closed_behind_our_back_is_not_given_to_a_child(in_child_env, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    script = (
        "import os, sys\nfrom processkit import Command\nCommand('/bin/cat').run()\n"
        "if os.fork():\n    sys.exit(os.wait()[1] != 0)\n"
        "os.closerange(3, 256)\n"  # as a daemon does it
        "kept = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(20)]\n"
        "assert Command('/bin/cat').run() == ''\nprint('done')"
    )
    assert told(script, in_child_env, str(secret)) == "done\n"


ADOPTING = """
import os, subprocess, sys, time
from processkit import Command, ProcessGroup
from processkit._os.linux import system as linux

group = ProcessGroup(shutdown_grace=0)
stranger = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True, stdout=subprocess.DEVNULL)
group.adopt_external(stranger.pid)
group.start(Command("/bin/sh", ["-c", "setsid sleep 1000 & exec sleep 1000"]).stdout("null"))
while len(group.members()) < 3:
    time.sleep(0.01)
print(*group.members(), flush=True)
group.suspend()
os.kill(os.getpid(), 9)
"""


@needs_signals
@pytest.mark.parametrize("guardian", ["python", "sh"])
def test_who_was_adopted_or_was_seen_outside_dies_with_the_owner(guardian, mechanism, in_child_env):
    script = ADOPTING
    if guardian == "sh":
        script = script.replace(
            "group = ", "from processkit._os.linux import guardian\nguardian._python_command = lambda: None\ngroup = "
        )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**in_child_env, "PROCESSKIT_MECHANISM": mechanism},
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    pids = [int(pid) for pid in run.stdout.split()]
    assert len(pids) == 3
    wait_until(lambda: not any(map(process_is_alive, pids)))
