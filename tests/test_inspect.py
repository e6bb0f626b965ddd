"""What can be asked without running anything, value types, logging, names: api.md §0, §5, §7, §20, §21, §25."""

import copy
import inspect
import json
import logging
import multiprocessing
import os
import pickle
import re
import sys
import threading
import time

import pytest
from programs import POSIX, open_handles, sh, sleep, true

import processkit
from processkit import (
    BytesResult,
    Command,
    DetachedChild,
    Finished,
    HostContainment,
    MemberInfo,
    NonZeroExit,
    Outcome,
    PermissionDenied,
    ProcessError,
    ProcessGroup,
    ProcessNotFound,
    ProcessResult,
    ProcessRunner,
    Runner,
    StreamingRunner,
    Timeout,
    WaitTimeout,
    enable_logging,
    host_containment,
    process_info,
    process_is_alive,
    which,
)

SLEEP = sleep(1000)
# A program that every such system has in its PATH.
TOOL = "sh" if POSIX else "cmd"


# Processes.


def started_at(pid, start):
    """Whether `start` is when `pid` started: what /proc tells, or a FILETIME of just now."""
    if not POSIX:
        return abs(start / 1e7 - 11644473600 - time.time()) < 60
    with open(f"/proc/{pid}/stat") as file:
        return start == int(file.read().rpartition(")")[2].split()[19])


def test_process_info_identifies_a_live_process():
    with SLEEP.start() as process:
        info = process_info(process.pid)
        assert type(info) is MemberInfo
        assert (info.pid, info.ppid, info.exe_name) == (process.pid, os.getpid(), os.path.basename(SLEEP.program))
        assert started_at(process.pid, info.start_time)
        assert process_is_alive(process.pid)
        assert process_is_alive(process.pid, info.start_time)
        assert not process_is_alive(process.pid, info.start_time + 1)
        assert process_is_alive(process.pid, None)
        pid = process.pid
    assert process_info(pid) is None
    assert not process_is_alive(pid)
    assert not process_is_alive(pid, info.start_time)


def test_a_zombie_is_dead():
    with sh("exit 0").start() as process:
        processkit.wait_any([process])
        assert process_info(process.pid) is None
        assert not process_is_alive(process.pid)


def test_a_thread_is_no_process():
    ids = []
    release = threading.Event()
    thread = threading.Thread(target=lambda: (ids.append(threading.get_native_id()), release.wait()))
    thread.start()
    try:
        while not ids:
            pass
        assert process_info(ids[0]) is None
        assert process_is_alive(os.getpid())
    finally:
        release.set()
        thread.join()


@pytest.mark.parametrize("pid", [0, 2**31 - 1, 2**31, 0xFFFFFFFF])
def test_a_pid_that_nobody_has_is_none(pid):
    assert process_info(pid) is None
    assert process_is_alive(pid) is False
    assert process_is_alive(pid, 5) is False


@pytest.mark.parametrize("ask", [process_info, process_is_alive])
def test_a_pid_is_an_unsigned_number(ask):
    for pid in (-1, 2**32, -(2**70), 2**70):
        with pytest.raises(OverflowError):
            ask(pid)
    for pid in ("1", 1.0, None):
        with pytest.raises(TypeError):
            ask(pid)


def test_host_containment_tells_what_a_group_would_use(mechanism):
    found = host_containment()
    assert type(found) is HostContainment
    assert repr(found).startswith("HostContainment(")
    assert found == host_containment()
    assert (found.mechanism, found.version) == (mechanism, processkit.__version__)
    assert found.soft_stop_scope == ("whole_tree" if POSIX else "opt_in_members")
    assert found.launcher in (("clone3", "clone", "fork") if POSIX else ("CreateProcessW",))
    assert found.guardian in (("python", "sh", "none") if POSIX else ("none",))
    scope = Command.kill_on_parent_death_scope()
    assert found.parent_death_cleanup == {"unsupported": "none"}.get(scope, scope)
    with ProcessGroup() as group:
        assert (group.mechanism, group.soft_stop_scope) == (found.mechanism, found.soft_stop_scope)


def child_python(script, in_child_env, *options):
    return Command(sys.executable, [*options, "-c", inspect.cleandoc(script)]).envs(in_child_env).timeout(60).output()


def test_asking_starts_nothing_and_makes_nothing(in_child_env):
    # On Windows a lock of an old interpreter is a handle, and a module has some.
    script = f"""
        import ctypes, os, threading
        import processkit
        {"" if POSIX else "import processkit._os"}
        open_handles()
        before = open_handles()
        said = processkit.host_containment()
        processkit.which({TOOL!r})
        processkit.process_info({os.getpid()})
        processkit.Command.kill_on_parent_death_scope()
        assert open_handles() == before
        assert threading.active_count() == 1
        with processkit.ProcessGroup() as group:
            assert group.mechanism == said.mechanism
        print("same")
    """
    result = child_python(inspect.getsource(open_handles) + inspect.cleandoc(script), in_child_env, "-W", "error")
    assert (result.stdout, result.stderr) == ("same", "")


def test_which_is_the_lookup_of_a_command(monkeypatch, tmp_path):
    assert which(TOOL) == Command(TOOL).resolve_program()
    assert os.path.isabs(which(TOOL))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProcessNotFound) as caught:
        which(TOOL)
    assert (caught.value.program, caught.value.searched) == (TOOL, str(tmp_path))
    with pytest.raises(TypeError):
        which(TOOL.encode())


# Values.

OUTCOME = Outcome(3, None, False)


def values():
    with SLEEP.start() as process:
        info = process_info(process.pid)
    with ProcessGroup() as group:
        stats, report = group.stats(), group.stop(0)
    failed = sh("echo x; echo y >&2; exit 3").output()
    return [
        OUTCOME, Outcome(None, 9, False), Outcome(None, None, True), Finished(OUTCOME, "err"), failed, sh("printf x").output_bytes(),
        info, host_containment(), stats, report, DetachedChild(5),
    ]  # fmt: skip


POOL = """
import copy, multiprocessing, pickle, sys

if __name__ == "__main__":
    values = [pickle.loads(value) for value in pickle.load(open(sys.argv[2], "rb"))]
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        assert pool.map(copy.copy, values) == values
        assert pool.map(repr, values) == [repr(value) for value in values]
        if sys.argv[1] == "fork":
            assert pool.map(hash, values) == [hash(value) for value in values]
        pool.close()
        pool.join()
    print("equal")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_values_go_to_another_process_and_back(method, in_child_env, tmp_path):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"multiprocessing does not start processes by {method} here")
    (tmp_path / "main.py").write_text(POOL)
    (tmp_path / "values").write_bytes(pickle.dumps([pickle.dumps(value) for value in values()]))
    words = ["-W", "ignore::DeprecationWarning", str(tmp_path / "main.py"), method, str(tmp_path / "values")]
    result = Command(sys.executable, words).envs(in_child_env).timeout(60).output()
    assert (result.stdout, result.stderr) == ("equal", "")


def test_values_are_immutable_compared_by_value_copied_and_shown():
    for value in values():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(value, protocol))
            assert type(again) is type(value)
            assert again == value
            assert hash(again) == hash(value)
            assert repr(again) == repr(value)
        assert copy.copy(value) == value
        assert copy.deepcopy(value) == value
        assert value != object()
        assert value != None  # noqa: E711
        assert repr(value).startswith(type(value).__name__ + "(")
        for name in ("code", "new_name", "_values", "__class__"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(value, name, 5)
        for name in ("misspelt", "__dict__"):
            assert not hasattr(value, name)
        assert not hasattr(type(value), "__bool__")
        assert not hasattr(type(value), "__len__")


def test_an_outcome_is_one_of_three():
    assert (OUTCOME.code, OUTCOME.signal, OUTCOME.timed_out, OUTCOME.exited_zero) == (3, None, False, False)
    assert Outcome(0, None, False).exited_zero
    assert not Outcome(None, None, True).exited_zero
    assert not hasattr(OUTCOME, "is_success")
    assert Outcome(0, None, False) != Outcome(None, 0, False)
    assert Outcome(0, None, False) != Outcome(False, None, True)


def test_a_round_trip_of_a_result_keeps_every_property():
    for result in (sh("echo x; echo y >&2; exit 3").success_codes([3]).timeout(50).output(), sh("printf x").output_bytes()):
        again = pickle.loads(pickle.dumps(result))
        names = [name for name in dir(result) if not name.startswith("_") and name != "ensure_success"]
        assert {"stdout", "stderr", "code", "signal", "timed_out", "is_success", "outcome", "program"} <= set(names)
        assert {name: getattr(again, name) for name in names} == {name: getattr(result, name) for name in names}
        assert again.ensure_success() is again


def test_exceptions_are_pickled_with_their_fields():
    with pytest.raises(NonZeroExit) as caught:
        sh("echo x; exit 3").run()
    with pytest.raises(ProcessNotFound) as missing:
        Command("no-such-program-here").run()
    with pytest.raises(PermissionDenied) as denied:
        Command("/").run()
    late = WaitTimeout("late", timeout_seconds=1.5, host="h", port=2, path="p")
    for error in (caught.value, missing.value, denied.value, late):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        assert getattr(again, "errno", None) == getattr(error, "errno", None)


# Exceptions.

BASES = {
    "NonZeroExit": (), "Timeout": (TimeoutError,), "Signalled": (), "ProcessNotFound": (FileNotFoundError,),
    "PermissionDenied": (PermissionError, OSError), "ResourceLimit": (), "Unsupported": (), "OutputTooLarge": (), "Cancelled": (),
    "IdleTimeout": (), "InvalidJson": (),
}  # fmt: skip


@pytest.mark.parametrize("name", BASES)
def test_an_exception_is_a_process_error_and_what_python_calls_it(name):
    kind = getattr(processkit, name)
    assert issubclass(kind, (ProcessError, *BASES[name]))
    assert all(issubclass(kind, base) for base in BASES[name])
    assert str(kind("message")) == "message"
    assert issubclass(kind, OSError) == any(issubclass(base, OSError) for base in BASES[name])


def test_a_bare_exception_has_the_documented_defaults():
    assert Timeout("x").timeout_seconds is None
    assert ProcessNotFound("x").searched is None
    assert PermissionDenied("x").program is None
    late = WaitTimeout("late", timeout_seconds=3.0)
    assert (str(late), late.timeout_seconds, late.host, late.port, late.path) == ("late", 3.0, None, None, None)
    assert isinstance(late, TimeoutError)
    with pytest.raises(TypeError):
        WaitTimeout("late", 3.0)
    assert not issubclass(processkit.IdleTimeout, Timeout)
    assert not issubclass(processkit.InvalidJson, NonZeroExit)


# Names.


def test_all_is_sorted_unique_and_importable():
    names = processkit.__all__
    assert names == sorted(set(names))
    for name in names:
        assert getattr(processkit, name) is not None
    assert set(names) <= set(dir(processkit))
    with pytest.raises(AttributeError, match="no_such_name"):
        processkit.no_such_name
    for name in ("Reply", "ScriptedRunner", "Invocation"):
        assert not hasattr(processkit, name)


def test_what_is_public_says_that_it_is_processkits():
    for name in processkit.__all__:
        value = getattr(processkit, name)
        if isinstance(value, type) or inspect.isfunction(value):
            assert value.__module__ == "processkit", name
            assert value.__name__ == name


def test_the_version_is_a_literal():
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", processkit.__version__)
    assert os.path.exists(os.path.join(os.path.dirname(processkit.__file__), "py.typed"))


def test_runners_satisfy_the_protocols():
    assert isinstance(Runner(), StreamingRunner)
    assert isinstance(Runner(), ProcessRunner)
    assert not isinstance(Command("x"), type)
    assert not isinstance(object(), ProcessRunner)
    with pytest.raises(TypeError):
        pickle.dumps(Runner())
    assert Runner() != Runner()


# Logging.


@pytest.fixture
def records():
    """Records of a logger of the test's own, and that logger."""
    kept = []
    handler = logging.Handler()
    handler.emit = kept.append
    logger = logging.getLogger("test.processkit")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield kept, logger
    logger.removeHandler(handler)


def test_a_run_is_logged_with_fields_and_without_secrets(records, tmp_path):
    kept, logger = records
    command = sh("echo secret-output", "secret-arg").env("NAME", "secret-value").cwd(tmp_path).logger(logger)
    result = command.output()
    assert [record.levelno for record in kept] == [logging.DEBUG, logging.DEBUG]
    spawned, exited = kept
    assert spawned.getMessage().startswith("child spawned")
    assert (spawned.program, spawned.pid, spawned.mechanism) == (command.program, result.pid, result.mechanism)
    assert f"pid={result.pid}" in spawned.getMessage()
    assert exited.getMessage().startswith("process exited")
    assert (exited.program, exited.elapsed_ms >= 0) == (command.program, True)
    text = json.dumps([vars(record) for record in kept], default=str)
    assert "secret" not in text
    assert str(tmp_path) not in text


def test_a_timeout_is_a_warning(records):
    kept, logger = records
    SLEEP.timeout(0.1).logger(logger).output()
    (warning,) = [record for record in kept if record.levelno == logging.WARNING]
    assert warning.getMessage().startswith("timeout elapsed")
    assert (warning.program, warning.timeout_ms) == (sleep().program, 100)


def test_a_group_logs_for_its_members_and_its_end(records, mechanism):
    kept, logger = records
    with ProcessGroup(logger=logger) as group:
        group.run(sh("echo x"))
        group.kill_all()
    messages = [record.getMessage() for record in kept]
    assert [message.split(" ")[:2] for message in messages[:3]] == [
        ["child", "spawned"],
        ["process", "exited"],
        ["group", "kill"],
    ]
    assert f"mechanism={mechanism}" in messages[2]
    assert any("members_before=0" in message and "drained=True" in message for message in messages[3:])


def test_without_a_logger_records_go_to_processkits_own(caplog):
    assert enable_logging() is True
    assert enable_logging() is True
    with caplog.at_level(logging.DEBUG, logger="processkit"):
        sh("exit 0").output()
    assert {record.name for record in caplog.records} == {"processkit"}
    assert len(caplog.records) == 2
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="processkit"):
        sh("exit 0").output()
    assert caplog.records == []


def test_logging_is_not_imported_for_a_program_that_did_not(in_child_env):
    run = f"processkit.Command({true().program!r}, {true().arguments!r}).output()"
    script = f"import sys, processkit; {run}; print('logging' in sys.modules)"
    assert child_python(script, in_child_env).stdout == "False"


def test_results_are_made_by_the_library_only_of_their_type():
    assert type(sh("exit 0").output()) is ProcessResult
    assert type(sh("exit 0").output_bytes()) is BytesResult
