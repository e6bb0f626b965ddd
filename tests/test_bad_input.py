"""What a user can get wrong: each is a typed error that names the thing, or simply works; nothing is started, nothing is left."""

import asyncio
import contextlib
import inspect
import os
import shutil
import sys

import pytest
from programs import POSIX, SHELL, needs_posix, sh, sleep

from processkit import Command, NonZeroExit, PermissionDenied, ProcessError, ProcessGroup, ProcessNotFound, which

VERBS = ["output", "output_bytes", "run", "run_json", "exit_code", "probe", "start"]


@pytest.fixture(params=["sync", "async", "group"])
def call(request):
    """`call(command, verb)`: the verb, its twin, or that of a group."""

    async def awaited(command, verb):
        return await getattr(command, "a" + verb)()

    def member(command, verb):
        with ProcessGroup(shutdown_grace=0) as group:
            result = getattr(group, "run" if verb == "run_json" else verb)(command)
            assert group.members() == []
            return result

    if request.param == "group":
        return member
    return getattr_call if request.param == "sync" else lambda command, verb: asyncio.run(awaited(command, verb))


def getattr_call(command, verb):
    return getattr(command, verb)()


# Where a file is a program by the ending of its name, its name without one is what a missing mode bit is elsewhere.
EXE, SCRIPT = ("", "") if POSIX else (".exe", ".cmd")
SAY = "#!/bin/sh\necho ran\n" if POSIX else "@echo ran\r\n"


@pytest.fixture
def executable(tmp_path):
    """`executable(name, text, mode)`: a file in the test's directory."""

    def make(name, text=SAY, mode=0o755, ending=SCRIPT):
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name + (ending if mode & 0o100 else "")))
        with open(path, "wb") as file:
            file.write(os.fsencode(text))
        os.chmod(path, mode)
        return os.fsdecode(path)

    return make


def refused(call, command, *, verb="run", kind=ProcessError, exactly=True):
    """The error of a command that must not start."""
    with pytest.raises(kind) as caught:
        call(command, verb)
    assert not exactly or type(caught.value) is kind
    assert vars(caught.value)["program"] == command.program
    assert (
        command.program.replace("\0", "\\0").encode(errors="replace").decode()
        in str(caught.value).encode(errors="replace").decode()
    )
    return str(caught.value)


# NUL bytes and text that the system has no bytes for.

NUL = {
    "program": lambda base: Command("/bin/sh\0x"),
    "bare program": lambda base: Command("sh\0x"),
    "args": lambda base: base.arg("a\0b"),
    "arg0": lambda base: base.arg0("a\0b"),
    "env": lambda base: base.env("NAME", "a\0b"),
    "env key": lambda base: base.env("A\0B", "value"),
    "cwd": lambda base: base.cwd("/\0"),
    "stdin_file": lambda base: base.stdin_file("/dev/null\0"),
    "stderr_file": lambda base: base.stderr_file("/dev/null\0"),
    "prefer_local": lambda base: Command("no-such-program-here").prefer_local("/\0"),
}


@pytest.mark.parametrize("where", NUL)
@pytest.mark.parametrize("bad", ["\0", "\ud800"], ids=["nul", "surrogate"])
def test_text_that_no_program_can_be_given_is_refused_by_every_verb(call, where, bad, tmp_path):
    if bad != "\0" and not POSIX and where in ("args", "arg0", "env", "env key"):
        pytest.skip("text is UTF-16 here, in which a program can be given half a pair as well")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        command = NUL[where](sh(": > ran"))
        if bad != "\0":
            command = translated(command, bad)
        for verb in VERBS:
            with pytest.raises(ProcessError) as caught:
                call(command, verb)
            assert vars(caught.value)["program"] == command.program
            assert type(caught.value) is ProcessError or where in ("prefer_local", "bare program", "program")
        assert os.listdir(tmp_path) == []


def translated(command, bad):
    """The same command with another bad character in place of NUL."""
    text = lambda value: value.replace("\0", bad) if isinstance(value, str) else value
    settings = command._settings
    changes = {"args": tuple(map(text, settings.args)), "prefer_local": tuple(map(text, settings.prefer_local))}
    changes["env"] = {text(key): text(value) for key, value in settings.env.items()}
    changes.update({name: text(getattr(settings, name)) for name in ("arg0", "cwd", "stdin_file", "program")})
    if settings.stderr != "pipe":
        changes["stderr"] = type(settings.stderr)(text(settings.stderr.path), False)
    return command._with(**changes)


@pytest.mark.parametrize("bad", ["a\0b", "/a\0b", "a\ud800b", "/a\ud800b"], ids=ascii)
def test_a_name_that_no_file_can_have_is_not_found_or_refused_by_the_lookup(bad):
    with pytest.raises(ProcessError) as caught:
        which(bad)
    assert vars(caught.value)["program"] == bad
    with contextlib.suppress(ProcessError):
        assert os.path.isabs(Command("sh").prefer_local(bad).prefer_local("/bin").resolve_program())


@pytest.mark.parametrize(
    "settings", [("env", "A\0B", "x"), ("env", "A", "x\0"), ("env", "\ud800", "x"), ("env", "PATH", "\ud800"), ("env", "", "x")]
)
def test_a_lookup_with_a_bad_environment_raises_nothing_untyped(settings):
    name, *words = settings
    with contextlib.suppress(ProcessError):
        assert getattr(Command(SHELL), name)(*words).resolve_program() == SHELL


@pytest.mark.parametrize("key", ["", "A=B", "="])
def test_a_variable_without_a_possible_name_is_refused(call, key):
    assert "env" in refused(call, sh("exit").env(key, "x"))


@pytest.mark.parametrize("key", ["", "A=B", "A\0B", "\ud800"], ids=ascii)
def test_removing_or_inheriting_a_variable_that_cannot_exist_works_or_is_refused(call, key):
    for command in (sh("echo x").env_remove(key), sh("echo x").inherit_env([key])):
        with contextlib.suppress(ProcessError):
            assert call(command, "run") == "x"


# Programs that are none.


def test_a_missing_program_is_not_found(call, tmp_path):
    for program in (tmp_path / "none", "./none", tmp_path / "no" / "dir", "/bin/sh/x", "/" + "x" * 5000):
        with pytest.raises(ProcessNotFound) as caught:
            call(Command(program), "run")
        assert (caught.value.program, caught.value.searched) == (str(program), None)
        assert isinstance(caught.value, FileNotFoundError)
        assert str(program) in str(caught.value)
        assert vars(caught.value).keys() >= {"program", "searched"}


@pytest.mark.parametrize("name", ["no-such-program-here", "", ".", "..", "x" * 5000])
def test_a_bare_name_that_is_nowhere_lists_what_was_searched(call, name, tmp_path):
    path = os.pathsep.join([str(tmp_path), "/nowhere"])
    command = Command(name).env("PATH", path).prefer_local("/first").prefer_local("/second")
    searched = os.pathsep.join(["/first", "/second", path])
    for look in (lambda: call(command, "run"), command.resolve_program):
        with pytest.raises(ProcessNotFound) as caught:
            look()
        assert (caught.value.program, caught.value.searched) == (name, searched)


@pytest.mark.parametrize("without", [("env_remove", "PATH"), ("env", "PATH", ""), ("env_clear",), ("inherit_env", ["HOME"])])
def test_without_a_path_a_bare_name_is_not_found(call, without):
    command = getattr(Command("sh"), without[0])(*without[1:])
    for look in (lambda: call(command, "run"), command.resolve_program):
        with pytest.raises(ProcessNotFound) as caught:
            look()
        assert caught.value.program == "sh"


def test_a_name_is_never_looked_for_in_the_current_directory(call, executable, monkeypatch, tmp_path):
    executable("tool-of-mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProcessNotFound):
        call(Command("tool-of-mine").env("PATH", "/nowhere"), "run")
    assert call(Command("./tool-of-mine"), "run") == "ran"
    assert call(Command("./tool-of-mine").cwd("/"), "run") == "ran"
    assert os.path.isabs(which("./tool-of-mine"))


def test_the_childs_path_steers_the_lookup_and_prefer_local_comes_first(call, executable, tmp_path):
    say = "#!/bin/sh\necho {} $0 $PATH\n" if POSIX else "@echo {} %~f0 %PATH%\r\n"
    for place in ("a", "b", "c"):
        (tmp_path / place).mkdir()
        executable(f"{place}/tool", say.format(place))
    a, b, c = (str(tmp_path / place) for place in "abc")
    tool = {place: os.path.normcase(os.path.join(tmp_path, place, f"tool{SCRIPT}")) for place in "abc"}
    base = Command("tool").env("PATH", c)
    same = os.path.normcase
    assert same(call(base, "run")) == same(f"c {tool['c']} {c}")
    assert same(call(base.prefer_local(b).prefer_local(a), "run")) == same(f"b {tool['b']} {c}")
    assert same(base.prefer_local(a).resolve_program()) == tool["a"]
    direct = Command(f"{c}/tool").prefer_local(a)
    assert same(call(direct.env("PATH", ""), "run")).startswith(f"c {tool['c']}")
    assert same(call(direct.env("PATH", b), "run")) == same(f"c {tool['c']} {b}")


def test_the_child_gets_the_program_as_it_was_written_or_arg0(call):
    if not POSIX:
        line = "import ctypes; line = ctypes.windll.kernel32.GetCommandLineW; line.restype = ctypes.c_wchar_p; print(line().split()[0].strip(chr(34)))"
        directory, name = os.path.split(sys.executable)
        for program in (name, os.path.splitext(name)[0]):
            assert call(Command(program, ["-c", line]).prefer_local(directory), "run") == program
        return
    assert call(Command("sh", ["-c", 'tr "\\0" "\\n" < /proc/$$/cmdline | head -n 1']), "run") == "sh"
    assert call(Command(SHELL, ["-c", "echo $0"]).arg0("another"), "run") == "another"
    assert call(Command(SHELL, ["-c", "echo $0"]).arg0(""), "run") == ""


def test_a_file_without_permission_to_execute_is_denied(call, executable, tmp_path):
    plain = executable("plain", mode=0o644)
    for program in (plain, str(tmp_path), "/", *(["/dev/null"] if POSIX else [])):
        text = refused(call, Command(program), kind=PermissionDenied)
        assert "denied" in text
        with pytest.raises(PermissionDenied) as caught:
            which(program)
        assert caught.value.program == program
        assert isinstance(caught.value, PermissionError)
    with pytest.raises(PermissionDenied):
        call(Command("plain").env("PATH", str(tmp_path)), "run")


def test_a_search_goes_on_behind_a_file_that_cannot_be_executed(call, executable, tmp_path):
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
    executable("first/tool", mode=0o644)
    (tmp_path / "first" / "other").mkdir()
    executable("second/tool")
    path = os.pathsep.join([str(tmp_path / "first"), str(tmp_path / "second")])
    assert call(Command("tool").env("PATH", path), "run") == "ran"
    with pytest.raises((ProcessNotFound, PermissionDenied)):
        call(Command("other").env("PATH", path), "run")


@pytest.mark.parametrize("text", ["", "garbage without a first line", "\x7fELF"], ids=repr)
def test_a_file_in_no_known_format_is_a_process_error(call, executable, text):
    refused(call, Command(executable("tool", text, ending=EXE)))


@pytest.mark.skipif(not POSIX, reason="no first line of a script names its interpreter here")
def test_a_script_whose_interpreter_is_missing_is_typed(call, executable):
    with pytest.raises(ProcessError) as caught:
        call(Command(executable("tool", "#!/nowhere/interpreter\n")), "run")
    assert caught.value.program.endswith("tool")


# Directories.


@pytest.mark.parametrize("cwd", ["/nowhere/at/all", SHELL, "", "/" + "x" * 5000])
def test_a_cwd_that_cannot_be_entered_is_a_plain_process_error(call, cwd, tmp_path):
    command = sh(f": > {tmp_path}/ran").cwd(cwd)
    for verb in VERBS:
        assert "cwd" in refused(call, command, verb=verb)
    assert os.listdir(tmp_path) == []


# Too much.


@pytest.mark.skipif(not POSIX, reason="an environment has no greatest length here")
def test_an_environment_that_is_too_long_is_named(call):
    text = refused(call, sh("exit").envs({f"NAME{n}": "x" * 100_000 for n in range(40)}))
    assert "env" in text
    assert call(sh("echo x"), "run") == "x"


def test_arguments_that_are_too_long_are_named(call):
    assert "args" in refused(call, sh("exit", "x" * 200_000))
    assert "args" in refused(call, sh("exit", *["x" * 100_000] * 40))


def in_a_child(script, in_child_env, **changes):
    """The lines that a Python child writes."""
    body = inspect.cleandoc(script)
    result = Command(sys.executable, ["-W", "error", "-c", body]).envs({**in_child_env, **changes}).timeout(60).output()
    assert result.stderr == ""
    assert result.code == 0
    return result.stdout.splitlines()


@needs_posix
@pytest.mark.parametrize("mechanism_name", ["", "process_group"])
def test_running_out_of_descriptors_at_any_moment_is_a_typed_error_and_leaks_none(in_child_env, mechanism_name):
    script = """
        import asyncio, os, resource
        from processkit import Command, ProcessError, ProcessGroup
        command = Command("/bin/sh", ["-c", "echo x"])
        group = ProcessGroup(shutdown_grace=0)
        loop = asyncio.new_event_loop()
        verbs = [command.output, lambda: loop.run_until_complete(command.aoutput()), lambda: group.output(command), lambda: command.start().output()]
        for verb in verbs:
            assert verb().stdout == "x"
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for verb in verbs:
            refused = 0
            for room in range(40):
                assert verb().stdout == "x"  # what is kept in reserve is there again
                before = sorted(os.listdir("/proc/self/fd"))
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + room, hard))
                try:
                    assert verb().stdout == "x"
                    if room > 30:
                        break
                except ProcessError as error:
                    refused += 1
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                after = sorted(os.listdir("/proc/self/fd"))
                assert set(after) <= set(before), (room, before, after)
            assert room > 30, room
            print(refused > 0)
        assert group.members() == []
        group.shutdown()
        loop.close()
        try:
            os.waitpid(-1, os.WNOHANG)
            print("a child is left")
        except ChildProcessError:
            print("clean")
    """
    changes = {"PROCESSKIT_MECHANISM": mechanism_name} if mechanism_name else {}
    assert in_a_child(script, in_child_env, **changes) == ["True"] * 4 + ["clean"]


@needs_posix
def test_a_limit_of_processes_is_a_typed_error(in_child_env, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can become another user, whose processes are counted alone")
    script = """
        import os, resource
        from processkit import Command, ProcessError
        import processkit._os.linux.procgroup
        command = Command("/bin/sh", ["-c", "echo x"])
        assert command.run() == "x"
        os.setgroups([])
        os.setresgid(61234, 61234, 61234)
        os.setresuid(61234, 61234, 61234)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        for verb in (command.output, command.start):
            try:
                verb()
                print("started")
            except ProcessError as error:
                print(type(error).__name__, error.program, error.__cause__.errno)
        try:
            os.waitpid(-1, os.WNOHANG)
            print("a child is left")
        except ChildProcessError:
            print("clean")
    """
    lines = in_a_child(script, in_child_env, PROCESSKIT_MECHANISM="process_group")
    assert lines == ["ProcessError /bin/sh 11"] * 2 + ["clean"]


@needs_posix
def test_a_privilege_that_we_lack_is_denied(in_child_env):
    if os.getuid() != 0:
        pytest.skip("only root can give its privileges up")
    script = """
        # Imported before the change of user, for the new one may not read this interpreter's library.
        import asyncio, collections.abc, os, resource
        from processkit import Command, PermissionDenied
        command = Command("/bin/sh", ["-c", "echo x"])
        assert command.run() == "x"
        os.setgroups([])
        os.setresgid(61234, 61234, 61234)
        os.setresuid(61234, 61234, 61234)
        asked = [command.priority("high"), command.uid(0), command.gid(0), command.groups([0]), command.io_priority("real_time", level=0)]
        for one in [*asked, command.rlimit("core", 0, 2**63).rlimit("no_file", 2**40, 2**40)]:
            try:
                print("ran", one.run())
            except PermissionDenied as error:
                print(error.program)
        print(command.priority("idle").umask(0o77).run())
    """
    lines = in_a_child(script, in_child_env, PROCESSKIT_MECHANISM="process_group")
    assert lines == ["/bin/sh"] * 6 + ["x"]


# Attributes.


@needs_posix
def test_attributes_reach_the_child(call):
    if os.getuid() != 0:
        pytest.skip("only root may change all of these")
    show = "umask; ulimit -n; ulimit -Hn; ulimit -c; nice; id -u; id -g; id -G"
    command = sh(show).umask(0o27).rlimit("no_file", 64, 99).rlimit("no_file", 64, 128).rlimit("core", 0, 0).priority("idle")
    command = command.uid(1234).gid(1235).groups([1236, 1237])
    assert call(command, "run").split() == "0027 64 128 0 19 1234 1235 1235 1236 1237".split()
    assert call(sh("nice").priority("above_normal"), "run") == "-5"
    assert call(sh("grep ^Cpus_allowed_list /proc/self/status").cpu_affinity([0, 0]), "run").split()[-1] == "0"
    assert call(sh("id -G").groups([]).gid(7), "run") == "7"


@needs_posix
def test_setsid_gives_a_session_of_its_own(call, mechanism):
    pid, _, _, _, _, session = call(sh("cat /proc/$$/stat").setsid(), "run").split()[:6]
    assert session == pid
    assert sh("sleep 1000 & exit").setsid().output().leaked == 1


@pytest.mark.skipif(shutil.which("ionice") is None, reason="ionice shows the class")
def test_an_io_priority_reaches_the_child(call):
    assert call(sh("ionice").io_priority("best_effort", level=6), "run") == "best-effort: prio 6"
    assert call(sh("ionice").io_priority("IDLE"), "run") == "idle"


def test_a_soft_limit_above_the_hard_one_is_refused(call):
    assert "exceeds hard value" in refused(call, sh("exit").rlimit("core", 2, 1))


@pytest.mark.parametrize("cpus", [[], [2**31], [8191], [10**6]])
def test_processors_that_do_not_exist_are_refused(call, cpus):
    refused(call, sh("exit").cpu_affinity(cpus))


# Names that confuse.


ONLY_BYTES = pytest.mark.skipif(not POSIX, reason="no file can have such a name here")
# A program's whole path ends at 260 characters in some Windows.
NAMES = ["a) R (b", "two words", "é☃", "-c", "$(x)", "100%", "a&b^c", "x" * (200 if POSIX else 120)]
NAMES += [pytest.param(name, marks=ONLY_BYTES) for name in ("new\nline", "\udcff\udcfe")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_program_of_any_name_runs_is_seen_and_ended(call, executable, name, mechanism):
    assert call(Command(executable(name)), "run") == "ran"
    program = executable(name, "", ending=EXE)
    # A program of one file: one that sleeps, or one that reads what nobody writes.
    shutil.copy(sleep().program if POSIX else os.environ["COMSPEC"], os.fsencode(program))
    lasting = Command(program, ["1000"]) if POSIX else Command(program).keep_stdin_open()
    with ProcessGroup(shutdown_grace=0) as group, group.start(lasting) as process:
        (info,) = group.members_info()
        assert (info.pid, info.ppid, info.exe_name) == (process.pid, os.getpid(), name + EXE)
    with pytest.raises(NonZeroExit):
        call(Command(program, ["not-a-number"] if POSIX else ["/c", "exit", "3"]), "run")


def test_arguments_of_any_bytes_reach_the_child_unchanged(call):
    words = ["", " ", "'", '"', "\\", "\n", "é☃\U0001f40d", "\udcff", "-x", "*", "$HOME", "a" * 10_000]
    script = "import sys, os; os.write(1, b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
    result = call(Command(sys.executable, ["-c", script, *words]), "output_bytes")
    assert result.stdout == b"\0".join(map(os.fsencode, words))
