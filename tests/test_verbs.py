"""The one-shot verbs and their async twins on real processes: api.md §3 to §7 and §9."""

import inspect
import json
import os
import signal
import time

import pytest
from programs import (
    POSIX,
    SHELL,
    alive,
    cat,
    census,
    given,
    needs_signal_ends,
    needs_signals,
    py,
    sh,
    shell_argv,
    show_env,
    soon,
    wait_until,
)

from processkit import BytesResult, InvalidJson, NonZeroExit, ProcessError, ProcessResult, Runner, Signalled, Timeout, run

VERBS = ["output", "output_bytes", "run", "run_json", "exit_code", "probe"]
CAPTURING = ["output", "output_bytes"]
CHECKING = ["run", "run_json", "exit_code", "probe"]
# Nothing here waits so long; a test that does has hung.
LONG = 60


# Results.


def test_output_is_the_text_the_outcome_and_the_facts_of_the_run(call):
    result = call(sh("echo out; echo err >&2"), "output")
    assert type(result) is ProcessResult
    assert (result.stdout, result.stderr, result.code, result.signal, result.timed_out) == ("out", "err", 0, None, False)
    assert result.is_success
    assert result.outcome.exited_zero
    assert result.program == SHELL
    assert result.duration_seconds >= 0
    assert result.truncated is False
    assert result.combined == "out\nerr"
    assert result.diagnostic == "err"
    assert result.ensure_success() is result
    assert result.mechanism in census.MECHANISMS
    assert result.pid > 0
    assert result.leaked == 0
    assert repr(result).startswith("ProcessResult(")
    assert "out" not in repr(result).replace("output", "")


def test_output_bytes_keeps_stdout_exactly_and_decodes_stderr(call):
    result = call(sh(r"printf 'a\r\n\377\0\n'; printf 'e\r\n\n' >&2"), "output_bytes")
    assert type(result) is BytesResult
    assert result.stdout == b"a\r\n\xff\0\n"
    assert result.stderr == "e\n"
    assert result.ensure_success() is result
    assert not hasattr(result, "combined")
    assert "6" in repr(result)
    assert repr(result).startswith("BytesResult(")


@pytest.mark.parametrize(
    ("out", "err", "combined", "diagnostic"),
    [("", "", "", None), ("o", "", "o", "o"), ("", "e", "e", "e"), (" o ", " \t", " o \n \t", "o"), (" ", "\n\n", " \n\n", None)],
)
def test_combined_and_diagnostic_choose_what_is_not_empty(call, out, err, combined, diagnostic):
    result = call(sh('printf %s "$1"; printf %s "$2" >&2', out, err), "output")
    assert (result.combined, result.diagnostic) == (combined, diagnostic)


def test_large_output_on_both_streams_comes_whole(call):
    script = "import os,sys\nfor _ in range(64): os.write(1, b'o' * 16384); os.write(2, b'e' * 16384)"
    result = call(py(script), "output")
    assert (len(result.stdout), len(result.stderr)) == (1 << 20, 1 << 20)
    assert set(result.stdout) == {"o"}
    assert len(call(py(script), "output_bytes").stdout) == 1 << 20


def test_a_failed_result_is_data_and_truthy(call):
    for verb in CAPTURING:
        result = call(sh("exit 3"), verb)
        assert (result.code, result.signal, result.timed_out, result.is_success) == (3, None, False, False)
        assert bool(result)


@needs_signal_ends
def test_a_signal_is_data_of_a_capturing_verb(call):
    for verb in CAPTURING:
        result = call(sh("echo before; kill -9 $$"), verb)
        assert (result.code, result.signal, result.timed_out, result.is_success) == (None, 9, False, False)
        assert result.stdout in ("before", b"before\n")


def test_results_of_equal_runs_are_equal_whatever_their_duration_and_pid(call):
    one, two = call(sh("echo x"), "output"), call(sh("echo x"), "output")
    assert one == two
    assert hash(one) == hash(two)
    assert one.pid != two.pid or one.duration_seconds != two.duration_seconds
    assert one != call(sh("echo x").timeout(LONG), "output")
    assert one != call(sh("echo x").success_codes([0, 1]), "output")
    assert one != call(sh("echo y"), "output")
    assert one != call(sh("echo x"), "output_bytes")


# What each verb makes of the child's fate: the table of api.md §4.


def test_run_removes_trailing_white_space_only(call):
    assert call(sh(r"printf '  a b \t\n\n'"), "run") == "  a b"
    assert call(sh("printf '\\f x\\v\\f'"), "run") == "\f x"


@pytest.mark.parametrize("verb", ["run", "run_json"])
def test_run_raises_non_zero_exit_with_all_that_is_known(call, verb):
    with pytest.raises(NonZeroExit) as caught:
        call(sh("echo out; echo ' why ' >&2; exit 3", "secret-word").env("SECRET", "secret-value"), verb)
    error = vars(caught.value)
    assert {"program", "code", "stdout", "stderr", "stdout_bytes", "diagnostic"} <= set(error)
    assert (error["program"], error["code"], error["stdout"], error["stderr"]) == (SHELL, 3, "out", " why ")
    assert (error["stdout_bytes"], error["diagnostic"]) == (None, "why")
    assert SHELL in str(caught.value)
    assert "3" in str(caught.value)
    assert str(caught.value).endswith("why")
    assert "secret" not in str(caught.value)


@needs_signal_ends
@pytest.mark.parametrize("verb", CHECKING)
def test_a_checking_verb_raises_signalled(call, verb):
    with pytest.raises(Signalled) as caught:
        call(sh("echo out; kill -USR1 $$"), verb)
    error = vars(caught.value)
    assert (error["program"], error["signal"], error["stdout"], error["stderr"]) == (SHELL, signal.SIGUSR1, "out", "")
    assert (error["stdout_bytes"], error["diagnostic"]) == (None, "out")


@pytest.mark.parametrize("verb", CHECKING)
def test_a_checking_verb_raises_timeout_with_what_was_said_until_then(call, verb):
    with pytest.raises(Timeout) as caught:
        call(sh("echo out; echo err >&2; exec sleep 1000").timeout(soon(0.4)), verb)
    error = vars(caught.value)
    assert (error["program"], error["timeout_seconds"], error["stdout"], error["stderr"]) == (SHELL, soon(0.4), "out", "err")
    assert (error["stdout_bytes"], error["diagnostic"]) == (None, "err")
    assert isinstance(caught.value, TimeoutError)


def test_a_capturing_verb_has_the_timeout_as_data(call):
    for verb in CAPTURING:
        result = call(sh("echo out; exec sleep 1000").timeout(soon(0.4)), verb)
        assert (result.code, result.signal, result.timed_out, result.is_success) == (None, None, True, False)
        assert result.stdout in ("out", b"out\n")
        with pytest.raises(Timeout) as caught:
            result.ensure_success()
        assert caught.value.stdout_bytes == (None if verb == "output" else b"out\n")
        assert caught.value.stdout == "out" or verb == "output_bytes"


def test_an_error_of_a_bytes_result_carries_the_exact_bytes(call):
    result = call(sh(r"printf '\377\n'; exit 9"), "output_bytes")
    with pytest.raises(NonZeroExit) as caught:
        result.ensure_success()
    assert caught.value.stdout_bytes == b"\xff\n"
    assert caught.value.diagnostic == "�"


def test_exit_code_is_the_raw_code_whatever_counts_as_success(call):
    assert call(sh("exit 0").success_codes([7]), "exit_code") == 0
    assert call(sh("exit 255").success_codes([7]), "exit_code") == 255


def test_probe_knows_only_zero_and_one(call):
    assert call(sh("exit 0").success_codes([7]), "probe") is True
    assert call(sh("exit 1").success_codes([7]), "probe") is False
    with pytest.raises(NonZeroExit) as caught:
        call(sh("exit 2").success_codes([2]), "probe")
    assert caught.value.code == 2


def test_success_codes_replace_the_default(call):
    assert call(sh("echo x; exit 3").success_codes([3, 4]), "run") == "x"
    assert call(sh("exit 4").success_codes([3, 4]), "output").is_success
    with pytest.raises(NonZeroExit) as caught:
        call(sh("exit 0").success_codes([3]), "run")
    assert caught.value.code == 0
    assert not call(sh("exit 3").success_codes([3]).success_codes([5]), "output").is_success


@pytest.mark.parametrize("value", [{"a": [1, None, True]}, [], "text", 5, None, 1.5])
def test_run_json_returns_any_json_value(call, value):
    assert call(sh('printf %s "$1"', json.dumps(value)), "run_json") == value


@pytest.mark.parametrize("text", ["", "{", "nope", "[1] 2", "{'a': 1}", "[" * 200_000], ids=lambda text: text[:8] or "empty")
def test_what_is_no_json_is_invalid_json_with_a_bounded_head(call, text):
    with pytest.raises(InvalidJson, match="not valid JSON") as caught:
        call(cat().stdin_text(text), "run_json")
    error = vars(caught.value)
    assert error["program"] == cat().program
    assert text.startswith(error["stdout"])
    assert error["stdout"] == text or len(error["stdout"]) <= 2048
    assert len(str(caught.value)) < 2000


def test_a_message_ends_with_the_last_line_cut(call):
    with pytest.raises(NonZeroExit) as caught:
        call(py("import sys; sys.stderr.write('first\\n' + 'x' * 100000 + '\\n\\n'); sys.exit(1)"), "run")
    assert "first" not in str(caught.value)
    assert "xxx" in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert len(caught.value.stderr) > 100000


def test_the_runner_and_the_keyword_form_do_what_the_command_does(call):
    assert call(Runner(), "output", sh("echo x; exit 2")) == call(sh("echo x; exit 2"), "output")
    assert call(Runner(), "run", sh("echo x")) == "x"
    root = os.path.abspath(os.sep)
    assert run(shell_argv("cat"), input="héllo").stdout == "héllo"
    assert run(shell_argv("pwd"), cwd=root, env={}).stdout == root
    assert run(shell_argv("exit 3"), check=False).code == 3
    with pytest.raises(NonZeroExit):
        run(shell_argv("exit 3"))
    with pytest.raises(TypeError):
        run("ls -l")


# Decoding.


@pytest.mark.parametrize(
    ("octal", "label", "text"),
    [
        (r"a\nb\n", None, "a\nb"),
        (r"a\nb\n\n", None, "a\nb\n"),
        (r"\n", None, ""),
        (r"a\r\nb\r", None, "a\nb\r"),
        (r"\357\273\277x\303\251\377", None, "xé�"),
        (r"\351", "latin-1", "é"),
        (r"\200", "cp1252", "€"),
        (r"\202", "cp437", "é"),
        (r"\244\242", "euc_jp", "あ"),
        (r"a\0\r\0\n\0\n\001b\0", "utf-16le", "a\nĊb"),
        (r"\377\376a\0", "utf-16", "a"),
        (r"\376\377\0a", "utf_16", "a"),
        (r"\303", None, "�"),
    ],
)
def test_text_is_decoded_by_its_label_and_split_by_the_line_rules(call, octal, label, text):
    command = sh(f"printf '{octal}'; printf '{octal}' >&2")
    command = command if label is None else command.encoding(label)
    result = call(command, "output")
    assert (result.stdout, result.stderr) == (text, text)


def test_each_stream_has_its_own_encoding_and_line_terminator(call):
    command = sh(r"printf '\351\rx'; printf '\303\251\rx' >&2").stdout_encoding("latin-1").stdout_line_terminator("cr")
    assert (call(command, "output").stdout, call(command, "output").stderr) == ("é\nx", "é\rx")
    both = command.line_terminator("carriage_return").stdout_line_terminator("lf")
    assert (call(both, "output").stdout, call(both, "output").stderr) == ("é\rx", "é\nx")


def test_a_character_that_comes_in_two_reads_is_one(call):
    # The second half is written when the first has been read: FIONREAD tells how much a pipe holds; Windows waits for the reader.
    script = """
import os, struct, time
def wait_for_reader(fd):
    if os.name == "nt": return os.fsync(fd)  # FlushFileBuffers
    import fcntl, termios
    while struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]:
        time.sleep(0.001)
for fd in (1, 2):
    os.write(fd, bytes([0xC3]))
    wait_for_reader(fd)
    os.write(fd, bytes([0xA9]))
"""
    result = call(py(script), "output")
    assert (result.stdout, result.stderr) == ("é", "é")


# Standard input.


def test_without_a_source_the_child_reads_end_of_file(call):
    assert call(cat(), "output_bytes").stdout == b""


def test_a_large_input_and_a_large_output_flow_at_the_same_time(call):
    data = bytes(range(256)) * 8192
    assert call(cat().stdin_bytes(data), "output_bytes").stdout == data
    assert call(cat().stdin_bytes(memoryview(data)[::2]), "output_bytes").stdout == data[::2]
    assert call(cat().stdin_text("é☃"), "output_bytes").stdout == "é☃".encode()
    assert call(cat().stdin_bytes(b""), "output_bytes").stdout == b""


def test_a_child_that_does_not_read_its_input_is_no_error(call):
    for verb in VERBS[:4]:
        call(sh("exec <&-; echo 1").stdin_bytes(b"x" * (1 << 20)), verb)


def test_input_is_what_it_was_when_it_was_given(call):
    data = bytearray(b"before")
    command = cat().stdin_bytes(data)
    data[:] = b"after!"
    assert call(command, "run") == "before"
    assert call(command, "run") == "before"


def test_a_file_is_opened_by_each_launch(call, tmp_path):
    path = tmp_path / "input"
    command = cat().stdin_file(path)
    for text in ("one", "two" * 100_000):
        path.write_text(text)
        assert call(command, "run") == text
    path.unlink()
    for target in (path, tmp_path):
        with pytest.raises(ProcessError) as caught:
            call(command.stdin_file(target), "run")
        assert type(caught.value) is ProcessError
        assert caught.value.program == cat().program


def test_the_last_source_wins(call, tmp_path):
    path = tmp_path / "input"
    path.write_text("file")
    reader = cat()
    assert call(reader.stdin_bytes(b"bytes").stdin_text("text").stdin_file(path), "run") == "file"
    assert call(reader.stdin_file(path).stdin_bytes(b"bytes"), "run") == "bytes"
    assert call(reader.stdin_file(path).stdin_bytes(b"bytes").stdin_text("text"), "run") == "text"


def test_a_one_shot_verb_closes_an_input_that_was_kept_open(call, tmp_path):
    path = tmp_path / "input"
    path.write_text("file")
    assert call(cat().keep_stdin_open(), "run") == ""
    assert call(cat().keep_stdin_open().stdin_text("x"), "run") == "x"
    assert call(cat().stdin_file(path).keep_stdin_open(), "run") == "file"


@pytest.fixture
def our_stdin(tmp_path):
    path = tmp_path / "ours"
    path.write_text("shared")
    kept = os.dup(0)
    ours = os.open(path, os.O_RDONLY)
    os.dup2(ours, 0)
    os.close(ours)
    yield
    os.dup2(kept, 0)
    os.close(kept)


def test_an_inherited_input_is_ours_and_output_is_captured_still(call, our_stdin):
    assert call(cat().inherit_stdin(), "run") == "shared"
    assert call(cat(), "run") == ""


@pytest.mark.parametrize("other", [("stdin_bytes", b""), ("stdin_text", "x"), ("stdin_file", os.devnull), ("keep_stdin_open",)])
@pytest.mark.parametrize("verb", [*VERBS, "start"])
def test_an_inherited_input_with_another_source_is_refused_before_any_spawn(call, verb, other, tmp_path):
    base = sh(f": > {tmp_path}/ran")
    for command in (getattr(base, other[0])(*other[1:]).inherit_stdin(), getattr(base.inherit_stdin(), other[0])(*other[1:])):
        with pytest.raises(ProcessError, match="inherit_stdin") as caught:
            call(command, verb)
        assert type(caught.value) is ProcessError
    assert not (tmp_path / "ran").exists()


# Destinations.


@pytest.mark.parametrize("verb", ["output", "output_bytes", "run", "run_json"])
@pytest.mark.parametrize("where", ["inherit", "null", "file"])
def test_a_verb_that_needs_stdout_refuses_one_that_is_not_piped(call, verb, where, tmp_path):
    command = sh(f": > {tmp_path}/ran")
    command = command.stdout_file(tmp_path / "out") if where == "file" else command.stdout(where)
    with pytest.raises(ProcessError, match="not piped") as caught:
        call(command, verb)
    assert type(caught.value) is ProcessError
    assert caught.value.program == SHELL
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["inherit", "null", "file"])
def test_a_verb_that_needs_no_stdout_accepts_any(call, where, tmp_path, capfd):
    command = sh("echo said; exit 1")
    command = command.stdout_file(tmp_path / "out") if where == "file" else command.stdout(where)
    assert call(command, "exit_code") == 1
    assert call(command, "probe") is False
    assert capfd.readouterr().out == ("said\nsaid\n" if where == "inherit" else "")
    assert where != "file" or (tmp_path / "out").read_text() == "said\n"


@pytest.mark.parametrize("where", ["inherit", "null", "file"])
def test_a_stderr_that_is_not_piped_is_captured_as_nothing(call, where, tmp_path, capfd):
    command = sh("echo out; echo err >&2")
    command = command.stderr_file(tmp_path / "err") if where == "file" else command.stderr(where)
    result = call(command, "output")
    assert (result.stdout, result.stderr) == ("out", "")
    assert capfd.readouterr().err == ("err\n" if where == "inherit" else "")
    assert where != "file" or (tmp_path / "err").read_text() == "err\n"


def test_a_file_is_truncated_or_appended_to_by_each_run(call, tmp_path):
    path = tmp_path / "out"
    path.write_text("old\n")
    for _ in range(2):
        call(sh("echo new >&2").stderr_file(path), "output")
    assert path.read_text() == "new\n"
    for _ in range(2):
        call(sh("echo more").stdout_file(path, append=True), "exit_code")
    assert path.read_text() == "new\nmore\nmore\n"


def test_a_file_that_cannot_be_opened_is_a_process_error_at_launch(call, tmp_path):
    for command in (sh(f": > {tmp_path}/ran").stdout_file(tmp_path / "no" / "out"), sh("true").stderr_file(tmp_path)):
        with pytest.raises(ProcessError) as caught:
            call(command, "exit_code")
        assert type(caught.value) is ProcessError
        assert caught.value.program == SHELL
    assert os.listdir(tmp_path) == []


def test_a_later_mode_cancels_a_redirect_and_never_touches_the_file(call, tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    result = call(sh("echo x; echo y >&2").stdout_file(path).stderr_file(path).stdout("pipe").stderr("PIPED"), "output")
    assert (result.stdout, result.stderr) == ("x", "y")
    assert path.read_text() == "old"


# Environment.


def test_overrides_apply_to_our_environment_as_it_is_at_the_spawn(call, monkeypatch):
    command = sh('echo "$LATE-$SET-${GONE-unset}"').env("SET", "no").env("SET", "yes").env("GONE", "x").env_remove("GONE")
    monkeypatch.setenv("LATE", "one")
    assert call(command, "run") == "one-yes-unset"
    monkeypatch.setenv("LATE", "two")
    assert call(command.envs({"LATE": "three", "GONE": "back"}), "run") == "three-yes-back"
    assert call(command, "run") == "two-yes-unset"


def test_a_cleared_environment_holds_what_was_set_and_inherited_in_any_order(call, monkeypatch):
    monkeypatch.setenv("KEEP", "kept")
    monkeypatch.setenv("MORE", "more")
    monkeypatch.setenv("DROP", "dropped")
    steps = [
        ("env_clear",),
        ("inherit_env", ["KEEP", "ABSENT"]),
        ("env", "SET", "set"),
        ("inherit_env", ["MORE"]),
        ("env", "MORE", "mine"),
    ]
    for order in (steps, steps[::-1], steps[1:]):
        command = show_env()
        for name, *words in order:
            command = getattr(command, name)(*words)
        assert given(call(command, "run")) == ["KEEP=kept", "MORE=mine", "SET=set"]
    assert given(call(show_env().env_clear(), "run")) == []
    assert given(call(show_env().inherit_env([]), "run")) == []


def test_values_of_any_bytes_reach_the_child(call):
    for text in ("a=b", "", "é☃", "\udcff", "line\nline", " x "):
        result = call(
            py("import os, sys; os.write(1, os.fsencode(os.environ['V']) + os.fsencode(sys.argv[1]))", text).env("V", text),
            "output_bytes",
        )
        assert result.stdout == os.fsencode(text) * 2


# Time limits.


def test_no_timeout_and_none_clear_an_earlier_limit(call):
    slow = sh("sleep 0.3; echo done").timeout(0.01)
    assert call(slow.no_timeout(), "run") == "done"
    assert call(slow.timeout_opt(None), "run") == "done"
    assert call(slow.timeout_opt(LONG), "run") == "done"
    assert call(slow.no_timeout().timeout(0.01), "output").timed_out


def test_a_timeout_kills_the_whole_tree_even_one_that_ignores_signals(call, tmp_path):
    script = f"trap '' TERM INT HUP; sleep 1000 & echo $! > {tmp_path}/pid; echo ready; while :; do sleep 1000; done"
    result = call(sh(script).timeout(soon(1)), "output")
    assert result.timed_out
    assert result.stdout == "ready"
    assert not alive(int((tmp_path / "pid").read_text()))


@needs_signals
@pytest.mark.parametrize(
    ("name", "trapped"), [(None, "TERM"), ("int", "INT"), (getattr(signal, "SIGUSR1", None), "USR1"), ("SIGHUP", "HUP")]
)
def test_a_grace_begins_with_the_signal_and_ends_with_the_tree(call, name, trapped):
    command = sh(f"trap 'echo bye; exit 0' {trapped}; echo hi; while :; do sleep 0.02; done").timeout(0.7).timeout_grace(1000)
    command = command if name is None else command.timeout_signal(name)
    result = call(command, "output")
    assert (result.stdout, result.timed_out, result.code, result.signal) == ("hi\nbye", True, None, None)


@needs_signals
def test_a_grace_is_for_the_whole_tree(call, tmp_path):
    # The direct child ends at once; what it started still tidies up.
    child = f"trap 'sleep 0.2; : > {tmp_path}/tidy; exit' TERM; while :; do sleep 0.02; done"
    result = call(sh(f"({child}) >/dev/null 2>&1 & echo hi; exec sleep 1000").timeout(0.7).timeout_grace(1000), "output")
    assert result.timed_out
    assert (tmp_path / "tidy").exists()


@pytest.mark.parametrize("grace", [0, 0.1])
def test_what_outlives_its_grace_is_killed(call, grace):
    result = call(sh("trap '' TERM; echo hi; while :; do sleep 1000; done").timeout(soon(0.5)).timeout_grace(grace), "output")
    assert (result.stdout, result.timed_out) == ("hi", True)


def test_a_child_that_closed_its_streams_is_killed_at_the_end_of_its_grace_too(call):
    result = call(sh("trap '' TERM; exec >&- 2>&-; while :; do sleep 1000; done").timeout(soon(0.2)).timeout_grace(0.1), "output")
    assert result.timed_out


# The end of a capture.


def test_a_descendant_that_holds_the_pipes_is_ended_and_counted(call):
    started = time.monotonic()
    for verb in CAPTURING:
        result = call(sh("sleep 1000 & echo $!"), verb)
        assert result.is_success
        assert result.leaked == 1
        assert not alive(int(result.stdout))
    assert time.monotonic() - started < LONG
    assert call(sh("sleep 1000 & exit 3").timeout(500), "exit_code") == 3


def test_a_descendant_that_holds_no_pipe_is_ended_and_counted_too(call, mechanism):
    result = call(sh("sleep 1000 >/dev/null 2>&1 & sleep 1000 >/dev/null 2>&1 & echo $!"), "output")
    assert result.leaked == 2
    assert result.mechanism == mechanism
    assert not alive(int(result.stdout))


def test_a_grandchild_in_its_own_session_does_not_keep_the_verb_waiting(call, mechanism):
    result = call(sh("setsid sleep 1000 & echo $!; exit 5"), "output")
    assert result.code == 5
    pid = int(result.stdout)
    if mechanism != "process_group":
        assert not alive(pid)
    elif alive(pid):
        census.kill(pid)  # what leaves its group and loses its parent is out of reach of process_group
    wait_until(lambda: not alive(pid))


def test_a_verb_leaves_nothing_behind_when_it_raises(call, mechanism, tmp_path):
    with pytest.raises(NonZeroExit):
        call(sh(f"sleep 1000 & echo $! > {tmp_path}/pid; exit 3"), "run")
    assert not alive(int((tmp_path / "pid").read_text()))


def test_ctrl_c_interrupts_a_blocked_verb_and_kills_the_tree(in_child_env, tmp_path):
    child = f"sleep 1000 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    script = inspect.cleandoc(f"""
        import _thread, os, threading, time
        from processkit import run
        def interrupt():
            while not os.path.exists({str(tmp_path / "now")!r}):
                time.sleep(0.01)
            _thread.interrupt_main()  # what a console does on Ctrl+C
        if {not POSIX}: threading.Thread(target=interrupt, daemon=True).start()
        try:
            run({shell_argv(child)!r})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    with py(script).envs(in_child_env).start() as outer:
        wait_until((tmp_path / "pid").exists)
        if POSIX:
            os.kill(outer.pid, signal.SIGINT)
        (tmp_path / "now").touch()
        assert outer.output().stdout == "interrupted"
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_set_of_accepted_codes_has_no_order():
    one, other = (sh("exit 3").success_codes(codes).output() for codes in ([0, 3], [3, 0, 3]))
    assert one == other
