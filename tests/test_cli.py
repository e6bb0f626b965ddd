"""`python -m processkit run`: what it takes, what it runs, and what it says and returns when that goes wrong (api.md §26)."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from programs import POSIX, given, needs_signals, processors, shell_argv, show_env, sleep, true

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
USAGE_OF_RUN = "usage: python -m processkit run [OPTIONS] -- PROGRAM [ARG...]\n"
# Prints the processors that it may run on.
PRINT_CPUS = f"{inspect.getsource(processors)}\nprint(processors())"
PRINT_PRIORITY = """
import os
if hasattr(os, "nice"):
    print(os.nice(0))
else:
    import ctypes
    print(ctypes.WinDLL("kernel32").GetPriorityClass(ctypes.c_void_p(-1)))
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT, **more}


def cli(*words: str, **settings) -> subprocess.CompletedProcess:
    """Run the command line to its end."""
    settings = {"capture_output": True, "text": True, "timeout": 60, "env": environment(), "check": False, **settings}
    if "stdout" in settings or "stderr" in settings:
        settings.pop("capture_output")
    return subprocess.run([sys.executable, "-m", "processkit", *words], **settings)


def run(*words: str, **settings) -> subprocess.CompletedProcess:
    """`run` with these words."""
    return cli("run", *words, **settings)


def sh(script: str, *options: str, **settings) -> subprocess.CompletedProcess:
    """`run` a shell script."""
    return run(*options, "--", *shell_argv(script), **settings)


def python(script: str, *words: str) -> list[str]:
    """A command line that runs lines of Python."""
    return [sys.executable, "-c", script, *words]


def words_of(command) -> list[str]:
    """The command line of a `Command`."""
    return [command.program, *command.arguments]


def touch(path) -> list[str]:
    """A command line that makes a file."""
    return python("import sys; open(sys.argv[1], 'w').close()", str(path))


def assert_usage_error(result: subprocess.CompletedProcess, *parts: str) -> None:
    """Status 2, the usage of `run`, and one line that holds all of `parts`."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(USAGE_OF_RUN)
    (line,) = result.stderr[len(USAGE_OF_RUN) :].splitlines()
    for part in parts:
        assert part in line


def assert_diagnosed(result: subprocess.CompletedProcess, status: int, *parts: str) -> None:
    """The status, and one line of ours on stderr that holds all of `parts`."""
    assert result.returncode == status
    (line,) = result.stderr.splitlines()
    assert line.startswith("processkit: ")
    for part in parts:
        assert part in line


# A console gives Ctrl+C to all its processes and to none alone: there the wrapper raises it in itself, when it is told.
INTERRUPTED_BY_A_LINE = """
import signal, sys, threading
def interrupt():
    if sys.stdin.readline() == "interrupt\\n":
        signal.raise_signal(signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
from processkit._cli import main_and_exit
main_and_exit()
"""


class Wrapper:
    """A command line that is still running, in a session of its own."""

    def __init__(self, *words: str, **settings) -> None:
        names = ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM")
        before = {number: signal.getsignal(number) for number in (getattr(signal, name, None) for name in names) if number}
        ignoring = settings.pop("ignoring", ())
        for number in before:
            # Handlers become defaults across execve; what is ignored stays ignored.
            signal.signal(number, signal.SIG_IGN if number in ignoring else lambda *_: None)
        program = ["-m", "processkit"] if POSIX else ["-c", INTERRUPTED_BY_A_LINE]
        try:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(**settings),
                start_new_session=True,
            )
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __enter__(self) -> Wrapper:
        lines = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()))
        reader.start()
        reader.join(20)
        if reader.is_alive():
            self.process.kill()
        reader.join()
        assert lines == ["ready\n"]
        return self

    def interrupt(self) -> None:
        """Ctrl+C for the wrapper."""
        if POSIX:
            self.process.send_signal(signal.SIGINT)
        else:
            self.process.stdin.write("interrupt\n")
            self.process.stdin.flush()

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.communicate(timeout=20)

    def end(self) -> tuple[int, str, str]:
        """(status, stdout, stderr) at its end."""
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def signals(*names: str) -> list[int]:
    """Those of them that this system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


# Statuses and messages.


@pytest.mark.parametrize("code", [0, 1, 2, 7, 124, 255])
def test_the_status_of_run_is_the_childs_code(code):
    result = sh(f"exit {code}")
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


@needs_signals
@pytest.mark.parametrize("number", signals("SIGKILL", "SIGTERM", "SIGUSR1"))
def test_the_status_of_a_child_that_a_signal_killed_is_128_more(number):
    assert_diagnosed(sh(f"kill -{int(number)} $$"), 128 + number, f"killed by signal {int(number)}")


def test_a_timeout_is_124_and_says_so():
    assert_diagnosed(run("--timeout", "0.2", "--", *words_of(sleep(60))), 124, "timed out")


def test_a_timeout_reaches_the_whole_tree():
    # Long enough for a tree to be there.
    result = sh("setsid sleep 60 & sleep 60 & wait", "--timeout", "0.2" if POSIX else "2")
    assert result.returncode == 124


@needs_signals
def test_a_timeout_with_grace_asks_first():
    script = 'trap "echo asked; exit 0" TERM; sleep 60 & wait'
    result = sh(script, "--timeout", "1", "--timeout-grace", "20")
    assert (result.returncode, result.stdout) == (124, "asked\n")


def test_a_timeout_without_grace_does_not_ask():
    result = sh('trap "echo asked; exit 0" TERM; sleep 60 & wait', "--timeout", "1")
    assert (result.returncode, result.stdout) == (124, "")


def test_a_child_that_ends_in_time_is_not_hurt_by_its_timeout():
    assert sh("exit 3", "--timeout", "50", "--timeout-grace", "5").returncode == 3


@pytest.mark.parametrize("program", ["no-such-program-anywhere", "/no/such/program", "./no-such-program"])
def test_a_program_that_is_not_there_is_127(program, tmp_path):
    assert_diagnosed(run("--", program, cwd=tmp_path), 127, program, "not found")


def test_an_empty_program_name_is_no_traceback():
    result = run("--", "")
    assert result.returncode in (2, 125, 127)
    assert "Traceback" not in result.stderr


def test_a_program_that_is_not_executable_is_126(tmp_path):
    (tmp_path / "data").write_text("no program\n")
    assert_diagnosed(run("--", str(tmp_path / "data")), 126, "permission denied")


def test_a_working_directory_that_is_not_there_is_125(tmp_path):
    assert_diagnosed(run("--cwd", str(tmp_path / "none"), "--", *words_of(true())), 125, "cwd")


def test_a_working_directory_that_is_a_file_is_125(tmp_path):
    (tmp_path / "file").touch()
    assert_diagnosed(run("--cwd", str(tmp_path / "file"), "--", *words_of(true())), 125, "cwd")


def test_an_output_file_that_cannot_be_opened_is_125_and_nothing_runs(tmp_path):
    mark = tmp_path / "mark"
    result = run("--stdout-file", str(tmp_path / "no" / "file"), "--", *touch(mark))
    assert_diagnosed(result, 125, str(tmp_path / "no" / "file"))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--max-memory", "1000000000"), ("--max-processes", "100"), ("--cpu-quota", "1.5")]
)
def test_a_cap_that_cannot_be_enforced_is_125_and_nothing_runs(option, value, tmp_path):
    mark = tmp_path / "mark"
    result = run(option, value, "--", *touch(mark))
    if result.returncode == 0:
        pytest.skip("the cap can be enforced here")
    assert_diagnosed(result, 125, option[2:].replace("-", "_"), "containment is unavailable")
    assert not mark.exists()


def test_with_allow_uncapped_a_cap_that_cannot_be_enforced_is_one_warning():
    result = sh("exit 4", "--max-memory", "1000000000", "--allow-uncapped")
    if result.stderr == "":
        pytest.skip("the cap can be enforced here")
    assert_diagnosed(result, 4, "contained, but uncapped")


# Usage errors.


def test_without_a_command_run_is_a_usage_error():
    assert_usage_error(run(), "missing command")
    assert_usage_error(run("--"), "missing command")
    assert_usage_error(run("--timeout", "1", "--"), "missing command")


@pytest.mark.parametrize("words", [["true"], ["--no-such-option", "--", "true"], ["--env"], ["--timeout", "--", "true"]])
def test_words_that_run_does_not_know_are_usage_errors(words):
    assert_usage_error(run(*words))


@pytest.mark.parametrize("option", ["--timeout", "--idle-timeout", "--cpu-quota"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "-inf", "1e999", "soon", ""])
def test_a_number_of_seconds_or_cores_is_positive_and_finite(option, value):
    assert_usage_error(run(f"{option}={value}", "--", "true"), option, "must be a positive, finite number")


@pytest.mark.parametrize("value", ["0", "-2", "nan"])
def test_the_grace_is_a_positive_finite_number(value):
    assert_usage_error(run("--timeout", "1", "--timeout-grace", value, "--", "true"), "must be a positive, finite number")


@pytest.mark.parametrize(
    ("option", "most"),
    [("--max-memory", 2**64 - 1), ("--max-processes", 2**32 - 1), ("--output-limit", None), ("--pty-cols", None)],
)
def test_a_count_lies_in_its_range(option, most):
    for value in ["0", "-1", "1.5", "many", "", *([] if most is None else [str(most + 1)])]:
        assert_usage_error(run(option, value, "--", "true"), option, f"range 1..={'' if most is None else most}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--timeout-grace", "1"], "--timeout-grace requires --timeout"),
        (["--pty-cols", "80", "--pty-rows", "24"], "requires --pty"),
        (["--pty", "--pty-cols", "80"], "must be provided together"),
        (["--pty", "--pty-rows", "24"], "must be provided together"),
        (["--priority", "urgent"], "urgent"),
        (["--env", "A"], "KEY=VALUE"),
        (["--env", "=1"], "key must not be empty"),
        (["--cpu-affinity", "a"], "CPU"),
        (["--cpu-affinity", ""], "CPU"),
        (["--cpu-affinity", "0,,1"], "CPU"),
        (["--cpu-affinity", "-1"], "CPU"),
        (["--cpu-affinity", "0-3"], "CPU"),
        (["--io-priority", "idle:3"], "idle"),
        (["--io-priority", "best_effort"], "best_effort"),
        (["--io-priority", "best_effort:8"], "best_effort:8"),
        (["--io-priority", "real_time:"], "real_time"),
        (["--io-priority", "urgent:1"], "urgent"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(words, message):
    assert_usage_error(run(*words, "--", "true"), message)


VALUES = {"--idle-timeout": ["1"], "--output-limit": ["9"], "--stdout-file": ["f"], "--stderr-file": ["f"], "--profile": ["f"]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((one, "--profile") for one in ("--idle-timeout", "--output-limit", "--sanitize-vt", "--pty")),
        *((one, "--stdout-file") for one in ("--output-limit", "--sanitize-vt", "--idle-timeout", "--pty")),
        ("--pty", "--stderr-file"),
    ],
)
def test_options_that_break_each_other_are_usage_errors(one, other, tmp_path):
    for first, second in ((one, other), (other, one)):
        words = [first, *VALUES.get(first, []), second, *VALUES.get(second, [])]
        assert_usage_error(run(*words, "--", "true", cwd=tmp_path), f"{one} cannot be combined with {other}")
    assert os.listdir(tmp_path) == []


def test_an_option_is_also_taken_with_an_equals_sign():
    assert sh('echo "$A"', "--env=A=b=c", "--timeout=50").stdout == "b=c\n"


def test_the_sub_command_is_required_and_known():
    for words in ([], ["--"], ["walk", "--", "true"], ["--timeout", "1", "--", "true"]):
        result = cli(*words)
        assert result.returncode == 2
        assert result.stderr.startswith("usage: python -m processkit {run,")


@pytest.mark.parametrize(
    ("words", "part"), [(["--help"], "doctor"), (["run", "--help"], "--timeout-grace"), (["doctor", "-h"], "--json")]
)
def test_help_is_on_stdout_and_no_error(words, part):
    result = cli(*words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: python -m processkit")
    assert part in result.stdout


# The command and its surroundings.


def test_everything_behind_the_first_double_dash_is_the_childs():
    words = ["a b", "--", "--timeout", "3", "", "-h", "--", "é\udcff", "$HOME", "*"]
    result = run("--timeout", "50", "--", sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *words)
    assert result.stdout == f"{words!a}\n"


def test_the_child_has_our_stdin_stdout_and_stderr():
    result = sh("cat; echo err >&2", input="line one\nline two")
    assert (result.stdout, result.stderr) == ("line one\nline two", "err\n")


def test_what_the_child_does_not_read_stays_in_our_stdin():
    read, write = os.pipe()
    os.write(write, b"mineyours")
    os.close(write)
    try:
        result = run("--", *python("import os; print(os.read(0, 4).decode())"), stdin=read)
        assert (result.returncode, result.stdout) == (0, "mine\n")
        assert os.read(read, 100) == b"yours"
    finally:
        os.close(read)


def test_the_environment_is_ours_and_what_was_set():
    result = sh('echo "$OURS $A $B"', "--env", "A=1", "--env", "B=x=y z", "--env", "A=2", env=environment(OURS="from us"))
    assert result.stdout == "from us 2 x=y z\n"


def test_a_cleared_environment_holds_only_what_was_set():
    result = run("--env-clear", "--env", "B=", "--env", "A=1", "--", *words_of(show_env()))
    assert given(result.stdout) == ["A=1", "B="]


def test_only_the_named_variables_are_inherited():
    ours = environment(FIRST="1", SECOND="2", THIRD="3")
    result = run(
        "--inherit-env", "FIRST", "--inherit-env", "THIRD", "--inherit-env", "NONE", "--", *words_of(show_env()), env=ours
    )
    assert given(result.stdout) == ["FIRST=1", "THIRD=3"]


def test_environment_files_are_read_in_order_and_options_win(tmp_path):
    (tmp_path / "one").write_bytes(b"\xef\xbb\xbfA=file one\r\n\n# B=no\n  # neither\nB = b=c \nC=\nE=\xc3\xa9")
    (tmp_path / "two").write_text("A=file two\nD=file two\n")
    words = ["--env", "D=option", "--env-file", str(tmp_path / "one"), "--env-file", str(tmp_path / "two")]
    result = run("--env-clear", *words, "--", *words_of(show_env()), encoding="utf-8")
    assert given(result.stdout) == ["A=file two", "B= b=c", "C=", "D=option", "E=é"]


def test_only_line_ends_end_a_line_of_an_environment_file(tmp_path):
    value = "one\u2028two\x0cthree\x85four"
    (tmp_path / "file").write_text(f"A={value}\nB=1\n", encoding="utf-8")
    script = "import os; print(ascii(os.environ['A']), os.environ['B'])"
    result = run("--env-file", str(tmp_path / "file"), "--", sys.executable, "-c", script)
    assert result.stdout == f"{value!a} 1\n"


@pytest.mark.parametrize(("text", "line"), [(b"A=1\n\nB\n", 3), (b"=1\n", 1), (b"# x\n  = 1\n", 2)])
def test_an_error_in_an_environment_file_names_file_and_line(text, line, tmp_path):
    path = tmp_path / "settings.env"
    path.write_bytes(text)
    assert_usage_error(run("--env-file", str(path), "--", "true"), str(path), f"line {line}")


def test_an_environment_file_that_cannot_be_read_is_a_usage_error(tmp_path):
    (tmp_path / "binary").write_bytes(b"A=\xff\xfe\n")
    for name in ("none", ".", "binary"):
        path = os.path.join(tmp_path, name)
        assert_usage_error(run("--env-file", path, "--", "true"), path, "could not read file")


def test_the_child_runs_in_the_given_directory(tmp_path):
    assert run("--cwd", str(tmp_path), "--", *python("import os; print(os.getcwd())")).stdout == f"{os.path.realpath(tmp_path)}\n"


def test_output_goes_into_the_given_files_which_are_truncated(tmp_path):
    out, err = tmp_path / "out", tmp_path / "err"
    out.write_text("something longer than the new content")
    result = sh("echo to out; echo to err >&2", "--stdout-file", str(out), "--stderr-file", str(err))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (out.read_text(), err.read_text()) == ("to out\n", "to err\n")


LEVELS = (
    [("idle", 19), ("below_normal", 10), ("normal", 0)]
    if POSIX
    else [("idle", 0x40), ("below_normal", 0x4000), ("normal", 0x20), ("above_normal", 0x8000), ("high", 0x80)]
)


@pytest.mark.parametrize(("level", "told"), LEVELS)
def test_the_priority_is_the_childs_niceness(level, told):
    if not POSIX:
        idle = subprocess.run(
            python(PRINT_PRIORITY), creationflags=subprocess.IDLE_PRIORITY_CLASS, capture_output=True, timeout=60, check=True
        )
        if int(idle.stdout) != subprocess.IDLE_PRIORITY_CLASS:
            pytest.skip("this CreateProcessW does not heed a priority class (Wine before 9)")
    assert run("--priority", level, "--", *python(PRINT_PRIORITY)).stdout == f"{told}\n"


def test_the_affinity_is_the_childs_whatever_its_order_and_doubles():
    ours = subprocess.run(python(PRINT_CPUS), capture_output=True, text=True, timeout=60, check=True).stdout
    cpus = [int(cpu) for cpu in ours.strip("[]\n").split(",")]
    text = ",".join(str(cpu) for cpu in [*reversed(cpus), cpus[0]])
    assert run("--cpu-affinity", text, "--", *python(PRINT_CPUS)).stdout == ours == f"{cpus}\n"
    assert run("--cpu-affinity", str(cpus[0]), "--", *python(PRINT_CPUS)).stdout == f"[{cpus[0]}]\n"


def test_processors_that_are_not_there_are_no_traceback():
    for cpus in ("4095", "99999999999999"):
        assert_diagnosed(run("--cpu-affinity", cpus, "--", *words_of(true())), 125)


@pytest.mark.parametrize(("wanted", "told"), [("idle", "idle"), ("best_effort:6", "best-effort: prio 6")])
def test_the_io_priority_is_the_childs(wanted, told):
    if shutil.which("ionice") is None:
        pytest.skip("no ionice here")
    assert run("--io-priority", wanted, "--", "ionice").stdout == f"{told}\n"


def test_options_without_effect_here_are_accepted():
    assert sh("exit 6", "--create-no-window", "--kill-on-parent-death").returncode == 6


# Signals.


in_process_groups = pytest.mark.skipif(not POSIX, reason="this system has no process groups")
both = pytest.mark.parametrize(
    "mechanism", ["", pytest.param("process_group", marks=in_process_groups)], ids=["default", "process_group"]
)


@needs_signals
@both
@pytest.mark.parametrize("number", signals("SIGTERM", "SIGHUP", "SIGQUIT"))
def test_a_signal_that_ends_the_wrapper_ends_the_whole_tree_and_is_the_status(mechanism, number):
    script = "setsid sleep 60 & sleep 60 & echo ready; wait"
    with Wrapper("--", *shell_argv(script), PROCESSKIT_MECHANISM=mechanism) as wrapper:
        wrapper.process.send_signal(number)
        status, out, err = wrapper.end()
    assert (status, out) == (128 + number, "")
    assert err == f"processkit: interrupted by signal {int(number)}\n"


@both
def test_ctrl_c_is_130_and_ends_the_whole_tree(mechanism):
    script = "setsid sleep 60 & sleep 60 & echo ready; wait"
    with Wrapper("--", *shell_argv(script), PROCESSKIT_MECHANISM=mechanism) as wrapper:
        wrapper.interrupt()
        status, _, err = wrapper.end()
    assert status == 130
    assert "interrupted" in err
    assert "Traceback" not in err


@needs_signals
def test_a_tree_that_does_not_listen_is_killed():
    script = 'trap "" TERM INT HUP; echo ready; while :; do sleep 60; done'
    with Wrapper("--", *shell_argv(script)) as wrapper:
        wrapper.process.send_signal(signal.SIGTERM)
        assert wrapper.end()[0] == 143


@needs_signals
def test_a_hang_up_that_was_ignored_when_the_wrapper_began_stays_ignored():
    script = "echo ready; read line; exit 9"
    with Wrapper("--", *shell_argv(script), ignoring=[signal.SIGHUP]) as wrapper:
        os.killpg(wrapper.process.pid, signal.SIGHUP)
        wrapper.process.stdin.write("go on\n")
        wrapper.process.stdin.flush()
        assert wrapper.end()[0] == 9


@both
def test_kill_9_of_the_wrapper_leaves_nothing(mechanism):
    # The fixture of every test waits for the end of whatever carries its token.
    with Wrapper("--", *shell_argv("sleep 60 & echo ready; wait"), PROCESSKIT_MECHANISM=mechanism) as wrapper:
        wrapper.process.kill()
        assert wrapper.end()[0] == (-signal.SIGKILL if POSIX else 1)


@needs_signals
def test_a_wrapper_that_is_stopped_and_continued_goes_on():
    with Wrapper("--", *shell_argv("echo ready; read line; exit 8")) as wrapper:
        wrapper.process.send_signal(signal.SIGSTOP)
        wrapper.process.send_signal(signal.SIGCONT)
        wrapper.process.stdin.write("go on\n")
        wrapper.process.stdin.flush()
        assert wrapper.end()[0] == 8
