"""What is Windows' own: jobs, handles, command lines, scripts, consoles, completion ports. Run on Windows only."""

import _thread
import asyncio
import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import pytest
from programs import cat, py, sh, sleep, true, wait_until

from processkit import (
    Command,
    PermissionDenied,
    ProcessError,
    ProcessGroup,
    ProcessNotFound,
    Unsupported,
    process_info,
    process_is_alive,
    which,
)
from processkit._abi import windows
from processkit._core.cmdline import command_line
from processkit._os.windows import containers as jobobject
from processkit._os.windows import job as jobs
from processkit._os.windows import loops as winloops
from processkit._os.windows import spawn as winspawn
from processkit._os.windows import waiting as winwaiting
from processkit._os.windows.handles import Handles

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
shell32 = ctypes.WinDLL("shell32")
PROCESS_QUERY_INFORMATION = 0x400
ALPHABET = "ab \\\"\t%^&'é☃\U0001f600"


def words(count, seed=11):
    chance = random.Random(seed)
    return ["".join(chance.choices(ALPHABET, k=chance.randrange(12))) for _ in range(count)]


# Command lines.


def test_windows_itself_takes_a_command_line_apart_as_it_was_meant():
    split = shell32.CommandLineToArgvW
    split.restype = ctypes.POINTER(ctypes.c_wchar_p)
    split.argtypes = [ctypes.c_wchar_p, ctypes.c_void_p]
    every = words(2000)
    for start in range(0, len(every), 8):
        asked = ["C:\\a b\\x.exe", *every[start : start + 8]]
        count = ctypes.c_int()
        found = split(command_line(asked), ctypes.byref(count))
        assert [found[index] for index in range(count.value)] == asked


def test_a_real_child_gets_the_words_it_was_given():
    asked = words(300)
    assert py("import json, sys; print(json.dumps(sys.argv[1:]))", *asked).run_json() == asked


def test_a_command_line_that_windows_cannot_take_is_a_typed_error():
    with pytest.raises(ProcessError, match="too long"):
        Command(sys.executable, ["x" * 40000]).run()


def script(tmp_path, name="say.cmd", text="@echo [%1][%2]\r\n@exit /b 3\r\n"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_a_batch_script_runs_with_its_arguments_and_its_exit_code(tmp_path):
    result = Command(script(tmp_path), ["one two", "three"]).output()
    assert (result.stdout, result.code) == ('["one two"]["three"]', 3)


@pytest.mark.parametrize("word", ["a\nb", "a\rb"])
def test_a_batch_script_is_not_given_what_cmd_would_take_for_the_end_of_a_line(tmp_path, word):
    with pytest.raises(ProcessError, match="line end"):
        Command(script(tmp_path), [word]).output()


def test_an_argument_of_a_batch_script_starts_no_second_program(tmp_path):
    proof = tmp_path / "proof"
    for word in (f'" & echo x > "{proof}', f"& echo x > {proof}", f'"& echo x > {proof} &"'):
        Command(script(tmp_path), [word]).output()
    assert not proof.exists()


# Lookup.


def test_a_bare_name_gets_the_extensions_of_pathext_and_the_current_directory_is_not_searched(tmp_path, monkeypatch):
    made = script(tmp_path, "greet.cmd", "@echo hello\r\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProcessNotFound):
        Command("greet").output()
    quoted = f'"{tmp_path}";{os.environ["PATH"]}'
    assert Command("greet").env("PATH", quoted).run() == "hello"
    assert Command("greet").prefer_local(tmp_path).resolve_program().lower() == str(made).lower()
    assert which(str(tmp_path / "greet")).lower() == str(made).lower()


def test_a_directory_is_no_program(tmp_path):
    with pytest.raises(PermissionDenied):
        Command(tmp_path).output()


def test_environment_names_are_one_whatever_their_case():
    command = py("import os; print(os.environ['NAME'], len([n for n in os.environ if n.upper() == 'NAME']))")
    assert command.env("Name", "a").env("NAME", "b").env("name", "c").run() == "c 1"
    assert command.env("NAME", "b").env("Name", "a").env("NAME", "d").run() == "d 1"
    assert py("import os; print('NAME' in os.environ)").env("NAME", "b").env_remove("nAmE").run() == "False"


# Jobs.


def in_job(pid, job):
    with Handles() as owned:
        process = owned.own(windows.OpenProcess(PROCESS_QUERY_INFORMATION, False, pid))
        inside = ctypes.c_int()
        windows.IsProcessInJob(process, job, ctypes.byref(inside))
        return bool(inside.value)


@pytest.fixture(params=["born in its job", "assigned before it begins"])
def way(request, monkeypatch):
    monkeypatch.setattr(winspawn, "_born_in_job", request.param == "born in its job")


def test_a_child_is_in_its_job_and_in_the_group_s_on_either_way_of_starting_it(way):
    with ProcessGroup() as group:
        process = group.start(sleep())
        assert in_job(process.pid, process._child.tree.handle)
        assert in_job(process.pid, group._container.tree.handle)
        grandchild = group.start(sh("sleep 1000 & wait"))
        wait_until(lambda: len(process._child.tree.members()) == 1 and len(grandchild._child.tree.members()) == 2)


@pytest.mark.parametrize("call", ["AssignProcessToJobObject", "SetProcessAffinityMask", "ResumeThread"])
def test_a_spawn_that_fails_after_the_process_exists_leaves_nothing(monkeypatch, call):
    def refuse(*_):
        raise OSError(0, f"{call}: made up", None, windows.ERROR_INVALID_PARAMETER)

    monkeypatch.setattr(winspawn, "_born_in_job", False)
    monkeypatch.setattr(windows, call, refuse if call != "ResumeThread" else lambda *_: windows.WAIT_FAILED)
    with pytest.raises(ProcessError):
        sleep().cpu_affinity([0]).output()


def test_a_job_of_somebody_else_that_lets_nobody_in_is_an_error_that_says_what_to_do(monkeypatch):
    def refuse(*_):
        raise OSError(0, "AssignProcessToJobObject: made up", None, windows.ERROR_ACCESS_DENIED)

    monkeypatch.setattr(winspawn, "_born_in_job", False)
    monkeypatch.setattr(windows, "AssignProcessToJobObject", refuse)
    with pytest.raises(ProcessError, match="CREATE_BREAKAWAY_FROM_JOB"):
        sleep().output()


def test_a_limit_is_taken_or_refused_but_never_dropped():
    job = jobs.Job()
    try:
        for limits in ((1 << 28, None, None), (None, 5, None), (None, None, 0.5)):
            refusal = None
            try:
                job.limit(*limits)
            except jobs.LimitNotTaken as refused:
                refusal = str(refused)
            if refusal is not None:
                assert limits[("max_memory", "max_processes", "cpu_quota").index(refusal)] is not None
            else:
                taken = job._limits()
                assert limits[0] in (None, taken.JobMemoryLimit)
                assert limits[1] in (None, taken.BasicLimitInformation.ActiveProcessLimit)
    finally:
        job.close()


def test_a_group_that_is_limited_still_dies_with_us():
    group = ProcessGroup()
    job = group._container.tree
    try:
        job.limit(1 << 28, None, None)
    except jobs.LimitNotTaken:
        pass
    process = group.start(sleep())
    pid = process.pid
    handle = windows.OpenProcess(windows.SYNCHRONIZE, False, pid)
    with Handles() as owned:
        owned.own(handle)
        process._child.tree.close()
        job.close()  # as our death would
        assert windows.WaitForSingleObject(handle, 10000) == windows.WAIT_OBJECT_0
    group.shutdown()
    process._close()


def test_the_number_of_members_does_not_fit_the_first_guess():
    job = jobs.Job()
    try:
        assert job.members() == []
    finally:
        job.close()
    with ProcessGroup() as group:
        started = [group.start(true().stdout("null").stderr("null")) for _ in range(3)]
        assert [process.outcome().code for process in started] == [0, 0, 0]


# Handles.


def inheritable(handle):
    flags = ctypes.c_uint32()
    assert kernel32.GetHandleInformation(ctypes.c_void_p(handle), ctypes.byref(flags))
    return bool(flags.value & windows.HANDLE_FLAG_INHERIT)


def test_no_handle_of_ours_can_be_inherited():
    with sleep().keep_stdin_open().start() as process:
        child = process._child
        for handle in (child.ended, child.stream(0), child.stream(1), child.stream(2), child.tree.handle, child.tree.port.handle):
            assert not inheritable(handle)


def test_children_that_are_started_at_once_do_not_hold_each_other_s_pipes():
    readers = []

    def start():
        readers.append(cat().keep_stdin_open().start())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each ends when its own stdin is closed, though the others live: nobody else holds the other end.
    for process in readers:
        assert process.output().code == 0


# The end of a process.


def test_a_crash_is_a_negative_code_and_our_kill_a_signal():
    assert py("import os; os._exit(-1073741819)").exit_code() == -1073741819
    with sleep().start() as process:
        process.kill()
        assert process.outcome().signal == 9
    assert sh("exit 137").exit_code() == 137


def test_an_end_that_no_message_told_of_is_noticed_all_the_same(monkeypatch):
    monkeypatch.setattr(winwaiting.Waiter, "_message", lambda *_: None)
    assert sh("echo x").run() == "x"


def test_what_is_asked_of_main_while_it_waits_is_heard():
    threading.Timer(0.3, _thread.interrupt_main).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sleep().output()
    assert time.monotonic() - began < 5


# Event loops.


def on(loop, coroutine):
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def sixteen():
    text = "x" * 100_000
    results = await asyncio.gather(*[cat().stdin_text(text).aoutput() for _ in range(16)])
    return {(result.code, result.stdout == text) for result in results}


def test_the_proactor_needs_no_thread_of_ours(monkeypatch):
    monkeypatch.setattr(winloops, "_OnThread", None)
    assert on(asyncio.ProactorEventLoop(), sixteen()) == {(0, True)}


def test_a_loop_that_knows_nothing_but_sockets_works_as_well():
    assert on(asyncio.SelectorEventLoop(), sixteen()) == {(0, True)}


@pytest.mark.parametrize("kind", ["ProactorEventLoop", "SelectorEventLoop"])
def test_a_cancelled_run_and_one_that_is_too_slow_leave_nothing(kind):
    async def both():
        task = asyncio.ensure_future(sh("echo x; sleep 1000 & sleep 1000").aoutput())
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await sh("echo x; sleep 1000 & sleep 1000").timeout(5.0).aoutput()

    result = on(getattr(asyncio, kind)(), both())
    assert (result.timed_out, result.stdout) == (True, "x")


# Identity.


def test_a_number_that_is_nobodys_is_not_taken_for_its_neighbour():
    with sleep().start() as process:
        for number in (process.pid + 1, process.pid + 2, process.pid + 3):
            assert not process_is_alive(number)
            assert process_info(number) is None
        with ProcessGroup() as group, pytest.raises(ProcessError):
            group.adopt_external(process.pid + 1)


def test_a_program_that_is_called_like_the_one_that_hosts_consoles_is_a_member(tmp_path):
    program = tmp_path / "conhost.exe"
    shutil.copy(os.environ["COMSPEC"], program)
    with ProcessGroup(shutdown_grace=0) as group:
        member = group.start(Command(program).keep_stdin_open())
        wait_until(lambda: group.members() == [member.pid])  # who is being born has no program yet
        assert group.stop(0).members_before == 1
    assert not process_is_alive(member.pid)


# Attributes.


def test_a_processor_of_another_group_is_refused_and_not_left_out():
    with pytest.raises(ProcessError):
        sleep().cpu_affinity([0, 64]).start()


def test_priority_classes_and_affinity_are_the_child_s_from_its_start():
    code = (
        "import ctypes, json; k = ctypes.WinDLL('kernel32'); k.GetCurrentProcess.restype = ctypes.c_void_p\n"
        "a, b = ctypes.c_size_t(), ctypes.c_size_t(); h = ctypes.c_void_p(k.GetCurrentProcess())\n"
        "k.GetProcessAffinityMask(h, ctypes.byref(a), ctypes.byref(b)); print(json.dumps([k.GetPriorityClass(h), a.value]))"
    )
    classes = {"idle": 0x40, "below_normal": 0x4000, "normal": 0x20, "above_normal": 0x8000, "high": 0x80}
    assert py(code).cpu_affinity([0]).run_json()[1] == 1
    plain = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, creationflags=subprocess.IDLE_PRIORITY_CLASS
    )
    if json.loads(plain.stdout)[0] != classes["idle"]:
        pytest.skip("CreateProcessW drops priority classes here, the standard library's too")
    for name, value in classes.items():
        assert py(code).priority(name).run_json()[0] == value


@pytest.mark.parametrize(
    ("operation", "build"),
    [
        ("uid", lambda command: command.uid(0)),
        ("gid", lambda command: command.gid(0)),
        ("groups", lambda command: command.groups([0])),
        ("setsid", lambda command: command.setsid()),
        ("umask", lambda command: command.umask(0)),
        ("rlimit", lambda command: command.rlimit("core", 0, 0)),
        ("io_priority", lambda command: command.io_priority("idle")),
        ("arg0", lambda command: command.arg0("other")),
    ],
)
def test_what_windows_has_not_is_unsupported_and_says_which(operation, build):
    with pytest.raises(Unsupported) as refused:
        build(true()).run()
    assert refused.value.operation == operation


def test_a_signal_that_is_not_kill_is_unsupported_and_the_group_lives_on():
    with ProcessGroup() as group:
        process = group.start(sleep())
        for signal in ("term", "int", 15):
            with pytest.raises(Unsupported) as refused:
                group.signal(signal)
            assert refused.value.operation == "signal"
        assert process.poll() is None
        group.signal("kill")
        assert process.outcome().signal == 9


def test_a_suspended_tree_stands_still_and_goes_on(tmp_path):
    path = tmp_path / "count"
    code = "import sys, time\nfor n in range(10**6):\n open(sys.argv[1], 'w').write(str(n)); time.sleep(0.01)"

    def said():
        return path.read_text() if path.exists() else ""

    with ProcessGroup() as group:
        group.start(py(code, str(path)))
        wait_until(said)
        group.suspend()
        group.suspend()
        still = said()
        time.sleep(0.3)
        assert said() in (still, "")
        group.resume()
        wait_until(lambda: said() not in ("", still))


def test_who_has_a_console_group_is_asked_first():
    if not winspawn.has_console():
        pytest.skip("this process has no console, so nobody in it can be asked")
    command = py("import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('asked')").windows_graceful_ctrl_break()
    with ProcessGroup() as group:
        process = group.start(command)
        report = group.stop(2.0)
        assert report.soft_signal in ("sent", "unsupported")
        process.outcome()


WRAPPER = """
import ctypes, os, sys, threading, time
kernel32 = ctypes.WinDLL("kernel32")
kernel32.FreeConsole()
for number in (-10, -11, -12):
    kernel32.SetStdHandle(number, None)  # or what was there before stays in use
assert kernel32.AllocConsole()
from processkit._cli import main_and_exit
path = sys.argv[1]

def press():
    while not (os.path.exists(path) and open(path).read().endswith(".")):
        time.sleep(0.01)
    kernel32.GenerateConsoleCtrlEvent(0, 0)

threading.Thread(target=press, daemon=True).start()
child = "import ctypes, os, sys, time; ctypes.WinDLL('kernel32').SetConsoleCtrlHandler(None, 1)"
child += "; open(sys.argv[1], 'w').write(str(os.getpid()) + '.'); time.sleep(1000)"
sys.argv = ["processkit", "run", "--", sys.executable, "-c", child, path]
main_and_exit()
"""


def test_ctrl_c_on_the_console_of_the_wrapper_ends_a_tree_that_ignores_it(tmp_path, in_child_env):
    path = tmp_path / "pid"
    wrapper = subprocess.run([sys.executable, "-c", WRAPPER, str(path)], env=in_child_env, timeout=60)
    assert wrapper.returncode == 130
    assert not process_is_alive(int(path.read_text().strip(".")))


def test_a_detached_child_is_outside_every_job_of_ours_and_can_be_ended_by_its_pid(tmp_path):
    path = tmp_path / "said"
    child = py("import os, sys; print(os.getpid(), flush=True); sys.stdin.read()").stdout_file(path).spawn_detached()
    assert int(wait_until(lambda: path.read_text().strip())) == child.pid


def test_the_oem_code_page_can_be_named():
    assert py("import sys; sys.stdout.buffer.write('é'.encode('cp850'))").encoding("cp850").run() == "é"


def test_a_leashed_child_is_in_the_job_that_dies_with_us():
    with sleep().leash().start() as process:
        assert process.mechanism == "leash"
        assert in_job(process.pid, jobobject._leash.handle)


def test_more_processes_than_one_call_waits_for_are_watched():
    handles = [true().stdout("null").stderr("null").start() for _ in range(3)]
    try:
        ended = [handle._ended_descriptor() for handle in handles] * 30
        assert winloops.any_of(ended, 20)
    finally:
        for handle in handles:
            handle.outcome()


def test_json_survives_the_pipes():
    assert py("import json, sys; json.dump(json.load(sys.stdin), sys.stdout)").stdin_text(json.dumps(["é", 1])).run_json() == [
        "é",
        1,
    ]
