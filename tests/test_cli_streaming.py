"""`python -m processkit run` line by line: `--idle-timeout`, `--output-limit`, `--sanitize-vt`, `--pty` (api.md §26.1)."""

import os
import signal
import subprocess
import sys

import pytest
from programs import POSIX, needs_posix
from test_cli import environment, python, run, sh

TALK = "import sys, time\nprint('\\x1b[1mbold\\x1b[0m', flush=True)\nprint('err', file=sys.stderr, flush=True)\n"


def test_control_sequences_are_removed_and_the_streams_stay_apart():
    result = run("--sanitize-vt", "--", *python(TALK + "sys.exit(3)"))
    assert (result.stdout, result.stderr, result.returncode) == ("bold\n", "err\n", 3)


def test_silence_is_123_and_what_was_said_before_has_been_said():
    result = run("--idle-timeout", "2", "--", *python(TALK + "time.sleep(1000)"))
    assert result.stdout == "\x1b[1mbold\x1b[0m\n"
    assert "was idle" in result.stderr
    assert result.returncode == 123


def test_output_beyond_the_limit_is_125_and_is_not_said():
    result = run("--output-limit", "6", "--", *python("import os; os.write(1, b'aa\\nbb\\ncccc\\ndd\\n')"))
    assert result.stdout == "aa\nbb\n"
    assert "output exceeded its capture ceiling" in result.stderr
    assert result.returncode == 125


def test_output_within_the_limit_is_said_whole():
    result = sh("echo aa; echo bb >&2", "--output-limit", "100")
    assert (result.stdout, result.stderr, result.returncode) == ("aa\n", "bb\n", 0)


@pytest.mark.parametrize("option", [["--sanitize-vt"], ["--idle-timeout", "60"]])
def test_a_line_is_said_at_once_and_stdin_is_ours(option):
    command = [sys.executable, "-m", "processkit", "run", *option, "--", *python("print('ready', flush=True); print(input())")]
    with subprocess.Popen(command, stdin=-1, stdout=-1, env=environment(), text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("answer\n")
        process.stdin.close()
        assert process.stdout.read() == "answer\n"
    assert process.returncode == 0


@pytest.mark.parametrize(("words", "code"), [(["--timeout", "1"], 124), ([], 3)])
def test_deadlines_and_codes_are_what_they_are_without(words, code):
    assert (
        run("--sanitize-vt", *words, "--", *python(f"import time; {'time.sleep(1000)' if code == 124 else 'exit(3)'}")).returncode
        == code
    )


def test_stderr_may_go_to_a_file_beside(tmp_path):
    result = run("--sanitize-vt", "--stderr-file", str(tmp_path / "e"), "--", *python(TALK))
    assert (result.stdout, result.stderr) == ("bold\n", "")
    assert (tmp_path / "e").read_text().strip() == "err"


def test_text_that_is_not_ours_to_understand_is_passed_on():
    result = run("--sanitize-vt", "--", *python("import os; os.write(1, 'é\\n'.encode())"), text=False)
    assert result.stdout.splitlines() == ["é".encode()]


@needs_posix
def test_who_says_on_to_nobody_is_ended():
    command = [sys.executable, "-m", "processkit", "run", "--sanitize-vt", "--", "yes"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, env=environment()) as process:
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


@needs_posix
def test_a_full_device_is_119():
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = run("--sanitize-vt", "--", "echo", "a", stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 119
    assert "could not write stdout" in result.stderr


@needs_posix
def test_a_terminal_is_its_three_streams_and_all_is_said_on_stdout():
    script = (
        "import os, sys\nprint([os.isatty(n) for n in range(3)], os.get_terminal_size()[:], input())\nprint('e', file=sys.stderr)"
    )
    size = ["--pty-cols", "99", "--pty-rows", "33"]
    result = run("--pty", *size, "--", *python(script), input="typed\n")
    assert (result.stdout, result.stderr, result.returncode) == ("[True, True, True] (99, 33) typed\ne\n", "", 0)


@needs_posix
def test_a_terminal_does_not_wait_for_our_stdin_to_end():
    read, write = os.pipe()
    try:
        assert run("--pty", "--", "true", stdin=read).returncode == 0
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.skipif(not POSIX, reason="nothing here sends it a signal")
def test_a_signal_ends_the_command_and_the_wrapper(tmp_path):
    command = [
        sys.executable,
        "-m",
        "processkit",
        "run",
        "--sanitize-vt",
        "--",
        *python("import time; print('x', flush=True); time.sleep(1000)"),
    ]
    with subprocess.Popen(command, stdout=-1, stderr=-1, env=environment()) as process:
        assert process.stdout.readline() == b"x\n"
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
