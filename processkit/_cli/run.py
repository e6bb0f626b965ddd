"""`run`: one command in a group of its own, with our streams; its exit status is ours."""

from __future__ import annotations

import sys

from .. import (
    Command,
    IdleTimeout,
    Outcome,
    PermissionDenied,
    ProcessError,
    ProcessGroup,
    ProcessNotFound,
    ResourceLimit,
    Signalled,
    Timeout,
    Unsupported,
)
from .status import IDLE, INTERNAL, NOT_EXECUTABLE, NOT_FOUND, SIGNALLED, TIMED_OUT, Undelivered, complain, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType

    from .. import RunningProcess
    from .options import Options
else:
    # `signal` makes enumerations of it when it is imported, which costs a twentieth of what a run may cost.
    import _signal as signal

# Options that need the output to be read, line by line: see streaming.py.
_STREAMING = ("idle_timeout", "output_limit", "sanitize_vt", "pty")
#: Seconds between two samples of `--profile`.
SAMPLING = 0.1


class _Told(BaseException):
    """A signal told this wrapper to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _tell(number: int, _frame: FrameType | None) -> None:
    raise _Told(number)


class _NotWritable(Exception):
    """The figures of `--profile` cannot be written to their file."""


class _NoContainment(Exception):
    """No group can be made; the text says why."""


#: What may keep a command from running to its end, the exit status for it, and the words before its text; the first that fits.
_REFUSALS: tuple[tuple[type[Exception], int, str], ...] = (
    (IdleTimeout, IDLE, ""),
    (ProcessNotFound, NOT_FOUND, ""),
    (PermissionDenied, NOT_EXECUTABLE, "permission denied: "),
    (ProcessError, INTERNAL, ""),
    (_NotWritable, INTERNAL, ""),
    (_NoContainment, INTERNAL, ""),
    (OverflowError, INTERNAL, ""),
    (ValueError, INTERNAL, ""),
)


def run(options: Options) -> int:
    """Run the command of `options` and return the exit status of api.md §26.4."""
    try:
        for name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
            number = getattr(signal, name, None)
            # A signal that was ignored when we were started stays ignored: nohup(1).
            if number is not None and signal.getsignal(number) is signal.SIG_DFL and not _was_ignored(number):
                signal.signal(number, _tell)
        command = _command(options)
        with _group(options) as group:
            outcome = _outcome(group, command, options)
        return _status(outcome, options, command.program)
    except Undelivered as undelivered:
        return undelivered.status
    except _Told as told:
        complain(f"interrupted by signal {told.number}")
        return SIGNALLED + told.number
    except Exception as error:
        for kind, status, words in _REFUSALS:
            if isinstance(error, kind):
                complain(f"{words}{error}")
                return status
        raise


def _was_ignored(number: int) -> bool:
    """Return whether a signal is ignored although Python does not know: PyPy does not ask when it starts. proc_pid_status(5)"""
    if sys.implementation.name == "cpython":
        return False
    try:
        with open("/proc/self/status", "rb") as status:
            masks = [int(line[7:], 16) for line in status if line.startswith(b"SigIgn:")]
    except OSError:
        return False
    return any(mask >> number - 1 & 1 for mask in masks)


def _outcome(group: ProcessGroup, command: Command, options: Options) -> Outcome:
    """Run the command and return how it ended."""
    if any(getattr(options, name) for name in _STREAMING):
        from .streaming import follow

        with group.start(command) as process:
            return follow(process)
    if options.profile is not None:
        with group.start(command) as process:
            return _profiled(process, options.profile)
    try:
        return Outcome(group.exit_code(command), None, False)
    except Timeout:
        return Outcome(None, None, True)
    except Signalled as error:
        return Outcome(None, error.signal, False)


def _profiled(process: RunningProcess, path: str) -> Outcome:
    """Return the outcome, after writing the figures as one line of JSON to stderr or a file."""
    import json

    profile = process.profile(SAMPLING)
    figures = (
        "duration_seconds",
        "cpu_time_seconds",
        "peak_memory_bytes",
        "avg_cpu_cores",
        "samples",
        "code",
        "signal",
        "timed_out",
    )
    line = json.dumps({name: getattr(profile, name) for name in figures}) + "\n"
    if path == "-":
        tell(line, is_wanted=True)
        return profile.outcome
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise _NotWritable(f"the profile could not be written to {path}: {error}") from error
    return profile.outcome


def _group(options: Options) -> ProcessGroup:
    """Return a group with the caps that were asked for or, with `--allow-uncapped`, without any if one cannot be enforced."""
    caps = {name: getattr(options, name) for name in ("max_memory", "max_processes", "cpu_quota")}
    try:
        try:
            return ProcessGroup(**caps)
        except (ResourceLimit, Unsupported) as error:
            if not options.allow_uncapped:
                raise
            complain(f"{error}; contained, but uncapped")
            return ProcessGroup()
    except (ResourceLimit, Unsupported) as error:
        raise _NoContainment(f"containment is unavailable: {error}") from error
    except (OSError, ProcessError) as error:
        raise _NoContainment(f"could not initialize containment in this environment: {error}") from error


def _status(outcome: Outcome, options: Options, program: str) -> int:
    if outcome.timed_out:
        complain(f"{program} timed out after {options.timeout} s")
        return TIMED_OUT
    if outcome.code is not None:
        return outcome.code
    if outcome.signal is None:
        complain(f"{program} has ended, but something else took its exit status")
        return INTERNAL
    complain(f"{program} was killed by signal {outcome.signal}")
    return SIGNALLED + outcome.signal


def _command(options: Options) -> Command:
    """Return the command with the given options, in the order of api.md §26.1."""
    program, *arguments = options.command or [""]
    command = Command(program, arguments)
    streaming = any(getattr(options, name) for name in _STREAMING)
    if streaming:
        from .streaming import streamed

        command = streamed(command, options)
    else:
        command = command.inherit_stdin().stdout("inherit").stderr("inherit")
    if options.stdout_file is not None:
        command = command.stdout_file(options.stdout_file)
    if options.stderr_file is not None:
        command = command.stderr_file(options.stderr_file)
    if streaming:
        from .streaming import looked_at

        command = looked_at(command, options)
    if options.create_no_window:
        command = command.create_no_window()
    if options.kill_on_parent_death:
        command = command.kill_on_parent_death()
    if options.priority is not None:
        command = command.priority(options.priority)
    if options.io_priority is not None:
        name, level = options.io_priority
        command = command.io_priority(name, level=level)
    if options.cpu_affinity is not None:
        command = command.cpu_affinity(options.cpu_affinity)
    command = _environment(command, options)
    if options.timeout is not None:
        command = command.timeout(options.timeout)
    if options.timeout_grace is not None:
        command = command.timeout_grace(options.timeout_grace)
    return command


def _environment(command: Command, options: Options) -> Command:
    """Apply clear, inherit, files, pairs and working directory, in this order."""
    if options.env_clear:
        command = command.env_clear()
    if options.inherit_env:
        command = command.inherit_env(options.inherit_env)
    for pairs in options.env_file:
        command = command.envs(dict(pairs))
    if options.env:
        command = command.envs(dict(options.env))
    return command if options.cwd is None else command.cwd(options.cwd)
