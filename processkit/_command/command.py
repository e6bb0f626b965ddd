"""`Command`: an immutable description of a process to run, and the verbs that run it in a private, contained tree."""

from __future__ import annotations

from .._base import PUBLIC, validate
from .._base.boundary import bounded
from .._plan.settings import INHERIT, NULL, PIPE, File, Settings, check_terminal
from .._process.verbs import Verbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Callable, Literal

    from .._base.result import BytesResult, ProcessResult
    from .._base.types import (
        Args,
        IoPriorityClass,
        LineTerminatorName,
        Priority,
        ReadableBuffer,
        RetryIf,
        RlimitResourceName,
        StrPath,
        SupportsWrite,
        SupportsWriteBytes,
    )
    from .._core.encodings import DecoderFactory
    from .._pipeline.pipeline import Pipeline
    from .._plan.cancel import CancellationToken
    from .._plan.sink import Sink
    from .._process.detached import DetachedChild
    from .._process.running import RunningProcess

_MODES = {"pipe": PIPE, "piped": PIPE, "inherit": INHERIT, "null": NULL}
_TERMINATORS = {"newline": "", "lf": "", "carriage_return": "cr", "cr": "cr"}
_PRIORITIES = ("idle", "below_normal", "normal", "above_normal", "high")
_RLIMITS = ("cpu", "core", "data", "file_size", "no_file", "stack")


class Command(Verbs):
    """A program with its arguments and settings. Every builder method returns a new Command; nothing starts before a verb.

    Builders raise TypeError for a value of the wrong type, OverflowError for an int out of range, ValueError for any other bad
    value. Seconds are an int or float: more than 0 and finite, where a grace or a delay may be 0. Paths are str or
    os.PathLike[str]. Errors that only the launch can find come out of the verb: see `start`.

    The checking verbs are `run`, `run_json`, `exit_code` and `probe`. Async twins (`a…`) need a running asyncio event loop, else
    they raise ProcessError; cancelling the task kills the tree before CancelledError is raised. There is no shell anywhere.
    """

    __module__ = PUBLIC
    __slots__ = ("_settings",)
    _settings: Settings

    def __init__(self, program: StrPath, args: Args | None = None) -> None:
        words = () if args is None else validate.arguments(args)
        self._settings = Settings(validate.path_text(program, "program"), words)

    def _with(self, **changes: Any) -> Command:
        copy = Command.__new__(Command)
        copy._settings = settings = self._settings.replace(**changes)
        if settings.pty is not None:
            check_terminal(settings)
        return copy

    # Its description.

    @property
    def program(self) -> str:
        """The program as it was given."""
        return self._settings.program

    @property
    def arguments(self) -> list[str]:
        """A new list of the arguments, the program excluded."""
        return list(self._settings.args)

    @property
    def configured_arg0(self) -> str | None:
        """The child's own name (argv[0]) as set by `arg0`; None: the program."""
        return self._settings.arg0

    def command_line(self) -> str:
        """One line for display, quoted for a POSIX shell. It contains the raw arguments, so keep it out of logs."""
        from .._plan.display import command_line

        return command_line(self._settings)

    def __repr__(self) -> str:
        from .._plan.display import redacted

        return redacted(self._settings)

    def __reduce__(self) -> str:
        raise TypeError("a Command cannot be pickled")

    # Arguments and place.

    def arg(self, arg: StrPath) -> Command:
        """Append one argument."""
        return self._with(args=(*self._settings.args, validate.path_text(arg, "arg")))

    def args(self, args: Args) -> Command:
        """Append a list or tuple of arguments. TypeError for a bare str, a set or a generator."""
        return self._with(args=self._settings.args + validate.arguments(args))

    def arg0(self, arg0: str) -> Command:
        """Set the child's own name (argv[0]); lookup and messages keep using the program. Unsupported on Windows."""
        return self._with(arg0=validate.text(arg0, "arg0"))

    def cwd(self, path: StrPath) -> Command:
        """Set the working directory (default: ours). A relative program path is still resolved against ours."""
        return self._with(cwd=validate.path_text(path, "cwd"))

    def prefer_local(self, dir: StrPath) -> Command:
        """Search `dir` for a bare program name before PATH, after the `dir` of earlier calls. The child's PATH is unchanged."""
        return self._with(prefer_local=(*self._settings.prefer_local, validate.path_text(dir, "prefer_local")))

    # Environment: evaluated at each spawn, whatever the order of the calls.

    def env(self, key: str, value: str) -> Command:
        """Set an environment variable; the last call for a name wins. A bad name, or a NUL byte, is a ProcessError at launch."""
        key, value = validate.text(key, "env key"), validate.text(value, "env value")
        return self._with(env={**{name: old for name, old in self._settings.env.items() if name != key}, key: value})

    def envs(self, vars: Mapping[str, str]) -> Command:
        """Set several variables, given as a mapping of str to str; see `env`."""
        return self._with(env={**self._settings.env, **validate.environment(vars, "envs")})

    def env_remove(self, key: str) -> Command:
        """Remove a variable from the child's environment; one that is not there is no error."""
        return self._with(env={**self._settings.env, validate.text(key, "env_remove"): None})

    def env_clear(self) -> Command:
        """Start from an empty environment instead of a copy of ours."""
        return self._with(env_clear=True)

    def inherit_env(self, names: Sequence[str]) -> Command:
        """Start from these variables of ours only, as they are at the spawn; calls accumulate, missing names are skipped."""
        return self._with(env_inherit=self._settings.env_inherit + validate.names(names, "inherit_env"), env_clear=True)

    # Streams.

    def stdin_bytes(self, data: ReadableBuffer) -> Command:
        """Write `data` to stdin, then end-of-file (default: nothing); the last source wins. Not to read it is no error."""
        return self._with(stdin_data=validate.byte_payload(data, "stdin_bytes"), stdin_file=None, stdin_source=None)

    def stdin_text(self, text: str) -> Command:
        """Write `text` as UTF-8 to stdin, then end-of-file; as `stdin_bytes`."""
        data = validate.text(text, "stdin_text").encode("utf-8", "surrogateescape")
        return self._with(stdin_data=data, stdin_file=None, stdin_source=None)

    def stdin_file(self, path: StrPath) -> Command:
        """Let the child read this file as its stdin; opened at launch (ProcessError if that fails)."""
        return self._with(stdin_file=validate.path_text(path, "stdin_file"), stdin_data=None, stdin_source=None)

    def stdin_reader(self, source: Any) -> Command:
        """Write the bytes of `source` to stdin as the child reads them, then end-of-file.

        `source` has `read`, or is an iterable or async iterable of bytes; else TypeError. It is never closed. An exception that
        it raises ends the run and comes out of the verb.
        """
        from .._process.stdin import check_source

        return self._with(stdin_source=check_source(source), stdin_data=None, stdin_file=None)

    def keep_stdin_open(self) -> Command:
        """Keep a pipe to stdin for the handle's `take_stdin` or `stdin_writer`; a waiting verb closes it if it was not taken."""
        return self._with(keep_stdin_open=True)

    def inherit_stdin(self) -> Command:
        """Let the child share our stdin. ProcessError at launch together with a stdin source or `keep_stdin_open`."""
        return self._with(inherit_stdin=True)

    def stdout(self, mode: Literal["pipe", "piped", "inherit", "null"]) -> Command:
        """Send stdout to us (`pipe`, the default), where ours goes (`inherit`) or nowhere (`null`); cancels `stdout_file`."""
        return self._with(stdout=validate.label(mode, "stdout mode", _MODES))

    def stderr(self, mode: Literal["pipe", "piped", "inherit", "null"]) -> Command:
        """Send stderr to us (`pipe`, the default), where ours goes (`inherit`) or nowhere (`null`); cancels `stderr_file`."""
        return self._with(stderr=validate.label(mode, "stderr mode", _MODES))

    def stdout_file(self, path: StrPath, *, append: bool = False) -> Command:
        """Let the child write stdout to this file directly; each launch opens it, and truncates it unless `append`."""
        return self._with(stdout=File(validate.path_text(path, "stdout_file"), bool(append)))

    def stderr_file(self, path: StrPath, *, append: bool = False) -> Command:
        """Let the child write stderr to this file directly; each launch opens it, and truncates it unless `append`."""
        return self._with(stderr=File(validate.path_text(path, "stderr_file"), bool(append)))

    def encoding(self, label: str | DecoderFactory) -> Command:
        """Decode stdout and stderr with this encoding (default: UTF-8); invalid bytes become U+FFFD.

        ValueError for an unknown label. Instead of one: what `codecs.getincrementaldecoder` returns, or any callable like it.
        """
        from .._core.encodings import decoder_factory

        decoder = decoder_factory(label)
        return self._with(stdout_decoder=decoder, stderr_decoder=decoder)

    def stdout_encoding(self, label: str | DecoderFactory) -> Command:
        """Decode stdout with this encoding; see `encoding`."""
        from .._core.encodings import decoder_factory

        return self._with(stdout_decoder=decoder_factory(label, "stdout_encoding"))

    def stderr_encoding(self, label: str | DecoderFactory) -> Command:
        """Decode stderr with this encoding; see `encoding`."""
        from .._core.encodings import decoder_factory

        return self._with(stderr_decoder=decoder_factory(label, "stderr_encoding"))

    def line_terminator(self, mode: LineTerminatorName) -> Command:
        r"""End lines at `\n` or `\r\n` (`newline` or `lf`, the default), or at a lone `\r` too (`carriage_return` or `cr`)."""
        lone_cr = bool(validate.label(mode, "line_terminator", _TERMINATORS))
        return self._with(stdout_cr=lone_cr, stderr_cr=lone_cr)

    def stdout_line_terminator(self, mode: LineTerminatorName) -> Command:
        """As `line_terminator`, for stdout alone."""
        return self._with(stdout_cr=bool(validate.label(mode, "stdout_line_terminator", _TERMINATORS)))

    def stderr_line_terminator(self, mode: LineTerminatorName) -> Command:
        """As `line_terminator`, for stderr alone."""
        return self._with(stderr_cr=bool(validate.label(mode, "stderr_line_terminator", _TERMINATORS)))

    def sanitize_vt(self) -> Command:
        """Remove control sequences and control characters, except tabs, from captured and iterated text; not from bytes."""
        return self._with(stdout_clean=True, stderr_clean=True)

    def stdout_sanitize_vt(self) -> Command:
        """As `sanitize_vt`, for stdout alone."""
        return self._with(stdout_clean=True)

    def stderr_sanitize_vt(self) -> Command:
        """As `sanitize_vt`, for stderr alone."""
        return self._with(stderr_clean=True)

    def stdout_tee(self, sink: StrPath | SupportsWrite, *, append: bool = False) -> Command:
        """Also write every line of stdout, as it comes, to a writer of text or to a file; a later call replaces this one.

        The file is opened now (OSError if that fails), truncated unless `append`, and written as UTF-8; `append` with a writer is
        a ValueError. A sink that fails gets no more, and the run goes on; a writer's exception goes to sys.unraisablehook. Under
        `output_bytes`, or if stdout is not piped, it gets nothing.
        """
        return self._with(tapped=True, stdout_tee=_sink(sink, append))

    def stderr_tee(self, sink: StrPath | SupportsWrite, *, append: bool = False) -> Command:
        """As `stdout_tee`, for stderr; also under `output_bytes`."""
        return self._with(tapped=True, stderr_tee=_sink(sink, append))

    def stdout_raw_tee(self, sink: StrPath | SupportsWriteBytes, *, append: bool = False) -> Command:
        """As `stdout_tee`, with the exact bytes as they are read; a writer is given bytes."""
        return self._with(tapped=True, stdout_raw_tee=_sink(sink, append))

    def stderr_raw_tee(self, sink: StrPath | SupportsWriteBytes, *, append: bool = False) -> Command:
        """As `stdout_raw_tee`, for stderr; also under `output_bytes`."""
        return self._with(tapped=True, stderr_raw_tee=_sink(sink, append))

    def on_stdout_line(self, callback: Callable[[str], object]) -> Command:
        """Call this with every line of stdout, perhaps on another thread; its exceptions go to sys.unraisablehook."""
        return self._with(tapped=True, on_stdout=validate.callback(callback, "callback"))

    def on_stderr_line(self, callback: Callable[[str], object]) -> Command:
        """As `on_stdout_line`, for stderr; also under `output_bytes`, where stdout has no lines."""
        return self._with(tapped=True, on_stderr=validate.callback(callback, "callback"))

    # Time and verdict.

    def timeout(self, seconds: float) -> Command:
        """End the tree `seconds` after the launch (default: never): Timeout from checking verbs, else `timed_out`."""
        return self._with(timeout=validate.positive(seconds, "timeout"), timeout_set=True)

    def no_timeout(self) -> Command:
        """Set no time limit, also against a client's default."""
        return self._with(timeout=None, timeout_set=True)

    def timeout_opt(self, seconds: float | None) -> Command:
        """As `timeout(seconds)`, or as `no_timeout()` if `seconds` is None."""
        return (
            self.no_timeout()
            if seconds is None
            else self._with(timeout=validate.positive(seconds, "timeout_opt"), timeout_set=True)
        )

    def timeout_grace(self, seconds: float) -> Command:
        """At the deadline send the timeout signal, and kill the rest `seconds` later (default: kill at once)."""
        return self._with(timeout_grace=validate.non_negative(seconds, "timeout_grace"))

    def timeout_signal(self, name: str | int) -> Command:
        """Set the signal of `timeout_grace` and `shutdown`: term (default), kill, int, hup, quit, usr1, usr2, or 1 to 64."""
        from .._plan.signals import signal_number

        return self._with(timeout_signal=signal_number(name, "timeout_signal"))

    def idle_timeout(self, seconds: float) -> Command:
        """Kill the tree when no complete line comes for `seconds` (default: never).

        Checking verbs and iterators raise IdleTimeout; a result says `idle_timed_out`. Both streams count, in `stdout_lines` and
        `stdout_json_lines` stdout alone. `outcome`, `finish`, `profile` and pipelines do not watch.
        """
        return self._with(idle_timeout=validate.positive(seconds, "idle_timeout"))

    def success_codes(self, codes: Sequence[int]) -> Command:
        """Replace the exit codes that count as success (default: 0). ValueError for none. `exit_code` and `probe` ignore them."""
        return self._with(success_codes=validate.success_codes(codes))

    def output_limit(
        self, *, max_bytes: int | None = None, max_lines: int | None = None, on_overflow: str = "drop_oldest"
    ) -> Command:
        """Cap the captured output of each stream (default: all is kept). ValueError without a limit.

        `drop_oldest` keeps the newest whole lines within both limits, `drop_newest` the earliest; `error` raises OutputTooLarge
        once the run has ended, and kills a tree that is 1 MiB or 65536 lines over. `max_bytes` counts the kept lines as UTF-8
        without their ends; in `error` mode, and for the stdout of `output_bytes`, which `max_lines` does not bound, the raw
        bytes. The pipe is always read to its end, so a cap never blocks the child.
        """
        from .._core.caps import DROP_NEWEST, DROP_OLDEST, ERROR, Cap

        if max_bytes is None and max_lines is None:
            raise ValueError("output_limit needs max_bytes or max_lines")
        mode = validate.label(on_overflow, "on_overflow", (DROP_OLDEST, DROP_NEWEST, ERROR))
        most_bytes = None if max_bytes is None else validate.unsigned(max_bytes, "max_bytes", validate.U64)
        most_lines = None if max_lines is None else validate.unsigned(max_lines, "max_lines", validate.U64)
        return self._with(cap=Cap(most_bytes, most_lines, mode))

    def cancel_on(self, token: CancellationToken) -> Command:
        """Kill the tree and raise Cancelled when `token` is cancelled, before the start if it is already; the last token wins."""
        from .._plan.cancel import checked

        return self._with(token=checked(token))

    def retry(
        self,
        retry_if: RetryIf | Callable[[BaseException], bool],
        *,
        max_retries: int | None = None,
        initial_backoff: float | None = None,
        multiplier: float | None = None,
        max_backoff: float | None = None,
        jitter: bool | None = None,
    ) -> Command:
        """Let the checking verbs run it again when it fails for a reason that may pass; other verbs and pipelines do not.

        `retry_if`: `transient` (errors of which `is_transient` is true), `transient_or_timeout` (also Timeout), or a function
        that is asked about every ProcessError. Cancelled is never retried.
        `max_retries`: attempts after the first (default 3). `initial_backoff`: seconds before the first of them (default 0.1).
        `multiplier`: how much longer each delay is than the one before (default 2.0). `max_backoff`: most seconds of one delay
        (default 30.0). `jitter`: draw each delay evenly from 0 to its length (default True).
        """
        from .._plan.retry import Retry

        policy = Retry(retry_if, max_retries, initial_backoff, multiplier, max_backoff, jitter)
        return self._with(retry=policy, retry_set=True)

    def retry_never(self) -> Command:
        """Run it once, also against a client's default."""
        return self._with(retry=None, retry_set=True)

    def logger(self, logger: Any) -> Command:
        """Send this command's log records to this `logging.Logger` instead of the one named `processkit`."""
        return self._with(logger=logger)

    def pty(self, *, cols: int | None = None, rows: int | None = None) -> Command:
        """Give the child a terminal of `cols` by `rows` characters (default: 80 by 24) as stdin, stdout and stderr.

        Its screen output is read as stdout; stderr is empty. On Linux it does not echo what is written to it. ValueError with
        redirected or inherited streams, for one dimension alone, or one below 1; OverflowError above 65535.
        """
        return self._with(pty=validate.terminal_size(cols, rows))

    # In a pipeline.

    def unchecked_in_pipe(self) -> Command:
        """Let a pipeline with this stage succeed even if this stage fails. No effect elsewhere."""
        return self._with(unchecked=True)

    def merge_stderr_in_pipe(self) -> Command:
        """Send stderr into the pipe with stdout, unless this is the last stage of a pipeline. No effect elsewhere."""
        return self._with(merged=True)

    def pipe(self, other: Command) -> Pipeline:
        """Return a pipeline in which `other` reads the stdout of this; also written `self | other`."""
        from .._pipeline.pipeline import Pipeline, check_stage

        return Pipeline((self._settings, check_stage(other)))

    def __or__(self, other: Command) -> Pipeline:
        return self.pipe(other)

    # Attributes of the process.

    def kill_on_parent_death(self) -> Command:
        """Ask for what every contained run has anyway: its tree dies when this process dies, by whatever means."""
        return self._with(kill_on_parent_death=True)

    @staticmethod
    def kill_on_parent_death_scope() -> str:
        """Return how much dies here when the owner dies abruptly: `whole_tree`, or `unsupported` if nothing would end it."""
        from .._host.host import parent_death_scope

        return parent_death_scope()

    def leash(self) -> Command:
        """Start it in our process group and session; the system kills it, not its children, when we die. Not in a group."""
        return self._with(leash=True)

    def create_no_window(self) -> Command:
        """Windows: start without a console window. No effect elsewhere."""
        return self._with(create_no_window=True)

    def windows_graceful_ctrl_break(self) -> Command:
        """Windows: begin a graceful stop with CTRL_BREAK; without this the child cannot be asked to end. No effect elsewhere."""
        return self._with(graceful_break=True)

    def uid(self, uid: int) -> Command:
        """Run as this user id, set after groups and gid. PermissionDenied without the privilege; not on Windows. setresuid(2)"""
        return self._with(attributed=True, uid=validate.unsigned(uid, "uid"))

    def gid(self, gid: int) -> Command:
        """Run as this group id; as `uid`. setresgid(2)"""
        return self._with(attributed=True, gid=validate.unsigned(gid, "gid"))

    def groups(self, gids: Sequence[int]) -> Command:
        """Replace the supplementary group ids; as `uid`. setgroups(2)"""
        return self._with(
            attributed=True, groups=tuple(validate.unsigned(gid, "each of groups") for gid in validate.sequence(gids, "groups"))
        )

    def setsid(self) -> Command:
        """Give the child a session of its own; not on Windows. setsid(2)"""
        return self._with(attributed=True, new_session=True)

    def umask(self, mask: int) -> Command:
        """Set the child's file mode creation mask, 0 to 0o7777; not on Windows. umask(2)"""
        return self._with(attributed=True, umask=validate.unsigned(mask, "umask", 0o7777))

    def rlimit(self, resource: RlimitResourceName, soft: int, hard: int) -> Command:
        """Limit a resource of the child, and of each descendant by itself; not on Windows. setrlimit(2)

        `cpu` is seconds of CPU time, `no_file` a number of descriptors, `core`, `data`, `file_size` and `stack` are bytes;
        2**64 - 1 is no limit. At launch ProcessError if soft is above hard, PermissionDenied if hard is above ours
        without the privilege.
        """
        name = validate.label(resource, "rlimit resource", _RLIMITS)
        limits = (validate.unsigned(soft, "rlimit soft", validate.U64), validate.unsigned(hard, "rlimit hard", validate.U64))
        return self._with(attributed=True, rlimits={**self._settings.rlimits, name: limits})

    def priority(self, level: Priority) -> Command:
        """Set the priority, which descendants inherit: nice 19, 10, 0, -5, -10. PermissionDenied at launch if refused."""
        return self._with(attributed=True, priority=validate.label(level, "priority", _PRIORITIES))

    def cpu_affinity(self, cpus: Sequence[int]) -> Command:
        """Set the processors it may run on, numbered from 0. ProcessError at launch if there are none."""
        chosen = {validate.unsigned(cpu, "each of cpu_affinity") for cpu in validate.sequence(cpus, "cpu_affinity")}
        return self._with(attributed=True, affinity=tuple(sorted(chosen)))

    def io_priority(self, class_name: IoPriorityClass, *, level: int | None = None) -> Command:
        """Set the I/O class: `idle`, or `best_effort` or `real_time` with level 0 (first) to 7; not on Windows. ioprio_set(2)"""
        return self._with(attributed=True, io_priority=validate.io_priority(class_name, level))

    # Verbs.

    def start(self) -> RunningProcess:
        """Start it and return a handle that owns its tree: closing or dropping the handle kills all of it.

        Raises ProcessNotFound or PermissionDenied if the program cannot be executed, Unsupported for what this system cannot do
        (what is marked "not on Windows" there), Cancelled, or ProcessError for any other failure of the launch: a directory, a
        redirect, a NUL byte, two kinds of stdin. Then nothing of it is alive.
        """
        made: RunningProcess = _launch().start(self._settings)
        return made

    async def astart(self) -> RunningProcess:
        """Async twin of `start`; the event loop is not blocked while the process is being made."""
        made: RunningProcess = await _launch().astart(self._settings)
        return made

    def output(self) -> ProcessResult:
        """Run it and return its text and outcome, whatever that is. Nothing of the tree is left when this returns or raises.

        Raises the errors of `start`, OutputTooLarge, ProcessError if stdout is not piped, or a stdin source's exception.
        """
        made: ProcessResult = _launch().one_shot(self._settings, need_stdout=True)
        return made

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        made: ProcessResult = await _launch().aone_shot(self._settings, need_stdout=True)
        return made

    def output_bytes(self) -> BytesResult:
        """As `output`, with the exact bytes of stdout; stderr is text."""
        made: BytesResult = _launch().one_shot_bytes(self._settings)
        return made

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        made: BytesResult = await _launch().aone_shot_bytes(self._settings)
        return made

    def run_json(self) -> Any:
        """Run it and return the JSON value in its stdout; raise as `run` does, InvalidJson where it is none."""
        return self._json()

    async def arun_json(self) -> Any:
        """Async twin of `run_json`."""
        return await self._ajson()

    def _captured(self) -> ProcessResult:
        made: ProcessResult = _launch().one_shot(self._settings, need_stdout=False)
        return made

    async def _acaptured(self) -> ProcessResult:
        made: ProcessResult = await _launch().aone_shot(self._settings, need_stdout=False)
        return made

    def _retrying(self) -> Settings | None:
        return None if self._settings.retry is None else self._settings

    def resolve_program(self) -> str:
        """Return the absolute path of the program that would run. Raises ProcessNotFound or PermissionDenied as a run does."""
        from .._plan.plan import resolve_settings

        return resolve_settings(self._settings)

    def spawn_detached(self) -> DetachedChild:
        """Start it outside containment: it survives us, and only its pid is returned. Its streams are null unless they are files.

        Raises the errors of `start`, and Unsupported for a setting that needs an owner: timeouts, retry, token, stdin, inherited
        streams, tees, callbacks, output limit, pty, leash.
        """
        from .._process.detached import spawn_detached

        return spawn_detached(self._settings)


_launching: Any = None


def _launch() -> Any:
    """The module that starts processes, imported by the first verb: an import statement takes a microsecond each time."""
    global _launching
    if _launching is None:
        from .._process import launch

        _launching = launch
    return _launching


def _sink(sink: Any, append: bool) -> Sink:
    from .._plan.sink import Sink

    return Sink(sink, append)


for _verb in ("start", "output", "output_bytes", "run_json"):
    for _name in (_verb, f"a{_verb}"):
        setattr(Command, _name, bounded(getattr(Command, _name)))
Command.spawn_detached = bounded(Command.spawn_detached)  # type: ignore[method-assign]
