"""Every system call of a run fails once, by strace's injection: a typed error, nothing alive, nothing left, the mask as before."""

import inspect
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys

import pytest
from programs import processors

ROOT = str(pathlib.Path(__file__).resolve().parent.parent)

OWNER = r"""
import json, os, signal, sys
import processkit
from processkit._os.linux import system
command = processkit.Command("/bin/cat", ["/dev/null"]).stdin_text("x").cwd("/").umask(0o22).priority("normal")
command = command.rlimit("core", 0, 0).timeout(20)
command.output()
def facts():
    home = system._home
    spare = {leaf.path for leaf in home._pool._spare} if home else set()
    boxes = [e.path for e in os.scandir(home.path) if e.is_dir() and e.path not in spare] if home else []
    held = {d for leaf in (home._pool._spare if home else []) for d in (leaf._events, leaf.directory._held) if d}
    fds = []
    for name in os.listdir("/proc/self/fd"):
        try:
            what = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if int(name) not in {each.number for each in held}:
            fds.append(what.partition(":")[0])
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        children = file.read().split()
    return {"boxes": boxes, "fds": sorted(fds), "children": children, "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))}
(system._home._guardian if system._home else system._guardian).confirm()
before = facts()
print("ready", flush=True)
sys.stdin.readline()
error = None
try:
    command.output()
except processkit.ProcessError as raised:
    error = type(raised).__name__, str(raised), repr(raised.__cause__)
except BaseException as raised:
    error = "UNTYPED " + type(raised).__name__, str(raised), ""
print(json.dumps({"error": error, "before": before, "after": facts()}), flush=True)
sys.stdin.readline()
"""


def strace_works():
    if shutil.which("strace") is None:
        return False
    probe = subprocess.run(["strace", "-e", "inject=getpid:error=EIO", "true"], capture_output=True, check=False)
    return probe.returncode == 0


pytestmark = pytest.mark.skipif(not strace_works(), reason="strace with fault injection is not to be had here")


def line_of(stream, marker=b""):
    """The next line that contains `marker`."""
    while True:
        assert select.select([stream], [], [], 30)[0], "nothing came"
        line = stream.readline()
        assert line, "the stream ended"
        if marker in line:
            return line


def run_with(injection, mechanism):
    """The owner's report of one run during which `injection` was in force."""
    environment = {**os.environ, "PYTHONPATH": ROOT, "PROCESSKIT_MECHANISM": mechanism}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment
    ) as owner:
        try:
            line_of(owner.stdout, b"ready")
            name = injection.partition(":")[0]
            with subprocess.Popen(
                ["strace", "-f", "-p", str(owner.pid), "-e", f"trace={name}", "-e", f"inject={injection}"],
                stderr=subprocess.PIPE,
                bufsize=0,
            ) as tracer:
                line_of(tracer.stderr, b"attached")
                owner.stdin.write(b"go\n")
                report = json.loads(line_of(owner.stdout))
                tracer.terminate()
                tracer.stderr.read()
            owner.stdin.write(b"end\n")
        finally:
            if owner.poll() is None:
                owner.stdin.close()
            owner.wait(30)
    return report


SPAWN_CALLS = [
    ("pipe2", "EMFILE", 1),
    ("pipe2", "ENFILE", 2),
    ("pipe2", "EMFILE", 3),
    ("ioctl", "EIO", 1),
    ("rt_sigprocmask", "EINVAL", 1),
    ("clone3", "EAGAIN", 1),
    ("clone3", "ENOMEM", 1),
    ("setpgid", "EPERM", 1),
    ("prlimit64", "EPERM", 1),
    ("setpriority", "EACCES", 1),
    ("umask", "EIO", 1),
    ("dup3", "EBUSY", 1),
    ("dup3", "EBUSY", 3),
    ("chdir", "EACCES", 1),
    ("rt_sigaction", "EINVAL", 1),
    ("close_range", "EINVAL", 1),
    ("execve", "ENOMEM", 1),
    ("execve", "ENOEXEC", 1),
]


@pytest.mark.parametrize("mechanism", ["cgroup_v2", "process_group"])
@pytest.mark.parametrize(("call", "errno", "when"), SPAWN_CALLS, ids=lambda value: str(value))
def test_a_failing_call_of_a_spawn_is_a_typed_error_and_leaves_nothing(call, errno, when, mechanism):
    from processkit._os.linux import home

    if mechanism == "cgroup_v2" and home.why_unusable()[0] is None:
        pytest.skip(f"no cgroup_v2 here: {home.why_unusable()[1]}")
    if call == "ioctl" and sys.implementation.name != "cpython":
        pytest.skip("os.set_blocking makes another call here (PyPy: fcntl)")
    report = run_with(f"{call}:error={errno}:when={when}", mechanism)
    assert report["error"] is not None, "the call was not part of the run"
    kind, text, cause = report["error"]
    assert not kind.startswith("UNTYPED"), (kind, text)
    assert call.rstrip("0123456789") in text + cause, "the error does not name the call"
    assert report["after"] == report["before"]


@pytest.mark.parametrize(
    ("call", "errno"), [("poll", "ENOMEM"), ("waitid", "EINVAL"), ("waitid", "ECHILD"), ("pread64", "EIO"), ("close", "EIO")]
)
def test_a_failing_call_of_the_wait_leaves_nothing_either(call, errno):
    report = run_with(f"{call}:error={errno}:when=1", "cgroup_v2" if _cgroups() else "process_group")
    if report["error"] is not None:
        assert not report["error"][0].startswith("UNTYPED"), report["error"]
    assert report["after"]["children"] == report["before"]["children"]
    assert report["after"]["boxes"] == []
    assert report["after"]["mask"] == report["before"]["mask"]


FIRST = f"""
import json, processkit
{inspect.getsource(processors)}
before = processors()
try:
    said = processkit.Command("/bin/echo", ["here"]).output().stdout
except processkit.ProcessError as error:
    said = str(error)
print(json.dumps([said, before, processors()]))
"""


@pytest.mark.parametrize(
    ("call", "when"), [("getcpu", "1"), ("sched_getaffinity", "1+"), ("sched_setaffinity", "1"), ("sched_setaffinity", "1+")]
)
def test_a_first_launch_does_without_a_choice_of_processors_where_that_is_refused(call, when):
    said, before, after = first_run(f"{call}:error=EPERM:when={when}")
    assert (said, after) == ("here", before)


@pytest.mark.skipif(len(processors()) < 2, reason="there is one processor")
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this Python cannot choose its processors (PyPy), so nothing is to be undone"
)
def test_a_choice_of_processors_that_cannot_be_undone_is_an_error_of_that_call():
    said, before, after = first_run("sched_setaffinity:error=EPERM:when=2")
    assert "sched_setaffinity: " in said
    assert set(after) < set(before)


def first_run(injection):
    name = injection.partition(":")[0]
    traced = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={injection}"]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    ran = subprocess.run([*traced, sys.executable, "-c", FIRST], env=environment, capture_output=True, check=True, timeout=60)
    return json.loads(ran.stdout)


def _cgroups():
    from processkit._os.linux import home

    return home.why_unusable()[0] is not None
