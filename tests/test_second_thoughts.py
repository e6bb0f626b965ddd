"""What a reader of the contract would try: each was found broken by one."""

import asyncio
import codecs
import logging
import os
import pickle
import select
import subprocess
import sys

import pytest
from programs import POSIX, cat, needs_fork, needs_signals, py, sh, sleep

from processkit import Command, PermissionDenied, ProcessError, ProcessGroup, ProcessNotFound, wait_for_line

# Encodings.


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_text_with_and_without_a_byte_order_mark_is_decoded_however_it_is_cut(name, mark, size):
    native = f"{name}-{'le' if sys.byteorder == 'little' else 'be'}"
    data = "hé\n😀\n".encode(name if mark else native)
    script = (
        f"import os, time\ndata = {data!r}\n"
        f"for at in range(0, len(data), {size}):\n    os.write(1, data[at : at + {size}]); time.sleep(0.001)"
    )
    assert py(script).encoding(name).output().stdout == "hé\n😀"


def test_the_other_byte_order_is_known_by_its_mark():
    data = codecs.BOM_UTF16_BE + "ab".encode("utf-16-be")
    assert py(f"import os; os.write(1, {data!r})").stdout_encoding("utf-16").run() == "ab"


@pytest.mark.parametrize("name", ["idna", "undefined", "punycode", "utf-16", "utf-32", "utf-7"])
def test_no_encoding_raises_whatever_comes(call, name):
    assert isinstance(call(py("import os; os.write(1, bytes(range(256)) * 3)").encoding(name), "output").stdout, str)


def test_a_decoder_may_be_somebody_elses(call):
    class Loud:
        def __init__(self, errors):
            assert errors == "replace"

        def decode(self, data, final=False):  # noqa: ARG002
            return data.decode("ascii").upper()

    assert call(sh("echo abc").encoding(Loud), "run") == "ABC"
    latin = codecs.getincrementaldecoder("latin-1")
    assert call(py("import os; os.write(1, b'\\xe9')").stdout_encoding(latin), "run") == "é"
    with pytest.raises(TypeError, match="stderr_encoding"):
        sh("echo").stderr_encoding(8)


# Caps, redirects, names.


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
def test_a_cap_of_no_bytes_keeps_not_even_empty_lines(call, overflow):
    result = call(py("print('\\n' * 5)").output_limit(max_bytes=0, on_overflow=overflow), "output")
    assert (result.stdout, result.truncated) == ("", True)


def test_empty_lines_without_end_are_bounded_by_a_cap_of_bytes():
    result = py("import os\nfor _ in range(50): os.write(1, b'\\n' * 10000)").output_limit(max_bytes=1).output()
    assert result.stdout.count("\n") < 100_000
    assert result.truncated


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no fifos")
def test_a_fifo_that_nobody_reads_is_an_error_and_one_that_somebody_reads_is_written(call, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(ProcessError, match="fifo"):
        call(sh("echo a").stdout_file(path), "exit_code")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert call(sh("echo a").stdout_file(path), "exit_code") == 0
        assert os.read(reader, 100) == b"a\n"
    finally:
        os.close(reader)


def test_a_nul_in_a_name_is_told_as_such_and_not_shown(call):
    with pytest.raises(ProcessError, match=r"tr\\0ue: program contains a NUL byte") as caught:
        call(Command("tr\0ue"), "run")
    assert "\0" not in str(caught.value)


def test_an_error_keeps_its_errno_when_it_is_pickled():
    for error_type, program in ((ProcessNotFound, "no-such-program-anywhere"), (PermissionDenied, os.path.dirname(__file__))):
        with pytest.raises(error_type) as caught:
            Command(program).run()
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (type(copy), copy.errno, str(copy), vars(copy)) == (
            error_type,
            caught.value.errno,
            str(caught.value),
            vars(caught.value),
        )


@pytest.mark.parametrize(
    ("code", "change", "verb", "fields"),
    [
        ("print('out'); raise SystemExit(3)", None, "run", "code"),
        ("import os; os.kill(os.getpid(), 9)", None, "run", "signal"),
        ("import time; time.sleep(60)", lambda command: command.timeout(0.05), "run", "timeout_seconds"),
        ("print('x' * 99)", lambda command: command.output_limit(max_bytes=9, on_overflow="error"), "output", "total_bytes"),
        ("print('no json')", None, "run_json", ""),
    ],
)
def test_a_type_checker_knows_what_an_error_carries(call, code, change, verb, fields):
    command = py(code) if change is None else change(py(code))
    if fields == "signal" and not POSIX:
        pytest.skip("nothing ends by a signal here")
    with pytest.raises(ProcessError) as caught:
        call(command, verb)
    declared = {name for base in type(caught.value).__mro__ for name in base.__dict__.get("__annotations__", ())}
    assert set(fields.split()) <= set(vars(caught.value)) <= declared


# Input.


def test_input_that_is_kept_open_is_a_pipe_however_long_its_beginning_is():
    with cat().keep_stdin_open().stdin_bytes(b"x" * 200_000 + b"\n").start() as process:
        writer = process.stdin_writer()
        writer.write(b"end")
        writer.close()
        assert process.output().stdout == "x" * 200_000 + "\nend"


def test_input_that_is_a_file_is_nobodys_to_write(tmp_path):
    (tmp_path / "file").write_text("a")
    with cat().keep_stdin_open().stdin_file(tmp_path / "file").start() as process, pytest.raises(ProcessError, match="is a file"):
        process.stdin_writer()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_input_of_a_parents_child_is_not_a_forks_to_write():
    with cat().keep_stdin_open().start() as process:
        writer = process.stdin_writer()
        writer.write(b"a")
        writer.flush()
        pid = os.fork()
        if pid == 0:
            try:
                writer.write(b"b")
                writer.flush()
            except ProcessError as error:
                os._exit(0 if "fork" in str(error) else 1)
            os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        writer.close()
        assert process.output().stdout == "a"


# Groups.


@needs_signals
@pytest.mark.parametrize("end", ["signal", "stop"])
def test_a_group_that_was_suspended_takes_new_members_once_it_has_been_ended(end, mechanism):
    with ProcessGroup(shutdown_grace=0) as group:
        group.start(sleep())
        group.suspend()
        group.signal("kill") if end == "signal" else group.stop(0.3)
        assert group.run(sh("echo a")) == "a"


# Logging.


def test_a_program_that_has_set_up_no_logging_sees_nothing(in_child_env):
    script = (
        "import asyncio, sys\nfrom processkit import Command\n"
        "command = Command(sys.executable, ['-c', 'import time; time.sleep(1000)']).timeout(0.1)\n"
        "assert asyncio.run(command.aoutput()).timed_out"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], env=in_child_env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_every_stage_of_a_chain_is_told_of(caplog, call):
    caplog.set_level(logging.DEBUG, "processkit")
    assert call(py("import time; time.sleep(1000)").timeout(0.5) | cat(), "output").timed_out
    told = [record.getMessage().split(" program=")[0] for record in caplog.records]
    assert sorted(told) == ["child spawned"] * 2 + ["process exited"] * 2 + ["timeout elapsed"]


@pytest.mark.skipif(not POSIX, reason="the command line of a test shell is another one there")
def test_what_is_awaited_of_a_chain_is_about_all_of_it():
    async def main():
        async with await (sh("echo oops >&2; exit 3") | cat()).astart() as chain:
            with pytest.raises(ProcessError, match=r"code 3 before .*oops"):
                await chain.await_for_port("127.0.0.1", 1, timeout=60)

    asyncio.run(main())


@needs_signals
def test_a_line_that_is_there_is_found_by_who_does_not_wait():
    async def main():
        async with await py("import os, time; os.write(1, b'ready\\n'); time.sleep(1000)").astart() as process:
            while not select.select([process._child.stream(1)], [], [], 1)[0]:
                pass
            return await wait_for_line(process.stdout_lines(), "ready", timeout=0)

    assert asyncio.run(main()) == "ready"
