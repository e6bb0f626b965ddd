"""What the system cannot give is told as ProcessError, whatever the verb and whatever was scarce, and everything works afterwards."""

import json
import os
import subprocess
import sys

import pytest
from owners import carriers
from programs import needs_posix, sh, wait_until

from processkit import Command, ProcessError, output_all
from processkit._base.boundary import bounded

pytestmark = needs_posix

# Does one thing with at most so many free descriptors, in an interpreter of its own; tells what it raised, and whether all is well after.
STARVING = """
import asyncio, json, os, resource, sys
from processkit import Command, ProcessError, ProcessGroup, output_all
what, free, warm = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "warm"
true, slow = Command("/bin/true"), Command("/bin/sh", ["-c", "echo hi; exec sleep 60"])

def group():
    with ProcessGroup(shutdown_grace=0) as one:
        one.start(slow)
        one.stop(0)

def stream():
    with slow.start() as process:
        next(process.stdout_lines())

DO = {
    "output": true.output,
    "start": lambda: true.start().finish(),
    "group": group,
    "stream": stream,
    "events": lambda: [*true.start().output_events()],
    "probe": lambda: slow.start().wait_for_line("hi", timeout=20),
    "chain": (true | true | true).output,
    "async": lambda: asyncio.run(true.aoutput()),
    "batch": lambda: output_all([true] * 3, concurrency=3),
    "leash": true.leash().output,
    "pty": true.pty().output,
    "stdin": Command("/bin/cat").stdin_bytes(b"x" * 200_000).output,
    "detached": true.spawn_detached,
    "profile": lambda: true.start().profile(0.1),
}
if warm:
    true.output()
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
lowest = os.dup(0)
os.close(lowest)
if what == "async":
    loop = asyncio.new_event_loop()
    DO["async"] = lambda: loop.run_until_complete(true.aoutput())
    lowest = os.dup(0)
    os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, limit[1]))
raised = None
try:
    DO[what]()
except ProcessError as error:
    raised = "ProcessError"
except BaseException as error:
    raised = repr(error)
import gc
gc.collect()
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
after = true.output().code
print(json.dumps([raised, after]), flush=True)
os._exit(0)
"""
LEVELS = (0, 2, 5, 12)


@pytest.mark.parametrize("state", ["fresh", "warm"])
@pytest.mark.parametrize(
    "what",
    [
        "output",
        "start",
        "group",
        "stream",
        "events",
        "probe",
        "chain",
        "async",
        "batch",
        "leash",
        "pty",
        "stdin",
        "detached",
        "profile",
    ],
)
def test_where_descriptors_are_short_every_verb_says_so_in_its_own_terms(what, state, mechanism, token, in_child_env):
    environment = {**in_child_env, "PROCESSKIT_MECHANISM": mechanism}
    for free in LEVELS:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", STARVING, what, str(free), state],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.stdout, (free, ran.stderr)
        raised, after = json.loads(ran.stdout)
        assert raised in (None, "ProcessError"), (free, raised)
        assert after == 0
    wait_until(lambda: "sleep" not in carriers(token).values())


def test_where_no_thread_can_be_started_a_batch_says_so(monkeypatch):
    import threading

    def fails(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        with pytest.raises(ProcessError, match="no thread can be started"):
            output_all([sh("echo a")] * 3)


def test_an_error_of_a_callback_goes_through_as_it_is():
    def fails():
        raise OSError(24, "mine")

    with pytest.raises(OSError, match="mine") as caught:
        bounded(lambda call: call())(fails)
    assert type(caught.value) is OSError

    def source():
        raise OSError(24, "mine")
        yield b""

    with pytest.raises(OSError, match="mine") as caught:
        Command("/bin/cat").stdin_reader(source()).output()
    assert type(caught.value) is OSError


def test_what_is_bounded_is_still_a_coroutine_function_with_its_name_and_signature():
    import inspect

    assert inspect.iscoroutinefunction(Command.aoutput)
    assert Command.output.__name__ == "output"
    assert str(inspect.signature(Command.output)).startswith("(self)")


# Changes of the owner after its first start, and what the next start says.
CHANGES = {
    "another user": ("os.setuid(65534)", "permission denied"),
    "another pid namespace": ("os.unshare(os.CLONE_NEWPID)", "left its pid namespace"),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that")
@pytest.mark.parametrize("change", CHANGES)
def test_an_owner_that_has_changed_itself_is_told_why_it_can_start_nothing(change, in_child_env):
    line, said = CHANGES[change]
    if "unshare" in line and not hasattr(os, "unshare"):
        pytest.skip("this Python has no os.unshare")
    script = (
        "import os\nfrom processkit import Command, ProcessError\ntrue = Command('/bin/true')\ntrue.output()\n"
        f"{line}\ntry:\n    print(true.output().code)\nexcept ProcessError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], env=in_child_env, capture_output=True, text=True, check=False)
    assert said in ran.stdout or (ran.stdout == "0\n" and "user" in change), ran.stderr
