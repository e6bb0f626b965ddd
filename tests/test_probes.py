"""Prompts and lines that are waited for without being taken: api.md §14 and `wait_for_line` of §30.1."""

import asyncio
import time

import pytest
from programs import POSIX, py, sh, sleep, soon

from processkit import NotReady, ProcessError, WaitTimeout

PROMPT = (
    "import sys\n"
    "print('Welcome')\n"
    "for stream in (sys.stdout, sys.stderr): print('Password for', stream.name, end=': ', file=stream, flush=True)\n"
    "got = sys.stdin.readline()\n"
    "print(); print('got', got, end='')"
)

LEAVE_BEHIND = (
    "import subprocess, sys\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.5); print(\"late\", flush=True); time.sleep(1000)'])"
)


@pytest.fixture(params=["sync", "async"])
def wait(request):
    """`wait(process, "for_output", …)`: the verb or its twin in a loop of its own."""
    if request.param == "sync":
        return lambda process, what, *words, **options: getattr(process, "wait_" + what)(*words, **options)

    def twin(process, what, *words, **options):
        async def main():
            return await getattr(process, "await_" + what)(*words, **options)

        return asyncio.run(main())

    return twin


@pytest.mark.parametrize("predicate", [": ", lambda tail: tail.endswith(": ")])
def test_a_prompt_is_the_whole_unterminated_line_and_stays(wait, predicate):
    with py(PROMPT).keep_stdin_open().start() as process:
        assert wait(process, "for_output", predicate, timeout=60) == "Password for <stdout>: "
        assert wait(process, "for_output", predicate, timeout=0) == "Password for <stdout>: "
        assert wait(process, "for_stderr_output", ": ", timeout=60) == "Password for <stderr>: "
        if POSIX:  # there a handle may go from a loop to none
            with process.stdin_writer("utf-8") as stdin:
                print("secret", file=stdin)
            result = process.output()
            assert result.stdout == "Welcome\nPassword for <stdout>: \ngot secret"
            assert result.stderr == "Password for <stderr>: "


def test_a_stream_that_was_opened_before_loses_nothing_and_none_can_be_opened_after():
    with py(PROMPT).keep_stdin_open().start() as process:
        lines = process.stdout_lines()
        assert process.wait_for_output("Password", timeout=60)
        assert next(lines) == "Welcome"
        process.stdin_writer().close()
        assert [*lines] == ["Password for <stdout>: ", "got "]
        assert process.finish().stderr == "Password for <stderr>: "
    with py(PROMPT).keep_stdin_open().start() as process:
        process.wait_for_output("Password", timeout=60)
        with pytest.raises(ProcessError, match="already consumed"):
            process.stdout_lines()
        with pytest.raises(ProcessError, match="output_bytes cannot follow"):
            process.output_bytes()
        assert process.outcome().exited_zero


def test_a_cap_counts_for_what_a_probe_has_kept():
    script = "print('a\\nb\\nc'); print('prompt', end='', flush=True); input()"
    with py(script).output_limit(max_lines=2).keep_stdin_open().start() as process:
        assert process.wait_for_output("prompt", timeout=60)
        with process.stdin_writer("utf-8") as stdin:
            print(file=stdin)
        result = process.output()
        assert (result.stdout, result.truncated) == ("c\nprompt", True)


def test_a_deadline_leaves_the_child_alone(wait):
    with sleep().start() as process:
        for seconds in (0, 0.2):
            with pytest.raises(WaitTimeout) as caught:
                wait(process, "for_output", "x", timeout=seconds)
            assert (caught.value.timeout_seconds, caught.value.host, caught.value.path) == (seconds, None, None)
        assert process.poll() is None


@pytest.mark.parametrize("stream", ["output", "stderr_output"])
def test_a_stream_that_ends_first_is_told_at_once(wait, stream):
    with sh("echo nothing; echo no >&2").start() as process:
        began = time.monotonic()
        with pytest.raises(ProcessError, match="ended before a matching tail") as caught:
            wait(process, "for_" + stream, "prompt", timeout=60)
        assert type(caught.value) is ProcessError
        assert time.monotonic() - began < 50


def test_what_a_predicate_raises_is_raised(wait):
    def explode(_tail):
        raise KeyError("mine")

    with py(PROMPT).keep_stdin_open().start() as process, pytest.raises(KeyError, match="mine"):
        wait(process, "for_output", explode, timeout=60)


def test_what_cannot_be_watched_is_refused(wait):
    with py("input()").stdout("null").keep_stdin_open().start() as process:
        with pytest.raises(ProcessError, match="not observable for readiness probing"):
            wait(process, "for_output", "x", timeout=1)
        wait_for_nothing = pytest.raises(WaitTimeout)
        with wait_for_nothing:
            wait(process, "for_stderr_output", "x", timeout=0.1)
    with sh("exit 0").stderr("null").start() as process:
        with pytest.raises(ProcessError, match="stderr is not piped"):
            wait(process, "for_stderr_output", "x", timeout=1)
        for wrong in (b"x", 1, None):
            with pytest.raises(TypeError, match="predicate must be a str"):
                wait(process, "for_output", wrong, timeout=1)
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                wait(process, "for_output", "x", timeout=wrong)
        process.outcome()
        with pytest.raises(ProcessError, match="consumed"):
            wait(process, "for_output", "x", timeout=1)
    with sh("exit 0").start() as process, pytest.raises(ProcessError, match="no running asyncio event loop"):
        process.await_for_output("x", timeout=1)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_line_of_either_stream_is_found_and_stays(wait, stream):
    script = f"import sys\nprint('one\\ntwo\\nthree', file=sys.{stream}, flush=True); sys.stdin.read()"
    with py(script).keep_stdin_open().start() as process:
        assert wait(process, "for_line", "tw", timeout=60) == "two"
        assert wait(process, "for_line", lambda line: line.startswith("o"), timeout=60) == "one"
        if POSIX:
            result = process.output()
            assert getattr(result, stream) == "one\ntwo\nthree"


def test_a_line_is_found_behind_a_stream_and_in_front_of_one():
    script = "import sys\nfor n in range(3): print(n, flush=True); sys.stdin.readline()"
    with py(script).keep_stdin_open().start() as process:
        assert process.wait_for_line("0", timeout=60) == "0"
        lines = process.stdout_lines()
        assert next(lines) == "0"
        with process.stdin_writer("utf-8") as stdin:
            print(file=stdin)
            assert process.wait_for_line("1", timeout=60) == "1"
            print(file=stdin)
        assert [*lines] == ["1", "2"]


def test_a_child_that_ends_first_is_not_ready_and_its_last_words_are_told(wait):
    with sh("echo starting; echo 'cannot bind' >&2; exit 7").start() as process:
        with pytest.raises(NotReady, match=r"code 7.*cannot bind") as caught:
            wait(process, "for_line", "ready", timeout=60)
        assert caught.value.outcome.code == 7
    for what, words in (("for_port", ("127.0.0.1", 1)), ("for_path", ("/nonexistent/x",))):
        with sh("echo 'cannot bind' >&2; exit 7").start() as process, pytest.raises(NotReady, match="cannot bind"):
            wait(process, what, *words, timeout=60)


def test_a_line_that_does_not_come_in_time_leaves_the_child_alone(wait):
    with py("input()").keep_stdin_open().start() as process:
        with pytest.raises(WaitTimeout, match="no matching line") as caught:
            wait(process, "for_line", "ready", timeout=0.2)
        assert not isinstance(caught.value, NotReady)
        assert process.poll() is None


def test_a_child_that_says_much_before_it_is_ready_becomes_ready(wait, tmp_path):
    there = tmp_path / "ready"
    script = f"import sys, time\nsys.stdout.write('x' * (4 << 20)); open({str(there)!r}, 'w').close(); time.sleep(1000)"
    with py(script).start() as process:
        wait(process, "for_path", there, timeout=60)
        assert process.poll() is None


def test_what_is_left_behind_is_not_touched_by_who_only_looks(wait):
    with py(LEAVE_BEHIND).start() as process:
        assert wait(process, "for_line", "late", timeout=soon(10)) == "late"
