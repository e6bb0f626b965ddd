"""`Command`: an immutable description of a process to run, and the verbs that run it in a private, contained tree."""

from __future__ import annotations

from .._base import PUBLIC, validate
from .._plan.settings import INHERIT, NULL, PIPE, Redirect, Settings, check_terminal
from .._process import launch as _launch
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
_PRIORITIES = {name: name for name in ("idle", "below_normal", "normal", "above_normal", "high")}
_RLIMITS = {name: name for name in ("cpu", "core", "data", "file_size", "no_file", "stack")}


class Command(Verbs):
    """A program with its arguments and settings. Every builder method returns a new Command; nothing starts before a verb."""

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

    # What it is.

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
        """What the child sees as its own name, None for the program."""
        return self._settings.arg0

    def command_line(self) -> str:
        """One line for display, quoted as a POSIX shell would need it. Holds the raw arguments: not for logs."""
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
        """Append arguments."""
        return self._with(args=self._settings.args + validate.arguments(args))

    def arg0(self, arg0: str) -> Command:
        """What the child sees as its own name; lookup and messages keep using the program. Unix only."""
        return self._with(arg0=validate.text(arg0, "arg0"))

    def cwd(self, path: StrPath) -> Command:
        """The child's working directory. A relative program path is not re-anchored to it."""
        return self._with(cwd=validate.path_text(path, "cwd"))

    def prefer_local(self, dir: StrPath) -> Command:
        """Search `dir` for a bare program name before PATH; earlier calls come first. The child's PATH is unchanged."""
        return self._with(prefer_local=(*self._settings.prefer_local, validate.path_text(dir, "prefer_local")))

    # Environment: evaluated at each spawn, whatever the order of the calls.

    def env(self, key: str, value: str) -> Command:
        """Set a variable."""
        key, value = validate.text(key, "env key"), validate.text(value, "env value")
        return self._with(env={**{name: old for name, old in self._settings.env.items() if name != key}, key: value})

    def envs(self, vars: Mapping[str, str]) -> Command:
        """Set many variables."""
        return self._with(env={**self._settings.env, **validate.environment(vars, "envs")})

    def env_remove(self, key: str) -> Command:
        """Remove a variable."""
        return self._with(env={**self._settings.env, validate.text(key, "env_remove"): None})

    def env_clear(self) -> Command:
        """Start from an empty environment instead of ours."""
        return self._with(env_clear=True)

    def inherit_env(self, names: Sequence[str]) -> Command:
        """Start from these variables of ours only, as they are at the spawn; calls accumulate."""
        return self._with(env_inherit=self._settings.env_inherit + validate.names(names, "inherit_env"), env_clear=True)

    # Streams.

    def stdin_bytes(self, data: ReadableBuffer) -> Command:
        """Write `data` to stdin, then end-of-file. A child that does not read it is no error."""
        return self._with(stdin_data=validate.byte_payload(data, "stdin_bytes"), stdin_file=None, stdin_source=None)

    def stdin_text(self, text: str) -> Command:
        """Write `text` as UTF-8 to stdin, then end-of-file."""
        data = validate.text(text, "stdin_text").encode("utf-8", "surrogateescape")
        return self._with(stdin_data=data, stdin_file=None, stdin_source=None)

    def stdin_file(self, path: StrPath) -> Command:
        """The child reads this file; it is opened at launch."""
        return self._with(stdin_file=validate.path_text(path, "stdin_file"), stdin_data=None, stdin_source=None)

    def stdin_reader(self, source: Any) -> Command:
        """Write what `source` gives, as it is wanted, then end-of-file: an object with `read`, an iterable or async iterable of bytes.

        It is never closed by us. What it raises ends the run and is raised.
        """
        from .._process.stdin import check_source

        return self._with(stdin_source=check_source(source), stdin_data=None, stdin_file=None)

    def keep_stdin_open(self) -> Command:
        """Keep a pipe to stdin for the handle; a one-shot verb closes it."""
        return self._with(keep_stdin_open=True)

    def inherit_stdin(self) -> Command:
        """The child shares our stdin."""
        return self._with(inherit_stdin=True)

    def stdout(self, mode: Literal["pipe", "piped", "inherit", "null"]) -> Command:
        """Where it goes: `pipe`, `inherit` or `null`; cancels `stdout_file`."""
        return self._with(stdout=validate.label(mode, "stdout mode", _MODES))

    def stderr(self, mode: Literal["pipe", "piped", "inherit", "null"]) -> Command:
        """Where it goes: `pipe`, `inherit` or `null`; cancels `stderr_file`."""
        return self._with(stderr=validate.label(mode, "stderr mode", _MODES))

    def stdout_file(self, path: StrPath, *, append: bool = False) -> Command:
        """The child writes to this file directly; opened, and unless `append` truncated, by the launch of each run."""
        return self._with(stdout=Redirect(validate.path_text(path, "stdout_file"), bool(append)))

    def stderr_file(self, path: StrPath, *, append: bool = False) -> Command:
        """The child writes to this file directly; opened, and unless `append` truncated, by the launch of each run."""
        return self._with(stderr=Redirect(validate.path_text(path, "stderr_file"), bool(append)))

    def encoding(self, label: str | DecoderFactory) -> Command:
        """The encoding of stdout and stderr; invalid bytes become U+FFFD. ValueError for an unknown label.

        Instead of a label: what `codecs.getincrementaldecoder` returns, or any callable like it.
        """
        from .._core.encodings import decoder_factory

        decoder = decoder_factory(label)
        return self._with(stdout_decoder=decoder, stderr_decoder=decoder)

    def stdout_encoding(self, label: str | DecoderFactory) -> Command:
        """The encoding of stdout."""
        from .._core.encodings import decoder_factory

        return self._with(stdout_decoder=decoder_factory(label, "stdout_encoding"))

    def stderr_encoding(self, label: str | DecoderFactory) -> Command:
        """The encoding of stderr."""
        from .._core.encodings import decoder_factory

        return self._with(stderr_decoder=decoder_factory(label, "stderr_encoding"))

    def line_terminator(self, mode: LineTerminatorName) -> Command:
        r"""`newline`, or `carriage_return`: a lone `\r` ends a line too."""
        lone_cr = bool(validate.label(mode, "line_terminator", _TERMINATORS))
        return self._with(stdout_cr=lone_cr, stderr_cr=lone_cr)

    def stdout_line_terminator(self, mode: LineTerminatorName) -> Command:
        """The same for stdout alone."""
        return self._with(stdout_cr=bool(validate.label(mode, "stdout_line_terminator", _TERMINATORS)))

    def stderr_line_terminator(self, mode: LineTerminatorName) -> Command:
        """The same for stderr alone."""
        return self._with(stderr_cr=bool(validate.label(mode, "stderr_line_terminator", _TERMINATORS)))

    def sanitize_vt(self) -> Command:
        """Remove control sequences and control characters, but for tabs, from captured text; exact bytes are left as they are."""
        return self._with(stdout_clean=True, stderr_clean=True)

    def stdout_sanitize_vt(self) -> Command:
        """The same for stdout alone."""
        return self._with(stdout_clean=True)

    def stderr_sanitize_vt(self) -> Command:
        """The same for stderr alone."""
        return self._with(stderr_clean=True)

    def stdout_tee(self, sink: StrPath | SupportsWrite, *, append: bool = False) -> Command:
        """Write every line of stdout, as it comes, to a writer of text, or to a file, which is opened now.

        A sink that fails is left alone from then on and the run goes on: what a writer raised goes to sys.unraisablehook.
        """
        return self._with(tapped=True, stdout_tee=_sink(sink, append))

    def stderr_tee(self, sink: StrPath | SupportsWrite, *, append: bool = False) -> Command:
        """The same for stderr."""
        return self._with(tapped=True, stderr_tee=_sink(sink, append))

    def stdout_raw_tee(self, sink: StrPath | SupportsWriteBytes, *, append: bool = False) -> Command:
        """Write the bytes of stdout, as they are read, to a writer of bytes, or to a file, which is opened now."""
        return self._with(tapped=True, stdout_raw_tee=_sink(sink, append))

    def stderr_raw_tee(self, sink: StrPath | SupportsWriteBytes, *, append: bool = False) -> Command:
        """The same for stderr."""
        return self._with(tapped=True, stderr_raw_tee=_sink(sink, append))

    def on_stdout_line(self, callback: Callable[[str], object]) -> Command:
        """Call this with every line of stdout, as it comes. Possibly on another thread; what it raises goes to sys.unraisablehook."""
        return self._with(tapped=True, on_stdout=validate.callback(callback, "callback"))

    def on_stderr_line(self, callback: Callable[[str], object]) -> Command:
        """The same for stderr."""
        return self._with(tapped=True, on_stderr=validate.callback(callback, "callback"))

    # Time and verdict.

    def timeout(self, seconds: float) -> Command:
        """At most this long, streams included; then the whole tree is ended."""
        return self._with(timeout=validate.positive(seconds, "timeout"), timeout_set=True)

    def no_timeout(self) -> Command:
        """No limit, also where a client has a default."""
        return self._with(timeout=None, timeout_set=True)

    def timeout_opt(self, seconds: float | None) -> Command:
        """As `timeout`, or `no_timeout` for None."""
        return (
            self.no_timeout()
            if seconds is None
            else self._with(timeout=validate.positive(seconds, "timeout_opt"), timeout_set=True)
        )

    def timeout_grace(self, seconds: float) -> Command:
        """At the deadline send the timeout signal and wait this long for the tree before it is killed."""
        return self._with(timeout_grace=validate.non_negative(seconds, "timeout_grace"))

    def timeout_signal(self, name: str | int) -> Command:
        """The signal of the grace, by name or number; default `term`."""
        from .._plan.signals import signal_number

        return self._with(timeout_signal=signal_number(name, "timeout_signal"))

    def idle_timeout(self, seconds: float) -> Command:
        """End the tree when no line comes on either stream for this long: IdleTimeout, or `idle_timed_out` in a result."""
        return self._with(idle_timeout=validate.positive(seconds, "idle_timeout"))

    def success_codes(self, codes: Sequence[int]) -> Command:
        """Replace the exit codes that count as success (default: 0)."""
        return self._with(success_codes=validate.success_codes(codes))

    def output_limit(
        self, *, max_bytes: int | None = None, max_lines: int | None = None, on_overflow: str = "drop_oldest"
    ) -> Command:
        """How much of each stream is captured: whole lines within both limits, the newest or the earliest, or an error.

        The pipe is read on whatever is kept. `error` raises OutputTooLarge when the run has ended, and ends a flood.
        """
        from .._core.caps import DROP_NEWEST, DROP_OLDEST, ERROR, Cap

        if max_bytes is None and max_lines is None:
            raise ValueError("output_limit needs max_bytes or max_lines")
        mode = validate.label(on_overflow, "on_overflow", {name: name for name in (DROP_OLDEST, DROP_NEWEST, ERROR)})
        most_bytes = None if max_bytes is None else validate.unsigned(max_bytes, "max_bytes", validate.U64)
        most_lines = None if max_lines is None else validate.unsigned(max_lines, "max_lines", validate.U64)
        return self._with(cap=Cap(most_bytes, most_lines, mode))

    def cancel_on(self, token: CancellationToken) -> Command:
        """End the run, and raise Cancelled, when `token` is cancelled; replaces an earlier token."""
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
        """Have the checking verbs run it again when it fails for a reason that may pass: a preset, or `exc → bool`."""
        from .._plan.retry import Retry

        policy = Retry(retry_if, max_retries, initial_backoff, multiplier, max_backoff, jitter)
        return self._with(retry=policy, retry_set=True)

    def retry_never(self) -> Command:
        """Run it once, also where a client has a default."""
        return self._with(retry=None, retry_set=True)

    def logger(self, logger: Any) -> Command:
        """Where this command's log records go instead of the `processkit` logger."""
        return self._with(logger=logger)

    def pty(self, *, cols: int | None = None, rows: int | None = None) -> Command:
        """Give it a terminal for stdin, stdout and stderr; what it shows is its stdout, and stderr is empty. 80 by 24 by default.

        The terminal does not repeat what is written to it. ValueError with redirected or inherited streams.
        """
        return self._with(pty=validate.terminal_size(cols, rows))

    # In a pipeline.

    def unchecked_in_pipe(self) -> Command:
        """As a stage of a pipeline its failure is nobody's. No effect elsewhere."""
        return self._with(unchecked=True)

    def merge_stderr_in_pipe(self) -> Command:
        """As a stage before the last its stderr goes into the pipe with its stdout. No effect elsewhere."""
        return self._with(merged=True)

    def pipe(self, other: Command) -> Pipeline:
        """A pipeline in which `other` reads what this writes; so does `self | other`."""
        from .._pipeline.pipeline import Pipeline, check_stage

        return Pipeline((self._settings, check_stage(other)))

    def __or__(self, other: Command) -> Pipeline:
        return self.pipe(other)

    # Attributes of the process.

    def kill_on_parent_death(self) -> Command:
        """Ask for what every contained run has anyway: its tree dies when we die by any means."""
        return self._with(kill_on_parent_death=True)

    @staticmethod
    def kill_on_parent_death_scope() -> str:
        """`whole_tree`, `direct_child_only` or `unsupported`: what dies here when the owner dies abruptly."""
        from .._host.host import parent_death_scope

        return parent_death_scope()

    def leash(self) -> Command:
        """A direct child in our own process group and session, killed by the system when we die; its children are not ours."""
        return self._with(leash=True)

    def create_no_window(self) -> Command:
        """Windows: no console window. No effect elsewhere."""
        return self._with(create_no_window=True)

    def windows_graceful_ctrl_break(self) -> Command:
        """Windows: the grace begins with CTRL_BREAK. No effect elsewhere."""
        return self._with(graceful_break=True)

    def uid(self, uid: int) -> Command:
        """Run as this user, after groups and gid were set. setresuid(2)"""
        return self._with(attributed=True, uid=validate.unsigned(uid, "uid"))

    def gid(self, gid: int) -> Command:
        """Run as this group. setresgid(2)"""
        return self._with(attributed=True, gid=validate.unsigned(gid, "gid"))

    def groups(self, gids: Sequence[int]) -> Command:
        """Replace the supplementary groups. setgroups(2)"""
        return self._with(
            attributed=True, groups=tuple(validate.unsigned(gid, "each of groups") for gid in validate.sequence(gids, "groups"))
        )

    def setsid(self) -> Command:
        """Give the child a session of its own. setsid(2)"""
        return self._with(attributed=True, new_session=True)

    def umask(self, mask: int) -> Command:
        """The child's file mode creation mask. umask(2)"""
        return self._with(attributed=True, umask=validate.unsigned(mask, "umask", 0o7777))

    def rlimit(self, resource: RlimitResourceName, soft: int, hard: int) -> Command:
        """A resource limit of the process itself, inherited by its children. setrlimit(2)"""
        name = validate.label(resource, "rlimit resource", _RLIMITS)
        limits = (validate.unsigned(soft, "rlimit soft", validate.U64), validate.unsigned(hard, "rlimit hard", validate.U64))
        return self._with(attributed=True, rlimits={**self._settings.rlimits, name: limits})

    def priority(self, level: Priority) -> Command:
        """Scheduling priority, inherited by descendants; PermissionDenied at the launch where it is not allowed."""
        return self._with(attributed=True, priority=validate.label(level, "priority", _PRIORITIES))

    def cpu_affinity(self, cpus: Sequence[int]) -> Command:
        """The processors it may run on."""
        chosen = {validate.unsigned(cpu, "each of cpu_affinity") for cpu in validate.sequence(cpus, "cpu_affinity")}
        return self._with(attributed=True, affinity=tuple(sorted(chosen)))

    def io_priority(self, class_name: IoPriorityClass, *, level: int | None = None) -> Command:
        """I/O scheduling class, with a level 0 (first) to 7 for `best_effort` and `real_time`. ioprio_set(2)"""
        return self._with(attributed=True, io_priority=validate.io_priority(class_name, level))

    # Verbs.

    def start(self) -> RunningProcess:
        """Start it and return a handle that owns its tree."""
        return _launch.start(self._settings)

    async def astart(self) -> RunningProcess:
        """Async twin of `start`; the loop goes on while the process is being made."""
        return await _launch.astart(self._settings)

    def output(self) -> ProcessResult:
        """Run it; its text, its outcome. Nothing of the tree is left when this returns or raises."""
        return _launch.one_shot(self._settings, need_stdout=True)

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        return await _launch.aone_shot(self._settings, need_stdout=True)

    def output_bytes(self) -> BytesResult:
        """Run it; the exact bytes of its stdout."""
        return _launch.one_shot_bytes(self._settings)

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        return await _launch.aone_shot_bytes(self._settings)

    def run_json(self) -> Any:
        """Run it and return the JSON value in its stdout; raise as `run` does, InvalidJson where it is none."""
        return self._json()

    async def arun_json(self) -> Any:
        """Async twin of `run_json`."""
        return await self._ajson()

    def _captured(self) -> ProcessResult:
        return _launch.one_shot(self._settings, need_stdout=False)

    async def _acaptured(self) -> ProcessResult:
        return await _launch.aone_shot(self._settings, need_stdout=False)

    def _retrying(self) -> Settings | None:
        return None if self._settings.retry is None else self._settings

    def resolve_program(self) -> str:
        """The absolute path of the program that would run; ProcessNotFound or PermissionDenied like a run."""
        from .._plan.plan import resolve_settings

        return resolve_settings(self._settings)

    def spawn_detached(self) -> DetachedChild:
        """Start it outside containment: it survives us, and we keep nothing of it but its pid."""
        from .._process.detached import spawn_detached

        return spawn_detached(self._settings)


def _sink(sink: Any, append: bool) -> Sink:
    from .._plan.sink import Sink

    return Sink(sink, append)
