import errno
import os
import signal
import struct
import sys
import threading

import pytest
from programs import alive, wait_until

import processkit
from processkit._abi import linux, machine_code
from processkit._os.errors import LaunchError
from processkit._os.linux import birth
from processkit._os.linux import forked as forklauncher
from processkit._os.linux import launch as launching
from processkit._os.linux.calls import architecture
from processkit._os.linux.forked import ForkLauncher
from processkit._os.linux.script import Launched, Script, registration
from processkit._os.posix.descriptors import pipe_above
from processkit._os.posix.environ import Strings, environment
from processkit._os.terms import Attributes, Plan

MACHINE = architecture()


def native(use_clone3):
    from processkit._os.linux.native import NativeLauncher

    return NativeLauncher(MACHINE, use_clone3)


def offered():
    """Every launcher that works on this machine."""
    found = [ForkLauncher(MACHINE)]
    if MACHINE.name in machine_code.CODE and launching.launcher().name != "fork":
        found.append(native(False))
        if launching.launcher().name == "clone3":
            found.append(native(True))
    return found


@pytest.fixture(params=offered(), ids=lambda launcher: launcher.name)
def launcher(request):
    return request.param


def plan_for(*argv, **changes):
    plan = Plan(
        program=argv[0],
        path=argv[0],
        argv=list(argv),
        env=environment(False, (), {}),
        cwd=changes.pop("cwd", None),
        stdin="null",
        stdout="null",
        stderr="null",
        attributes=Attributes(),
    )
    for name, value in changes.items():
        setattr(plan.attributes, name, value)
    return plan


def script_for(plan, streams=(-1, -1, -1)):
    placement = birth.Placement()
    return birth.compile_script(plan, list(streams), placement)


def launch(launcher, script):
    """The wait status and the launched child's pid."""
    launched = Launched()
    launcher.launch(script, launched)
    assert launched.pid > 0
    pid = launched.pid
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), pid
    finally:
        if launched.pidfd >= 0:
            os.close(launched.pidfd)


def said(launcher, *argv, **changes):
    """What the program wrote to its stdout."""
    read, write = pipe_above()
    try:
        launch(launcher, script_for(plan_for(*argv, **changes), (-1, write, -1)))
        os.close(write)
        write = -1
        return os.read(read, 65536).decode()
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


def test_a_program_runs_and_its_exit_code_comes_back(launcher):
    assert launch(launcher, script_for(plan_for("/bin/sh", "-c", "exit 7")))[0] == 7


def test_the_child_has_a_pidfd_that_tells_its_end(launcher):
    launched = Launched()
    launcher.launch(script_for(plan_for("/bin/true")), launched)
    if launched.pidfd >= 0:
        import select

        assert select.select([launched.pidfd], [], [], 20)[0]
    launched.discard()


@pytest.mark.parametrize("program", ["/nowhere/at/all", "/", "/etc/passwd"])
def test_a_program_that_cannot_be_executed_is_an_error_of_execve_and_no_child_remains(launcher, program):
    with pytest.raises(LaunchError, match="^.Errno [0-9]+. execve: ") as failed:
        launch(launcher, script_for(plan_for(program)))
    assert failed.value.call == "execve"
    assert isinstance(failed.value, OSError)


def test_each_call_of_a_script_that_fails_is_an_error_under_its_own_name(launcher):
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for index, name in enumerate(script_for(plan_for("/bin/true", cwd="/", umask=0o22, nice=0, affinity=None)).names):
        if name == "rt_sigprocmask":
            continue
        script = script_for(plan_for("/bin/true", cwd="/", umask=0o22, nice=0))
        # A result that cannot be: what the call does is done, and refused.
        script.words[index * machine_code.WORDS + machine_code.LOWEST] = 1 << 50
        launched = Launched()
        if name == "execve":
            continue
        with pytest.raises(LaunchError) as failed:
            launcher.launch(script, launched)
        assert failed.value.call == name
        assert (launched.pid, launched.pidfd) == (-1, -1)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask


@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("chdir", ["/nowhere/at/all"], 2),
        ("dup3", [9999, 0, 0], 9),
        ("prctl", [-1], 22),
        ("setpgid", [1, 1], None),
        ("sched_setaffinity", [0, 0, 0], 22),
        ("prlimit64", [0, 9999, 0, 0], 22),
        ("write", [9999, 0, 1], 9),
        ("ioprio_set", [99, 0, 0], 22),
        ("rt_sigaction", [9999, 0, 0, 8], 22),
    ],
)
def test_bad_numbers_in_a_script_end_the_child_before_its_program(launcher, name, arguments, errno, tmp_path):
    marker = tmp_path / "began"
    script = Script(MACHINE.numbers)
    words = [script.text(os.fsencode(word)) if isinstance(word, str) else word for word in arguments]
    script.call(name, *words)
    program = script_for(plan_for("/bin/sh", "-c", f"echo x > {marker}"))
    script.extend(program)
    script.memory += program.memory
    with pytest.raises(LaunchError) as failed:
        launch(launcher, script)
    assert failed.value.call == name
    assert errno is None or failed.value.errno == errno
    assert not marker.exists()


def test_a_failing_clone_is_an_error_under_the_launchers_name_with_the_mask_restored():
    if launching.launcher().name != "clone3":
        pytest.skip("clone3 is not in use here")
    script = script_for(plan_for("/bin/true"))
    script.into_cgroup = 9999
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        with pytest.raises(LaunchError, match="clone3") as failed:
            native(True).launch(script, Launched())
        assert failed.value.errno == 9
        assert signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


STATUS = "import sys; print(*[l.split()[1] for l in open('/proc/self/status') if l.startswith(('SigBlk', 'SigIgn', 'SigCgt'))])"


def test_a_child_starts_with_default_signals_and_none_blocked_whatever_its_parent_does(launcher):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        blocked, ignored, caught = (
            int(word, 16) for word in said(launcher, "/bin/grep", "-h", "Sig", "/proc/self/status").split()[5::2]
        )
    except ValueError:
        lines = dict(line.split(":") for line in said(launcher, "/bin/grep", "Sig", "/proc/self/status").splitlines())
        blocked, ignored, caught = (int(lines[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt"))
    finally:
        signal.signal(signal.SIGUSR1, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    assert blocked == 0
    assert not ignored >> (signal.SIGPIPE - 1) & 1
    assert not ignored >> (signal.SIGXFSZ - 1) & 1
    assert not caught >> (signal.SIGUSR1 - 1) & 1


def test_a_signal_that_arrives_while_a_child_is_born_runs_its_handler_in_the_parent_only(launcher):
    hits = []
    before = signal.signal(signal.SIGUSR1, lambda *_: hits.append(os.getpid()))
    stop = threading.Event()

    def bombard():
        while not stop.is_set():
            os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=bombard)
    thread.start()
    try:
        for _ in range(30):
            assert launch(launcher, script_for(plan_for("/bin/true")))[0] == 0
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert set(hits) == {os.getpid()}


def test_no_descriptor_of_ours_leaks_into_a_child_even_an_inheritable_one(launcher, tmp_path):
    leaky = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        listed = said(launcher, "/bin/ls", "/proc/self/fd").split()
    finally:
        os.close(leaky)
    assert {int(word) for word in listed} <= {0, 1, 2, 3}, "3 is the listing's own"


def test_descriptors_are_closed_one_by_one_where_close_range_does_not_exist(monkeypatch, launcher, tmp_path):
    monkeypatch.setattr(birth, "_ordinary", None)
    monkeypatch.setattr(birth, "_close_range_flags", lambda: None)
    leaky = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        listed = said(launcher, "/bin/ls", "/proc/self/fd").split()
    finally:
        os.close(leaky)
    assert {int(word) for word in listed} <= {0, 1, 2, 3}


def test_a_child_whose_owner_is_gone_does_not_begin(launcher, tmp_path):
    marker = tmp_path / "began"
    script = script_for(plan_for("/bin/sh", "-c", f"echo x > {marker}"))
    index = script.names.index("getppid") * machine_code.WORDS
    script.words[index + machine_code.LOWEST] = script.words[index + machine_code.HIGHEST] = 1 << 30
    with pytest.raises(LaunchError) as failed:
        launch(launcher, script)
    assert failed.value.call == "getppid"
    assert failed.value.errno == errno.ESRCH
    assert not marker.exists()


def test_an_orphan_is_no_child_of_ours(launcher):
    placement = birth.Placement()
    placement.orphan = True
    placement.registration = registration()
    script = birth.compile_script(plan_for("/bin/sleep", "60", new_session=True), [-1, -1, -1], placement)
    launched = Launched()
    launcher.launch(script, launched)
    launched.discard()
    pid = placement.registration[1]
    try:
        assert pid > 0
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        with open(f"/proc/{pid}/stat") as file:
            assert int(file.read().rpartition(")")[2].split()[1]) != os.getpid()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_an_orphan_that_cannot_start_its_program_is_an_error_too(launcher):
    placement = birth.Placement()
    placement.orphan = True
    placement.registration = registration()
    script = birth.compile_script(plan_for("/nowhere/at/all"), [-1, -1, -1], placement)
    with pytest.raises(LaunchError, match="execve"):
        launcher.launch(script, Launched())


def test_attributes_reach_the_program(launcher):
    plan = plan_for("/bin/sh", "-c", "umask; ulimit -n; pwd; echo $$; cut -d' ' -f5,6,19 /proc/$$/stat", cwd="/tmp", umask=0o27)
    plan.attributes.rlimits = {"no_file": (77, 88)}
    plan.attributes.nice = 5
    plan.attributes.new_session = True
    read, write = pipe_above()
    _, pid = launch(launcher, script_for(plan, (-1, write, -1)))
    os.close(write)
    mask, files, cwd, own, stat = os.read(read, 4096).decode().split("\n")[:5]
    os.close(read)
    assert (mask, files, cwd, own) == ("0027", "77", "/tmp", str(pid))
    assert stat == f"{pid} {pid} 5"


def test_the_affinity_mask_is_whole_words_of_this_machine():
    for cpus, expected in (((0, 3), struct.pack("=Q", 0b1001)), ((70,), struct.pack("=QQ", 0, 1 << 6))):
        script = Script(MACHINE.numbers)
        birth.run_on(script, cpus)
        assert script.memory[0].cells.tobytes() == expected
        assert list(script.words[1:4]) == [0, len(expected), script.memory[0].address]


def test_the_self_test_takes_the_next_launcher_when_one_does_not_deliver(monkeypatch):
    if launching.launcher().name == "fork":
        pytest.skip("machine code is not in use here")
    from processkit._os.linux.native import NativeLauncher

    whole = NativeLauncher.launch

    def refusing(self, script, launched):
        if self.name == "clone3":
            raise LaunchError.of("clone3", errno.ENOSYS)
        whole(self, script, launched)

    monkeypatch.setattr(NativeLauncher, "launch", refusing)
    assert launching._choose().name == "clone"
    # An emulator that turns vfork into fork: the child's report never reaches our memory.
    monkeypatch.setattr(NativeLauncher, "launch", lambda self, script, launched: None)
    assert launching._choose().name == "fork"
    monkeypatch.setattr(NativeLauncher, "launch", whole)
    monkeypatch.setattr("processkit._os.linux.native._code_page", [])
    monkeypatch.setattr(linux, "mprotect", lambda *_: (_ for _ in ()).throw(PermissionError(13, "mprotect")))
    assert launching._choose().name == "fork"
    monkeypatch.setattr(launching, "_chosen", None)
    assert launching.predicted_name() == "fork"


@pytest.mark.parametrize("why", ["clone3", "copied", "pages"])
def test_where_the_first_launch_does_not_prove_the_launcher_the_guardian_is_started_by_one_that_does(monkeypatch, why):
    if launching.launcher().name != "clone3":
        pytest.skip("clone3 is not in use here")
    from processkit._os.linux.guardian import new_guardian
    from processkit._os.linux.native import NativeLauncher

    whole = NativeLauncher.launch

    def refusing(self, script, launched):
        if why == "clone3" and self.name == "clone3":
            raise LaunchError.of("clone3", errno.ENOSYS)
        whole(self, script, launched)
        if why == "copied" and script.registration is not None:
            # An emulator that turns vfork into fork: what the child and the kernel write there never reaches our memory.
            copied.append(script.registration[1])
            script.registration[1] = -1

    copied = []
    monkeypatch.setattr(NativeLauncher, "launch", refusing)
    monkeypatch.setattr(launching, "_chosen", None)
    if why == "copied":
        monkeypatch.setattr(launching, "_works", lambda _: False)
    elif why == "pages":
        monkeypatch.setattr("processkit._os.linux.native._code_page", [])
        monkeypatch.setattr(linux, "mprotect", lambda *_: (_ for _ in ()).throw(PermissionError(13, "mprotect")))
    guardian = new_guardian("")
    guardian.ensure()
    try:
        assert launching.launcher().name == {"clone3": "clone"}.get(why, "fork")
        assert alive(guardian._running.pid)
        # The one of the launch that proved nothing finds end-of-file at once.
        assert len(copied) == (why == "copied")
        wait_until(lambda: not any(alive(pid) for pid in copied))
    finally:
        guardian.end()


def test_what_may_pass_does_not_decide_the_launcher_for_good(monkeypatch):
    if launching.launcher().name == "fork":
        pytest.skip("machine code is not in use here")
    from processkit._os.linux.native import NativeLauncher

    def full(self, script, launched):
        raise LaunchError.of("clone3", errno.EAGAIN)

    monkeypatch.setattr(NativeLauncher, "launch", full)
    with pytest.raises(LaunchError):
        launching._choose()


def test_a_kernel_without_pidfd_is_served_by_a_waiting_thread(monkeypatch):
    monkeypatch.setattr(forklauncher, "open_pidfd", lambda architecture, pid: -1)
    monkeypatch.setattr(launching, "_chosen", ForkLauncher(MACHINE))
    assert processkit.Command("/bin/sh", ["-c", "echo x; exit 3"]).output().code == 3
    assert processkit.Command("/bin/sleep", ["60"]).timeout(0.05).output().timed_out


def test_the_audit_event_of_the_standard_library_is_raised():
    seen = []

    def hook(event, arguments):
        if event == "subprocess.Popen" and active:
            seen.append(arguments)

    active = [True]
    sys.addaudithook(hook)
    processkit.Command("/bin/echo", ["a"]).output()
    active.clear()
    assert [(path, argv) for path, argv, _, _ in seen] == [("/bin/echo", ["/bin/echo", "a"])]


def test_many_threads_start_children_at_once_and_each_gets_its_own():
    results, errors = {}, []

    def run(number):
        try:
            results[number] = processkit.Command("/bin/echo", [str(number)]).run()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert results == {number: str(number) for number in range(40)}


def test_foreign_calls_raise_under_their_own_name():
    with pytest.raises(OSError, match="mprotect: ") as failed:
        linux.mprotect(1, 1, 0)
    assert failed.value.errno == 22


def test_strings_for_the_kernel_end_with_a_nul_each_and_their_list_with_a_null():
    import ctypes

    for strings in ([], [b"a"], [b"", b"bc", b""], [b"x" * 5000] * 50):
        kept = Strings(strings)
        found = (ctypes.c_char_p * (len(strings) + 1)).from_address(kept.address)
        assert found[:] == [*strings, None]


def launch_into(launcher, script, directory, name):
    """What a launch of `script` whose stdout is a new file wrote, lingering as a short-lived child's launch does."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    file = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    closing = [os.dup(file)]
    closed = closing[0]
    launched = Launched(closing, (-1, -1), [null, file, null])
    try:
        launcher.launch(script, launched)
        os.waitpid(launched.pid, 0)
        if launched.pidfd >= 0:
            os.close(launched.pidfd)
        if not launched.closing:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(closed)
        else:
            os.close(closed)
    finally:
        os.close(null)
        os.close(file)
    return (directory / name).read_text()


def test_a_script_is_launched_again_into_other_streams_and_into_the_same(launcher, tmp_path):
    script = script_for(plan_for("/bin/echo", "here"), (3, 4, 5))
    held = []
    try:
        for number in range(6):
            assert launch_into(launcher, script, tmp_path, str(number)) == "here\n"
            if number % 2:
                held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for descriptor in held:
            os.close(descriptor)


def test_a_script_that_was_kept_is_not_taken_for_a_launch_of_another_kind(launcher, tmp_path):
    read, write = pipe_above()
    script = script_for(plan_for("/bin/echo", "here"), (write, write, write))
    try:
        assert launch(launcher, script)[0] == 0
        assert launch_into(launcher, script, tmp_path, "file") == "here\n"
        assert launch(launcher, script)[0] == 0
        assert os.read(read, 100) == b"here\nhere\n"
    finally:
        os.close(read)
        os.close(write)


def test_threads_that_launch_one_command_at_once_each_have_the_child_of_their_own():
    command = processkit.Command("/bin/sh", ["-c", "echo $$"])
    wrong = []

    def run():
        for _ in range(40):
            result = command.output()
            if result.stdout != str(result.pid):
                wrong.append(result)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_kept_of_a_launch_is_not_used_after_one_that_failed(tmp_path):
    program = tmp_path / "program"
    command = processkit.Command(str(program))
    for _ in range(3):
        program.write_text("#!/bin/sh\necho there\n")
        program.chmod(0o755)
        assert [command.output().stdout for _ in range(3)] == ["there"] * 3
        program.unlink()
        with pytest.raises(processkit.ProcessNotFound):
            command.output()
