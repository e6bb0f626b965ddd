"""`RunningProcess`: a started process, its live figures, and the verbs that wait for its end."""

from __future__ import annotations

import os
import time

from .._base import PUBLIC
from .._base.boundary import bounded_verbs
from .._base.errors import failure, unsupported
from .._base.outcome import Outcome
from .._base.result import BytesResult, Finished, ProcessResult
from .._base.validate import non_negative, path_text, terminal_size
from .._core.capture import BLOCK, BUFFER, Discard
from .._core.unraisable import first_error, insist
from .._os import STDERR, STDOUT, cpu_seconds, peak_memory
from .handle import MERGED, Handle
from .telling import value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from types import TracebackType
    from typing import Any, Callable

    from .._base.types import StrPath
    from .._core.capture import Capture
    from .._drive.run import Run
    from .profile import RunProfile, Sampler
    from .stdin import ProcessStdin
    from .streams import JsonLines, LifecycleEvents, OutputEvents, StderrLines, StdoutLines


class RunningProcess(Handle):
    """A started process. One consuming verb spends the handle; leaving its `with` block, or dropping it, kills its tree.

    Consuming verbs are `outcome`, `finish`, `output`, `output_bytes`, `profile`, `shutdown` and their twins. None of them raises
    for an exit code, a signal or a timeout; each raises Cancelled if the command's token is cancelled, and the exception of its
    stdin source. Once the handle is spent, its methods raise ProcessError. A member of a ProcessGroup is killed, with what it
    started, when its `with` block is left, but not when its handle is dropped. Async twins need a running event loop (else
    ProcessError, and nothing is spent); cancelling the twin of a consuming verb kills the tree. api.md §10
    """

    __module__ = PUBLIC
    __slots__ = ()

    # Its live figures.

    @property
    def pid(self) -> int | None:
        """The process id; None once the handle is spent."""
        return None if self._is_spent else self._child.pid

    @property
    def mechanism(self) -> str:
        """The mechanism that contains it: `cgroup_v2`, `process_group`, `job_object`, or `leash` for a leashed child."""
        return self._container.mechanism

    @property
    def args(self) -> tuple[str, ...]:
        """The program and the arguments, as they were given."""
        return (self._settings.program, *self._settings.args)

    @property
    def owns_group(self) -> bool | None:
        """True for a tree of its own, False for a member of a ProcessGroup; None once the handle is spent."""
        return None if self._is_spent else self._owns

    @property
    def elapsed_seconds(self) -> float | None:
        """Seconds since the launch; None once the handle is spent."""
        return None if self._is_spent else time.monotonic() - self._started

    @property
    def cpu_time_seconds(self) -> float | None:
        """User and system CPU seconds of the process itself; None where they cannot be read, or once the handle is spent."""
        return None if self._is_spent else cpu_seconds(self._child.pid)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak resident bytes of the process itself; None where they cannot be read, or once the handle is spent."""
        return None if self._is_spent else peak_memory(self._child.pid)

    @property
    def stdout_line_count(self) -> int | None:
        """Complete lines read from stdout so far, 0 before anything is read; None once the handle is closed."""
        return self._seen(STDOUT, "lines_seen")

    @property
    def stderr_line_count(self) -> int | None:
        """Complete lines read from stderr so far, 0 before anything is read; None once the handle is closed."""
        return self._seen(STDERR, "lines_seen")

    @property
    def stdout_bytes_seen(self) -> int | None:
        """Bytes read from stdout so far, dropped ones included; None once the handle is closed."""
        return self._seen(STDOUT, "bytes_seen")

    @property
    def stderr_bytes_seen(self) -> int | None:
        """Bytes read from stderr so far, dropped ones included; None once the handle is closed."""
        return self._seen(STDERR, "bytes_seen")

    def _seen(self, stream: int, what: str) -> int | None:
        if self._is_gone:  # while a verb waits on one thread, another one may look
            return None
        return 0 if self._run is None else int(getattr(self._run.sinks[stream], what))

    def __repr__(self) -> str:
        state = "consumed" if self._is_spent else f"pid={self._child.pid}"
        return f"<RunningProcess {self._plan.program!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a RunningProcess cannot be pickled")

    # Without spending it.

    def poll(self) -> Outcome | None:
        """Return its outcome if it has ended, else None. Its pipes are not read. Does not spend the handle."""
        self._check_usable()
        return self._outcome_so_far() if self._has_ended() else None

    def kill(self) -> None:
        """Start killing the tree, or in a group this child and what it started. Returns at once; does not spend the handle.

        Does nothing once a verb has spent it.
        """
        if self._is_spent and os.getpid() == self._owner:
            return
        self._check_usable()
        self._kill()

    # Consuming verbs.

    def outcome(self) -> Outcome:
        """Wait for the end and return how it ended; output is read and discarded."""
        told = self._told()
        return self._finish_blocking(self._begin(_nothing())) if told is None else told

    async def aoutcome(self) -> Outcome:
        """Async twin of `outcome`."""
        told = self._told()
        return await self._finish_async(self._begin(_nothing(), in_loop=True)) if told is None else told

    def finish(self) -> Finished:
        """Wait for the end and return the outcome and the captured stderr; stdout is read and discarded.

        After a stream: OutputTooLarge if it passed an `output_limit` in `error` mode.
        """
        told = self._told()
        if told is not None:
            return Finished(told, "")
        run = self._begin(self._stderr_alone())
        return self._finished(run, self._finish_blocking(run))

    async def afinish(self) -> Finished:
        """Async twin of `finish`."""
        told = self._told()
        if told is not None:
            return Finished(told, "")
        run = self._begin(self._stderr_alone(), in_loop=True)
        return self._finished(run, await self._finish_async(run))

    def _stderr_alone(self) -> dict[int, Capture]:
        return {STDOUT: Discard(), STDERR: self._text(STDERR, capped=False)}

    def _finished(self, run: Run, outcome: Outcome) -> Finished:
        return Finished(outcome, "" if self._bound == MERGED else value_of(run.sinks[STDERR]))

    def output(self) -> ProcessResult:
        """Wait for the end and return the captured text. ProcessError if stdout is not piped; OutputTooLarge.

        After `stdout_lines`, `stdout_json_lines` or a probe: the lines that were not iterated over. After a stream that follows
        the process to its end has seen it: ProcessError.
        """
        self._require_piped()
        return self._capture()

    def _capture(self) -> ProcessResult:
        run = self._capturing("output", False)
        return self._text_result(run, self._finish_blocking(run))

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        self._require_piped()
        return await self._acapture()

    async def _acapture(self) -> ProcessResult:
        run = self._capturing("output", True)
        return self._text_result(run, await self._finish_async(run))

    def output_bytes(self) -> BytesResult:
        """As `output`, with the exact bytes of stdout; stderr is text. ProcessError after lines or a probe."""
        self._require_piped()
        run = self._capturing("output_bytes", False)
        return self._bytes_result(run, self._finish_blocking(run))

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        self._require_piped()
        run = self._capturing("output_bytes", True)
        return self._bytes_result(run, await self._finish_async(run))

    def _capturing(self, verb: str, in_loop: bool) -> Run:
        """Return the run of a verb that captures everything, bounded by the command's idle timeout."""
        self._check_follows(verb)
        stdout = self._text(STDOUT) if verb == "output" else self._bytes()
        sinks = {STDOUT: stdout, STDERR: self._text(STDERR)}
        return self._begin(sinks, in_loop, keep=True, before=lambda run: run.listen(self._settings.idle_timeout))

    def profile(self, every_seconds: float) -> RunProfile:
        """Wait for the end, discarding the output, and sample CPU and memory of the process itself every `every_seconds`.

        At most one sample per millisecond. ValueError unless `every_seconds` is above 0.
        """
        run, sampler = self._sampling(every_seconds, False)
        return self._profiled(self._finish_blocking(run, sampler.look), sampler)

    async def aprofile(self, every_seconds: float) -> RunProfile:
        """Async twin of `profile`."""
        run, sampler = self._sampling(every_seconds, True)
        return self._profiled(await self._finish_async(run, sampler.look), sampler)

    def _sampling(self, every_seconds: float, in_loop: bool) -> tuple[Run, Sampler]:
        from .profile import Sampler

        sampler = Sampler(self._child.pid, every_seconds)
        self._check_follows("profile")
        run = self._begin(_nothing(), in_loop, before=lambda run: setattr(run, "sampler", sampler))
        return run, sampler

    def _profiled(self, outcome: Outcome, sampler: Sampler) -> RunProfile:
        from .profile import RunProfile

        return RunProfile(outcome, time.monotonic() - self._started, sampler.cpu, sampler.peak, sampler.samples)

    def shutdown(self, grace_seconds: float) -> Outcome:
        """Ask the tree to end (SIGTERM, or the command's `timeout_signal`), and kill what is left after `grace_seconds`.

        ValueError if they are negative. On Windows a child without `windows_graceful_ctrl_break` is killed at once.
        """
        grace = non_negative(grace_seconds, "grace_seconds")
        try:
            told = self._told()
            return self._finish_blocking(self._asked(grace, False)) if told is None else told
        except Exception:
            raise
        except BaseException:
            first_error(lambda: insist(self._close))  # wherever it was interrupted; that must not be hidden
            raise

    async def ashutdown(self, grace_seconds: float) -> Outcome:
        """Async twin of `shutdown`."""
        grace = non_negative(grace_seconds, "grace_seconds")
        told = self._told()
        return await self._finish_async(self._asked(grace, True)) if told is None else told

    def _asked(self, grace: float, in_loop: bool) -> Run:
        run = self._begin(_nothing(), in_loop)
        session = self._session
        if session is None:
            run.stopping.stop(time.monotonic(), grace)
        else:
            session.do(lambda: run.stop(grace))
        return run

    # Its streams.

    def take_stdin(self) -> ProcessStdin:
        """Return its stdin for writing in an event loop. ProcessError without `keep_stdin_open`, or if it was taken before."""
        from .stdin import ProcessStdin

        return ProcessStdin(self)

    def stdin_writer(self, encoding: str | None = None) -> Any:
        """Return its stdin as a standard binary file or, with an encoding, a text file that is flushed after each line.

        ProcessError without `keep_stdin_open`, or if it was taken before; LookupError for an unknown encoding. Writing to a
        process that does not read any more raises BrokenPipeError.
        """
        from .stdin import stdin_writer

        return stdin_writer(self, encoding)

    def stdout_lines(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> StdoutLines:
        """Return an iterator, also async, over the lines of stdout as they come, until the pipe is closed.

        At most `buffer` lines (default 1024), plus those of one read, wait to be taken. If you iterate slowly, `block` (the
        default of `on_overflow`) lets the child block on its pipe; `drop_newest` and `drop_oldest` drop lines instead and count
        them in `dropped_lines`. An `output_limit` takes the place of both. ProcessError if stdout is not piped or already
        consumed, IdleTimeout from the iterator.
        """
        from .streams import StdoutLines

        return StdoutLines(self, buffer, on_overflow)

    def stdout_json_lines(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> JsonLines:
        """As `stdout_lines`, with the JSON value of each line. A bad line raises InvalidJson; the next one can still be taken."""
        from .streams import JsonLines

        return JsonLines(self, buffer, on_overflow)

    def stderr_lines(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> StderrLines:
        """As `stdout_lines`, for stderr, until the process ends; stdout, which must be piped, is read and discarded."""
        from .streams import StderrLines

        return StderrLines(self, buffer, on_overflow)

    def output_events(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> OutputEvents:
        """As `stdout_lines`, with an OutputEvent for each line of both streams as they come, until the process ends."""
        from .streams import OutputEvents

        return OutputEvents(self, buffer, on_overflow)

    def lifecycle_events(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> LifecycleEvents:
        """As `output_events`, with a LifecycleEvent for each line, and one before and after them: `started` and `exited`."""
        from .streams import LifecycleEvents

        return LifecycleEvents(self, buffer, on_overflow)

    def resize_pty(self, cols: int, rows: int) -> None:
        """Change the size of its terminal, in characters; the process is told as by a window that is resized.

        Unsupported without a `pty`; ProcessError after the end; ValueError below 1, OverflowError above 65535.
        """
        size = terminal_size(cols, rows)
        self._check_usable()
        if self._settings.pty is None:
            raise unsupported("resize_pty", f"{self._plan.program} has no terminal")
        if self._child.status() is not None or self._child.stream(STDOUT) < 0:
            raise failure(f"{self._plan.program} has ended, and its terminal with it", self._plan.program)
        self._child.resize(*size)

    # Its prompt, which is a line without an end.

    def wait_for_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """Return the unterminated last line of stdout once it contains this text, or `predicate` is true of it; it stays.

        WaitTimeout after `timeout` seconds (0: one look). ProcessError at once if the stream ends first, or cannot be watched
        because it is not piped or is discarded. An exception of the predicate comes out unchanged.
        """
        from .probes import wait_for_tail

        return wait_for_tail(self, STDOUT, predicate, timeout)

    def await_for_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> Awaitable[str]:
        """Async twin of `wait_for_output`."""
        from .probes import await_for_tail

        return await_for_tail(self, STDOUT, predicate, timeout)

    def wait_for_stderr_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """As `wait_for_output`, for stderr."""
        from .probes import wait_for_tail

        return wait_for_tail(self, STDERR, predicate, timeout)

    def await_for_stderr_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> Awaitable[str]:
        """Async twin of `wait_for_stderr_output`."""
        from .probes import await_for_tail

        return await_for_tail(self, STDERR, predicate, timeout)

    # Readiness. `timeout` and `interval` are seconds; an `interval` lies between two attempts. A `timeout` of 0 is one attempt.
    # NotReady if the process ends first, WaitTimeout after `timeout`, ValueError for a bad number. The handle is not spent.

    def wait_for_line(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """Return the first line of stdout or stderr that contains this text, or of which `predicate` is true; it stays.

        Lines that are read and not taken yet count too. NotReady if the process ends first, WaitTimeout after `timeout` seconds.
        """
        from .probes import wait_for_line

        return wait_for_line(self, predicate, timeout)

    async def await_for_line(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """Async twin of `wait_for_line`."""
        from .probes import await_for_line

        return await await_for_line(self, predicate, timeout)

    def wait_until(self, predicate: Callable[[], object], *, timeout: float, interval: float = 0.05) -> None:
        """Return once `predicate()` is true, asked every `interval` seconds (default 0.05). Its exceptions come out unchanged.

        NotReady if the process ends first, WaitTimeout after `timeout` seconds; ValueError for a negative or NaN `timeout`, or an
        `interval` that is not above 0.
        """
        from .ready import asked, until

        raised: list[Exception] = []

        def question() -> bool:
            """Keep an exception of the predicate for the caller: it is no failed attempt."""
            try:
                return bool(predicate())
            except Exception as error:
                raised.append(error)
                return True

        until(self, "the condition was met", "condition not met", asked(question), timeout=timeout, interval=interval)
        if raised:
            raise raised[0]

    async def await_until(self, predicate: Callable[[], object], *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_until`; the predicate may return an awaitable."""
        from .._host.readiness import wait_until
        from .ready import auntil

        await auntil(self, "the condition was met", lambda most: wait_until(predicate, timeout=most, interval=interval), timeout)

    def wait_for_path(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Return once `path` exists; errors and seconds as `wait_until`."""
        from .ready import asked, until

        text = path_text(path, "path")
        attempt = asked(lambda: os.path.exists(text))
        until(self, f"{path} appeared", f"{text} did not appear", attempt, timeout=timeout, interval=interval, path=path)

    async def await_for_path(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_for_path`."""
        from .._host.readiness import wait_for_path
        from .ready import auntil

        def wait(most: float) -> Coroutine[Any, Any, None]:
            return wait_for_path(path, timeout=most, interval=interval)

        await auntil(self, f"{path} appeared", wait, timeout, path=path)

    def wait_for_port(self, host: str, port: int, *, timeout: float, interval: float = 0.05) -> None:
        """Return once a TCP connection to it succeeds, which is closed at once; errors and seconds as `wait_until`."""
        from .ready import port_accepts, until

        what, missed = (f"{host}:{port} {verb} a connection" for verb in ("accepted", "did not accept"))
        until(self, what, missed, port_accepts(host, port), timeout=timeout, interval=interval, host=host, port=port)

    async def await_for_port(self, host: str, port: int, *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_for_port`."""
        from .._host.readiness import wait_for_port
        from .ready import auntil

        def wait(most: float) -> Coroutine[Any, Any, None]:
            return wait_for_port(host, port, timeout=most, interval=interval)

        await auntil(self, f"{host}:{port} accepted a connection", wait, timeout, host=host, port=port)

    def wait_for_unix_socket(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Return once a connection to this Unix socket succeeds; as `wait_for_port`. Unsupported where there are none."""
        from .ready import socket_accepts, until

        attempt = socket_accepts(path_text(path, "path"))
        what, missed = (f"{path} {verb} a connection" for verb in ("accepted", "did not accept"))
        until(self, what, missed, attempt, timeout=timeout, interval=interval, path=path)

    async def await_for_unix_socket(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_for_unix_socket`."""
        from .._host.readiness import wait_for_unix_socket
        from .ready import auntil

        def wait(most: float) -> Coroutine[Any, Any, None]:
            return wait_for_unix_socket(path, timeout=most, interval=interval)

        await auntil(self, f"{path} accepted a connection", wait, timeout, path=path)

    def wait_for_http(
        self, host: str, port: int, path: str = "/", *, timeout: float, interval: float = 0.05, expected_status: Any = None
    ) -> None:
        """Return once GET `path` is answered with an accepted status; errors and seconds as `wait_until`.

        Accepted: any 2xx, or the statuses that `expected_status` contains, or of which it is true if it is callable. ValueError
        for a host or path with white space, control characters, or more than Latin-1.
        """
        from .ready import http_answers, until

        attempt = http_answers(host, port, path, expected_status)
        what, missed = (f"http://{host}:{port}{path} was {how}answered as expected" for how in ("", "not "))
        until(self, what, missed, attempt, timeout=timeout, interval=interval, host=host, port=port, path=path)

    async def await_for_http(
        self, host: str, port: int, path: str = "/", *, timeout: float, interval: float = 0.05, expected_status: Any = None
    ) -> None:
        """Async twin of `wait_for_http`."""
        from .._host.readiness import wait_for_http
        from .ready import auntil

        def wait(most: float) -> Coroutine[Any, Any, None]:
            return wait_for_http(host, port, path, timeout=most, interval=interval, expected_status=expected_status)

        what = f"http://{host}:{port}{path} was answered as expected"
        await auntil(self, what, wait, timeout, host=host, port=port, path=path)

    def __enter__(self) -> RunningProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._leave()
        except Exception:
            raise
        except BaseException:
            first_error(lambda: insist(self._close))
            raise

    async def __aenter__(self) -> RunningProcess:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None and self._session is not None and not self._is_gone:
                # A stream that was read to its end is also written to its end, on a thread of ours.
                from .._drive.aio import delivered

                await delivered(self._session.runs)
        finally:
            self._leave()


def _nothing() -> dict[int, Capture]:
    return {STDOUT: Discard(), STDERR: Discard()}


bounded_verbs(RunningProcess)
