"""The command line where it is not run from a checkout or not by a program: on a terminal, from a zip, vendored."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest

import processkit
from processkit._os.linux.home import why_unusable
from processkit._os.linux.procfs import namespaces

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
both = pytest.mark.parametrize("mechanism", ["", "process_group"], ids=["default", "process_group"])

# Makes its stdin the controlling terminal of its new session, as a terminal emulator does, and becomes the command.
SESSION = """import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for name in ("SIGINT", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A command on a terminal of its own; `screen` is what it has shown so far."""

    def __init__(self, *words: str, **settings: str) -> None:
        self._master, slave = pty.openpty()
        self.screen = ""
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SESSION, *words],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**os.environ, "PYTHONPATH": ROOT, "PK": f"{sys.executable} -m processkit", **settings},
                start_new_session=True,
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_) -> None:
        # Closed first: the hang-up ends a tree that sits in the terminal.
        os.close(self._master)
        self.process.kill()
        self.process.wait(20)

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` is on the screen."""
        deadline = time.monotonic() + 20
        while text not in self.screen:
            ready, _, _ = select.select([self._master], [], [], deadline - time.monotonic())
            assert ready, f"{text!r} did not come; the screen shows {self.screen!r}"
            try:
                self.screen += os.read(self._master, 4096).decode()
            except OSError:
                pytest.fail(f"the terminal was closed before {text!r} came; the screen shows {self.screen!r}")

    def status(self) -> int:
        """The status of the command at its end."""
        return self.process.wait(20)


def tree(mechanism: str) -> list[str]:
    """A child with a tree; with process groups without one that leaves the group, for ^C and hang-up kill its parent first."""
    held = (mechanism or processkit.host_containment().mechanism) == "cgroup_v2"
    return ["/bin/sh", "-c", f"{'setsid' if held else ''} sleep 60 & sleep 60 & echo ready; wait"]


def on_terminal(mechanism: str, *words: str) -> Terminal:
    """`run` on a terminal."""
    return Terminal(sys.executable, "-m", "processkit", "run", *words, PROCESSKIT_MECHANISM=mechanism)


@both
def test_an_interactive_child_reads_what_is_typed_at_our_terminal(mechanism):
    with on_terminal(mechanism, "--", "/bin/sh", "-c", 'echo name?; read name; echo "hello $name"; exit 3') as terminal:
        terminal.wait_for("name?")
        terminal.type("Ada\n")
        terminal.wait_for("hello Ada")
        assert terminal.status() == 3


@both
def test_the_end_of_input_typed_at_our_terminal_reaches_the_child(mechanism):
    with on_terminal(mechanism, "--", "/bin/cat") as terminal:
        terminal.type("a line\n")
        terminal.wait_for("a line\r\na line\r\n")
        terminal.type("\x04")
        assert terminal.status() == 0


@both
def test_ctrl_c_typed_at_the_terminal_ends_tree_and_wrapper_with_130(mechanism):
    # The fixture of every test waits for the end of whatever carries its token.
    with on_terminal(mechanism, "--", *tree(mechanism)) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x03")
        assert terminal.status() == 130


def test_ctrl_c_ends_a_child_that_does_not_listen():
    if processkit.host_containment().mechanism == "process_group":
        pytest.skip("the child has the terminal to itself, as under a shell: whether ^C ends it is its own affair")
    script = 'trap "" INT TERM; echo ready; while :; do sleep 60; done'
    with on_terminal("", "--", "/bin/sh", "-c", script) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x03")
        assert terminal.status() == 130


@both
def test_behind_the_wrapper_the_terminal_is_its_callers_again(mechanism):
    script = '$PK run -- /bin/sh -c \'read one; echo "child $one"\'; read two; echo "caller $two"'
    with Terminal("/bin/sh", "-c", script, PROCESSKIT_MECHANISM=mechanism) as terminal:
        terminal.type("first\n")
        terminal.wait_for("child first")
        terminal.type("second\n")
        terminal.wait_for("caller second")
        assert terminal.status() == 0


@both
def test_a_terminal_that_is_closed_ends_tree_and_wrapper(mechanism):
    terminal = on_terminal(mechanism, "--", *tree(mechanism))
    try:
        terminal.wait_for("ready")
    finally:
        os.close(terminal._master)
    assert terminal.status() == 128 + signal.SIGHUP


# Places.


def homes_of(pid: int) -> list[str]:
    """Directories that owner `pid` has made beside its own cgroup."""
    base = why_unusable()[0]
    return [] if base is None else [name for name in os.listdir(base) if name.startswith(f"processkit-{namespaces()}-{pid}-")]


def copied_to(directory) -> None:
    """The package and nothing else, in `directory`."""
    shutil.copytree(os.path.join(ROOT, "processkit"), directory / "processkit", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def archive(tmp_path):
    """app.pyz: the package and a main of a few words, zipped."""
    (tmp_path / "app").mkdir()
    copied_to(tmp_path / "app")
    main = "import sys, processkit\nfrom processkit._cli import main_and_exit\n"
    main += "print(processkit.__file__) if sys.argv[1:] == ['where'] else main_and_exit()\n"
    (tmp_path / "app" / "__main__.py").write_text(main)
    zipped = [sys.executable, "-m", "zipapp", str(tmp_path / "app"), "-o", str(tmp_path / "app.pyz")]
    subprocess.run(zipped, check=True, timeout=60)
    shutil.rmtree(tmp_path / "app")
    return tmp_path / "app.pyz"


@pytest.fixture
def vendored(tmp_path):
    """A program that has the package as someapp/_vendor/processkit; there is no `processkit` besides."""
    vendor = tmp_path / "someapp" / "_vendor"
    vendor.mkdir(parents=True)
    # What a program does in its own __init__ is not to happen in the guardian.
    (tmp_path / "someapp" / "__init__.py").write_text("import sys\nassert not sys.flags.isolated, 'imported by the guardian'\n")
    (vendor / "__init__.py").touch()
    copied_to(vendor)
    return tmp_path


def without_the_checkout(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **more}


def assert_keeps_the_promise(words: list[str], mechanism: str, cwd) -> None:
    """`words` run a child for its status, and a tree that dies when they are killed."""
    variables = without_the_checkout(PROCESSKIT_MECHANISM=mechanism)
    settings = {"env": variables, "cwd": cwd, "stdin": subprocess.DEVNULL, "text": True}
    child = [*words, "run", "--", "/bin/sh", "-c"]
    result = subprocess.run([*child, "echo out; exit 7"], capture_output=True, timeout=60, check=False, **settings)
    assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "")
    with subprocess.Popen([*child, "sleep 60 & echo ready; wait"], stdout=subprocess.PIPE, **settings) as owner:
        try:
            assert owner.stdout.readline() == "ready\n"
        finally:
            owner.kill()
        # End-of-file: nobody of the tree holds the pipe any more.
        ready, _, _ = select.select([owner.stdout], [], [], 20)
        assert ready, "the tree outlived its owner"
        assert owner.stdout.read() == ""
    deadline = time.monotonic() + 20
    while homes_of(owner.pid):
        assert time.monotonic() < deadline, f"left behind: {homes_of(owner.pid)}"
        time.sleep(0.005)


def test_the_archive_runs_its_own_copy(archive):
    result = subprocess.run(
        [sys.executable, str(archive), "where"], env=without_the_checkout(), capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith(f"{archive}{os.sep}")


@both
def test_from_a_zip_the_promise_holds(archive, mechanism):
    assert_keeps_the_promise([sys.executable, str(archive)], mechanism, "/")


@both
def test_from_a_zip_that_was_named_by_a_relative_path_the_promise_holds(archive, mechanism):
    assert_keeps_the_promise([sys.executable, archive.name], mechanism, archive.parent)


@both
def test_vendored_under_another_name_the_promise_holds(vendored, mechanism):
    assert_keeps_the_promise([sys.executable, "-m", "someapp._vendor.processkit"], mechanism, vendored)


@both
def test_two_copies_in_one_process_keep_out_of_each_others_way(vendored, mechanism):
    script = (
        "import processkit as one\nfrom someapp._vendor import processkit as other\nassert one is not other\n"
        "kept = one.Command('/bin/sleep', ['1000']).start()\n"
        "for copy in (one, other) * 3:\n    assert copy.Command('/bin/echo', ['a']).run() == 'a'\n"
        "    with copy.ProcessGroup() as group:\n        assert group.run(copy.Command('/bin/echo', ['b'])) == 'b'\n"
        "assert kept.poll() is None\nkept.kill()\nkept.outcome()\nprint('done')"
    )
    environment = {**without_the_checkout(), "PYTHONPATH": f"{ROOT}{os.pathsep}{vendored}", "PROCESSKIT_MECHANISM": mechanism}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")


def test_vendored_usage_errors_are_usage_errors(vendored):
    words = [sys.executable, "-m", "someapp._vendor.processkit", "run"]
    result = subprocess.run(
        words, env=without_the_checkout(), cwd=vendored, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert "missing command" in result.stderr
