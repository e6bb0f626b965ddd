"""`python -m processkit doctor`, and how the command line delivers its own output (api.md §26.3, §26.4)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from programs import POSIX, shell_argv, true

import processkit
from processkit._cli import doctor as doctor_module
from processkit._cli import main

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEYS = {"mechanism", "host_containment", "verdict", "exit_code", "resource_limits", "caveat"}
VERDICTS = {"OK": 0, "DEGRADED": 1, "UNAVAILABLE": 3, "ERROR": 4}
CAPS = {"max_memory": 1 << 20, "max_processes": 1, "cpu_quota": 0.1}


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ROOT, **more}


def doctor(*words: str, **settings) -> subprocess.CompletedProcess:
    """Run `doctor` to its end."""
    settings = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": environment(),
        "check": False,
        **settings,
    }
    return subprocess.run([sys.executable, "-m", "processkit", "doctor", *words], timeout=60, **settings)


def without(streams: str, *words: str) -> subprocess.CompletedProcess:
    """Run the command line with those of its streams 0, 1 and 2 closed; what is left of stdout and stderr is captured."""
    return closed_for(streams, [sys.executable, "-m", "processkit", *words])


def closed_for(streams: str, command: list[str], flags: int = 0) -> subprocess.CompletedProcess:
    """The same for any command, with creation flags where there are such."""
    settings = {"env": environment(), "text": True, "timeout": 60, "check": False}
    if POSIX:
        closing = " ".join(f"{number}{'<' if number == '0' else '>'}&-" for number in streams)
        return subprocess.run(["/bin/sh", "-c", f'exec "$@" {closing}', "sh", *command], capture_output=True, **settings)
    import msvcrt

    pipes = {number: os.pipe() for number in ("0", "1", "2") if number not in streams}
    startup = subprocess.STARTUPINFO(dwFlags=subprocess.STARTF_USESTDHANDLES)
    for number, name in enumerate(("hStdInput", "hStdOutput", "hStdError")):
        given = pipes.get(str(number))
        if given is not None:
            os.set_inheritable(given[0 if number == 0 else 1], True)
        setattr(startup, name, 0 if given is None else msvcrt.get_osfhandle(given[0 if number == 0 else 1]))
    process = subprocess.Popen(command, startupinfo=startup, creationflags=flags, close_fds=False, env=settings["env"])
    for number, (read, write) in pipes.items():
        os.close(read) if number == "0" else os.close(write)
    texts = {}
    for number in "12":
        if number in pipes:
            with open(pipes[number][0]) as pipe:
                texts[number] = pipe.read()
    if "0" in pipes:
        os.close(pipes["0"][1])
    return subprocess.CompletedProcess(command, process.wait(60), texts.get("1", ""), texts.get("2", ""))


@pytest.fixture
def refusing(monkeypatch):
    """refusing(plain=error, max_memory=error…): groups raise these; everything else is granted."""

    def refuse(**errors: Exception) -> None:
        real = processkit.ProcessGroup

        class Group(real):
            def __init__(self, survive_owner: bool = False, **caps) -> None:
                for name in caps or ["plain"]:
                    if name in errors:
                        raise errors[name]
                    assert name == "plain" or caps[name] == CAPS[name]
                super().__init__()

        monkeypatch.setattr(doctor_module, "ProcessGroup", Group)

    return refuse


def report(capsys, *words: str) -> tuple[int, str]:
    """(status, stdout) of `doctor` in this process; nothing on stderr."""
    status = main(["doctor", *words])
    captured = capsys.readouterr()
    assert captured.err == ""
    return status, captured.out


def as_json(capsys) -> dict:
    """The JSON report, whose exit status agrees with the text's and with what it says itself."""
    status, text = report(capsys, "--json")
    found = json.loads(text)
    assert found["exit_code"] == status == VERDICTS[found["verdict"]]
    assert report(capsys)[0] == status
    return found


def test_the_report_of_this_machine_agrees_with_itself_and_with_its_exit_status():
    text, told = doctor(), doctor("--json")
    found = json.loads(told.stdout)
    assert (text.stderr, told.stderr) == ("", "")
    assert text.returncode == told.returncode == found["exit_code"] == VERDICTS[found["verdict"]]
    assert f"  verdict: {found['verdict']} - " in text.stdout


def test_the_text_has_a_header_a_line_for_each_finding_a_note_and_the_verdict():
    first, *lines = doctor().stdout.splitlines()
    assert first == "processkit doctor"
    assert all(line.startswith("  ") for line in lines)
    labels = [line.split(":")[0].strip() for line in lines]
    findings = {"version", "launcher", "guardian", "graceful-stop scope", "parent-death cleanup"}
    assert findings <= set(labels)
    assert labels[-6:] == ["containment mechanism", "cannot hold", "what helps", "resource limits", "note", "verdict"]
    columns = {line.index(":") for line in lines if line.split(":")[0].strip() not in ("note", "verdict")}
    assert len(columns) == 1, "the values do not stand in one column"


def test_the_json_has_exactly_its_keys():
    found = json.loads(doctor("--json").stdout)
    assert set(found) == KEYS
    assert set(found["resource_limits"]) == set(CAPS)
    assert all(isinstance(value, bool) for value in found["resource_limits"].values())
    assert set(found["host_containment"]) == {"mechanism", "soft_stop_scope", "parent_death_cleanup", "version"}
    assert all(isinstance(value, str) and value for value in found["host_containment"].values())
    assert "Windows Job Object" in found["caveat"]
    assert found["host_containment"]["version"] == processkit.__version__


@pytest.mark.parametrize("mechanism", ["cgroup_v2", "process_group", "job_object"])
def test_doctor_names_the_mechanism_that_would_be_used(mechanism):
    here = processkit.host_containment().mechanism
    if mechanism != here and not (mechanism == "process_group" and POSIX):
        pytest.skip(f"no {mechanism} here")
    result = doctor("--json", env=environment(PROCESSKIT_MECHANISM=mechanism))
    assert json.loads(result.stdout)["mechanism"] == mechanism


def test_when_everything_is_granted_the_verdict_is_ok(refusing, capsys):
    refusing()
    assert as_json(capsys)["resource_limits"] == dict.fromkeys(CAPS, True)
    status, text = report(capsys)
    assert status == 0
    assert "  resource limits        : available\n" in text


@pytest.mark.parametrize("kind", [processkit.ResourceLimit, processkit.Unsupported])
def test_a_refused_cap_is_degraded_and_does_not_hide_the_others(kind, refusing, capsys):
    refusing(max_processes=kind("no pids here"))
    found = as_json(capsys)
    assert found["verdict"] == "DEGRADED"
    assert found["resource_limits"] == {"max_memory": True, "max_processes": False, "cpu_quota": True}
    assert "  resource limits        : unavailable --max-processes (no pids here)\n" in report(capsys)[1]


def test_refused_caps_are_all_named(refusing, capsys):
    refusing(max_memory=processkit.ResourceLimit("one"), cpu_quota=processkit.ResourceLimit("two"))
    assert "  resource limits        : unavailable --max-memory (one); --cpu-quota (two)\n" in report(capsys)[1]


@pytest.mark.parametrize("kind", [processkit.ResourceLimit, processkit.Unsupported])
def test_a_refused_plain_group_is_unavailable_and_probes_no_further(kind, refusing, capsys):
    refusing(plain=kind("not here"), max_memory=OSError("not asked"))
    found = as_json(capsys)
    assert (found["verdict"], found["mechanism"]) == ("UNAVAILABLE", "unavailable")
    assert set(found) == KEYS
    assert found["resource_limits"] == dict.fromkeys(CAPS, False)
    text = report(capsys)[1]
    assert "  containment mechanism  : unavailable (not here)\n" in text
    assert "  resource limits        : unknown" in text


def test_a_plain_group_that_fails_is_an_error(refusing, capsys):
    refusing(plain=OSError(28, "no space"))
    found = as_json(capsys)
    assert (found["verdict"], found["mechanism"]) == ("ERROR", "unknown")
    (failure,) = found["error_probe_failures"]
    assert failure.startswith("containment mechanism (")
    assert "no space" in failure
    text = report(capsys)[1]
    assert "  containment mechanism  : error probing (" in text
    assert "  resource limits        : unknown" in text


def test_a_cap_whose_probe_fails_is_an_error_that_does_not_hide_a_refusal(refusing, capsys):
    refusing(max_memory=OSError("bad disk"), cpu_quota=processkit.ResourceLimit("no cpu"))
    found = as_json(capsys)
    assert set(found) == KEYS | {"error_probe_failures"}
    assert found["verdict"] == "ERROR"
    assert found["error_probe_failures"] == ["--max-memory (bad disk)"]
    text = report(capsys)[1]
    assert "error probing --max-memory (bad disk)" in text
    assert "also unavailable --cpu-quota (no cpu)" in text


def test_doctor_takes_no_command():
    result = doctor("--", "true")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: python -m processkit doctor")
    assert "does not take a trailing command" in result.stderr


@pytest.mark.parametrize("words", [["--nonsense"], ["--timeout", "1"], ["true"]])
def test_what_doctor_does_not_know_is_a_usage_error_of_doctor(words):
    result = doctor(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: python -m processkit doctor")


@pytest.mark.skipif(not POSIX, reason="this system needs no guardian")
@pytest.mark.parametrize(("interpreter", "guardian"), [(None, "python"), ("/bin/false-python", "sh")])
def test_doctor_says_which_guardian_comes_up(interpreter, guardian, tmp_path):
    script = (
        f"import sys\nsys.executable = {interpreter!r} or sys.executable\nfrom processkit._cli import main\nmain(['doctor'])\n"
    )
    if interpreter is not None:
        broken = tmp_path / "python-broken"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        script = script.replace(interpreter, str(broken))
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=False)
    assert f"guardian               : {guardian}" in said.stdout, said.stderr


@pytest.mark.skipif(not POSIX, reason="this system keeps no container in a file system")
def test_doctor_leaves_no_directory():
    script = """
import os, sys
from processkit._cli import main
from processkit._os.linux.home import why_unusable
main(["doctor"])
from processkit._os.linux import system as linux
linux._release()
base = why_unusable()[0]
mine = [] if base is None else [name for name in os.listdir(base) if f"-{os.getpid()}-" in name]
sys.exit(f"left {mine}" if mine else 0)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


# Delivery of our own output.


def verdict() -> int:
    return doctor().returncode


# With PYTHONUNBUFFERED the write fails, without it the flush.
buffering = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


@buffering
@pytest.mark.parametrize("words", ["doctor", "doctor --json", "run --help"])
def test_output_that_does_not_fit_anywhere_is_119_and_said(words, unbuffered):
    # A device that is always full; elsewhere what nobody may write to.
    with open("/dev/full", "w") if POSIX else open(__file__) as full:
        command = [sys.executable, "-m", "processkit", *words.split()]
        settings = {"env": environment(PYTHONUNBUFFERED=unbuffered), "text": True, "timeout": 60, "check": False}
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, **settings)
    assert result.returncode == 119
    assert result.stderr.startswith("processkit: could not ")
    assert "stdout" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@buffering
@pytest.mark.parametrize("words", ["doctor", "doctor --json"])
def test_a_reader_that_has_gone_is_not_mentioned_and_the_verdict_stays(words, unbuffered):
    read, write = os.pipe()
    os.close(read)
    try:
        result = doctor(*words.split()[1:], stdout=write, env=environment(PYTHONUNBUFFERED=unbuffered))
    finally:
        os.close(write)
    assert (result.returncode, result.stderr) == (verdict(), "")


def test_a_closed_stdout_is_skipped_and_keeps_the_verdict():
    result = without("1", "doctor")
    assert (result.returncode, result.stdout, result.stderr) == (verdict(), "", "")


def test_with_all_streams_closed_the_status_is_still_the_childs():
    result = without("012", "run", "--", *shell_argv("exit 5"))
    assert (result.returncode, result.stdout, result.stderr) == (5, "", "")


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_stream_that_is_closed_for_us_is_closed_for_the_child(closed):
    script = f"import os, sys\ntry: os.fstat({closed})\nexcept OSError: sys.exit(7)"
    command = [sys.executable, "-c", script]
    if not POSIX and closed_for(closed, command, subprocess.CREATE_NO_WINDOW).returncode != 7:
        pytest.skip("a program without a window gets streams of its invisible console here (Wine)")
    result = without(closed, "run", "--", *command)
    assert result.returncode == 7


@pytest.mark.parametrize(
    ("words", "status"), [("run -- /no/such/program", 127), ("run --nonsense -- true", 2), ("run", 2), ("", 2)]
)
def test_a_message_that_nobody_can_read_changes_no_status(words, status):
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-m", "processkit", *words.split()]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=write, env=environment(), timeout=60, check=False)
    finally:
        os.close(write)
    assert (result.returncode, result.stdout) == (status, b"")
    result = without("2", *words.split())
    assert (result.returncode, result.stdout) == (status, "")


def test_the_console_script_is_the_same_command_line():
    script = "from processkit._cli import main_and_exit; main_and_exit()"
    words = [sys.executable, "-c", script, "run", "--", *shell_argv("echo out; exit 12")]
    result = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (12, "out\n", "")


def test_functions_registered_for_the_exit_still_run():
    script = "import atexit; atexit.register(print, 'at exit'); from processkit._cli import main_and_exit; main_and_exit()"
    words = [sys.executable, "-c", script, "run", "--", true().program, *true().arguments]
    result = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "at exit\n")


@pytest.mark.parametrize("around", ["cProfile -m", "trace --listfuncs --module"])
def test_a_profiler_or_tracer_around_the_command_line_has_the_last_word(around):
    words = [sys.executable, "-m", *around.split(), "processkit", "run", "--", true().program, *true().arguments]
    result = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert "main_and_exit" in result.stdout, result.stderr


def test_a_thread_that_is_not_a_daemon_is_waited_for():
    thread = "import threading; main = threading.main_thread(); work = lambda: (main.join(), print('thread', flush=True))"
    script = f"{thread}; threading.Thread(target=work).start(); from processkit._cli import main_and_exit; main_and_exit()"
    words = [sys.executable, "-c", script, "doctor", "--json"]
    result = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert result.stdout.endswith("thread\n"), result.stderr


@pytest.mark.skipif(not POSIX, reason="there is one mechanism")
def test_a_mechanism_that_there_is_not_is_told_without_a_traceback():
    for words, status in ((["doctor"], 4), (["doctor", "--json"], 4), (["run", "--", "true"], 125)):
        command = [sys.executable, "-m", "processkit", *words]
        env = {**environment(), "PROCESSKIT_MECHANISM": "bogus"}
        result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
        assert result.returncode == status
        assert "Traceback" not in result.stderr
        assert "bogus" in result.stdout + result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_figures_that_were_asked_for_and_cannot_be_told_are_missed():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "processkit", "run", "--profile", "--", true().program, *true().arguments]
        result = subprocess.run(command, stderr=full, env=environment(), timeout=60, check=False)
    assert result.returncode == 119
