"""Terminals: api.md §13, on real processes."""

import asyncio
import signal

import pytest
from programs import needs_posix, py, sh

from processkit import Command, ProcessError, ProcessGroup, Timeout, Unsupported, wait_any

pytestmark = needs_posix

WHERE = (
    "import os, sys, shutil\n"
    "print([os.isatty(n) for n in range(3)], os.environ['COLUMNS'], os.environ['LINES'], os.environ.get('TERM'))\n"
    "print(tuple(os.get_terminal_size()), os.getsid(0) == os.getpid(), os.tcgetpgrp(0) == os.getpgrp())\n"
    "open('/dev/tty').close()\nprint('error', file=sys.stderr)"
)


def cat():
    return Command("/bin/cat").pty().timeout(60)


def test_all_three_streams_are_the_terminal_of_its_own_session(call):
    result = call(py(WHERE).pty(cols=101, rows=31).env_remove("TERM"), "output")
    assert result.stdout.splitlines() == ["[True, True, True] 101 31 None", "(101, 31) True True", "error"]
    assert (result.stderr, result.code) == ("", 0)
    assert call(py(WHERE).pty().inherit_env(["PATH"]), "run").startswith("[True, True, True] 80 24 xterm-256color\n(80, 24)")
    assert "screen" in call(py(WHERE).pty().env("TERM", "screen"), "run")


def test_what_is_written_is_not_repeated_and_then_ends(call):
    assert call(cat().stdin_text("abc"), "output_bytes").stdout == b"abc"
    assert call(cat().stdin_text("abc\ndef\n"), "output_bytes").stdout == b"abc\r\ndef\r\n"
    assert call(cat().stdin_reader([b"a\n", b"b"]), "run") == "a\nb"


def test_without_a_source_there_is_an_end_at_once(call):
    for _ in range(20):
        assert call(cat(), "output").code == 0
    assert call(sh("cat; echo $?").pty().timeout(60).start(), "output").stdout == "0"


def test_what_comes_from_a_source_is_written_by_nobody_else():
    for _ in range(50):
        with cat().stdin_reader([b"a\n"]).start() as process:
            assert process.output().stdout == "a"


def test_a_file_is_typed_too(call, tmp_path):
    path = tmp_path / "words"
    path.write_text("one\ntwo\n")
    assert call(cat().stdin_file(path), "run") == "one\ntwo"
    with pytest.raises(ProcessError, match="stdin_file"):
        call(cat().stdin_file(tmp_path / "none"), "run")


def test_a_conversation_and_an_interrupt():
    async def talk():
        async with await cat().keep_stdin_open().astart() as process:
            stdin, lines = process.take_stdin(), process.stdout_lines()
            await stdin.write_line("hello")
            assert await lines.__anext__() == "hello"
            await stdin.send_control("c")
            outcome = await process.aoutcome()
            assert outcome.signal == signal.SIGINT

    asyncio.run(talk())


def test_a_prompt_is_answered():
    with py("print(input('name? ').upper())").pty().keep_stdin_open().start() as process:
        assert process.wait_for_output("name", timeout=60) == "name? "
        with process.stdin_writer("utf-8") as stdin:
            print("bob", file=stdin)
        assert process.output().stdout == "name? BOB"
    with py("input()").pty().keep_stdin_open().start() as process:
        with pytest.raises(ProcessError, match="stderr is not piped"):
            process.wait_for_stderr_output("x", timeout=1)
        process.take_stdin()
        assert process.finish().code == 1  # EOFError


def test_closing_ends_the_input_also_in_the_middle_of_a_line():
    with cat().keep_stdin_open().start() as process:
        with process.stdin_writer() as stdin:
            stdin.write(b"half")
        assert process.output().stdout == "half"


def test_a_terminal_is_resized_while_it_is_used():
    script = (
        "import os, signal, sys\n"
        # Blocked, and with a handler, so that it is kept until it is waited for.
        "signal.signal(signal.SIGWINCH, lambda *_: None)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n"
        "print('ready', flush=True)\nsignal.sigwait([signal.SIGWINCH])\n"
        "print(tuple(os.get_terminal_size()), flush=True)\nsys.stdin.readline()"
    )
    with py(script).pty().keep_stdin_open().start() as process:
        lines = process.stdout_lines()
        assert next(lines) == "ready"
        process.resize_pty(132, 50)
        assert next(lines) == "(132, 50)"
        for wrong in ((0, 1), (1, -1)):
            with pytest.raises(ValueError, match="positive"):
                process.resize_pty(*wrong)
        process.take_stdin()
        assert process.finish().exited_zero
        with pytest.raises(ProcessError, match="consumed"):
            process.resize_pty(1, 1)
    with sh("exit 0").pty().start() as process:
        wait_any([process], timeout=60)
        with pytest.raises(ProcessError, match="ended"):
            process.resize_pty(1, 1)
    with sh("exit 0").start() as process, pytest.raises(Unsupported):
        process.resize_pty(1, 1)


def test_events_of_a_terminal_are_all_of_stdout():
    with py("import sys; print('a'); print('b', file=sys.stderr)").pty().start() as process:
        assert [(event.stream, event.text) for event in process.output_events()] == [("stdout", "a"), ("stdout", "b")]


def test_a_size_is_both_numbers_or_none():
    for sizes in ({"cols": 80}, {"rows": 24}):
        with pytest.raises(ValueError, match="provided together"):
            Command("x").pty(**sizes)
    for sizes in ({"cols": 0, "rows": 1}, {"cols": 1, "rows": -1}):
        with pytest.raises(ValueError, match="positive"):
            Command("x").pty(**sizes)
    with pytest.raises(OverflowError):
        Command("x").pty(cols=65536, rows=1)
    with pytest.raises(TypeError):
        Command("x").pty(cols="80", rows=1)


@pytest.mark.parametrize(
    "other",
    [
        lambda c: c.inherit_stdin(),
        lambda c: c.stdout("inherit"),
        lambda c: c.stdout("null"),
        lambda c: c.stderr("null"),
        lambda c: c.stdout_file("f"),
        lambda c: c.stderr_file("f"),
    ],
)
def test_other_streams_leave_no_room_for_a_terminal_in_either_order(other):
    with pytest.raises(ValueError, match=r"pty\(\) cannot be combined"):
        other(Command("x").pty())
    with pytest.raises(ValueError, match=r"pty\(\) cannot be combined"):
        other(Command("x")).pty()


def test_a_conflict_that_was_taken_back_is_none():
    assert Command("/bin/echo", ["a"]).stdout("null").stdout("PIPE").pty().stderr("piped").run() == "a"


def test_only_the_last_stage_of_a_pipeline_has_a_terminal(call):
    with pytest.raises(Unsupported):
        call(sh("echo a").pty() | Command("/bin/cat"), "run")


def test_a_deadline_and_a_group_are_as_for_any_other(call):
    with pytest.raises(Timeout):
        call(sh("sleep 1000").pty().timeout(0.3), "run")
    with ProcessGroup() as group:
        assert call(group, "run", py("import os; print(os.isatty(1))").pty()) == "True"


def test_a_long_flow_through_a_terminal_is_complete(call):
    script = "import sys\nfor n in range(50000): print('line', n)"
    assert call(py(script).pty(), "output").stdout.splitlines() == [f"line {n}" for n in range(50000)]


def test_a_last_stage_with_a_terminal_reads_the_stage_before_it(call):
    chain = sh("echo one; echo two") | py("import os, sys\nprint(sys.stdin.read().split(), os.isatty(0), os.isatty(1))").pty()
    assert call(chain.timeout(60), "run") == "['one', 'two'] False True"


def test_a_last_stage_with_a_terminal_that_ends_at_once_is_captured_like_any_other(call):
    chain = sh("echo one") | Command("/bin/cat").pty()
    for _ in range(20):
        assert call(chain.timeout(60), "run") == "one"
