"""A started process: what can be asked of it, and the verbs that wait for its end."""

from __future__ import annotations

import os
import time

from .._base import PUBLIC
from .._base.errors import failure, unsupported
from .._base.outcome import Outcome
from .._base.result import BytesResult, Finished, ProcessResult
from .._base.validate import non_negative, path_text, terminal_size
from .._core.capture import BLOCK, BUFFER, Discard
from .._os import STDERR, STDOUT, cpu_seconds, peak_memory
from .handle import MERGED, Handle, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType
    from typing import Any, Callable

    from .._base.types import StrPath
    from .._core.capture import Capture
    from .._drive.run import Run
    from .profile import RunProfile, Sampler
    from .stdin import ProcessStdin
    from .streams import JsonLines, LifecycleEvents, OutputEvents, StderrLines, StdoutLines


class RunningProcess(Handle):
    """A process that was started and whose handle is not spent. One consuming verb spends it (api.md §10)."""

    __module__ = PUBLIC
    __slots__ = ()

    # What it is.

    @property
    def pid(self) -> int | None:
        """Its process id; None once the handle is spent."""
        return None if self._spent else self._child.pid

    @property
    def mechanism(self) -> str:
        """What contains it: `cgroup_v2`, `process_group`, `job_object`, or `leash` for a leashed child."""
        return self._container.mechanism

    @property
    def args(self) -> tuple[str, ...]:
        """Program and arguments as they were given."""
        return (self._settings.program, *self._settings.args)

    @property
    def owns_group(self) -> bool | None:
        """Whether it has a tree to itself; None once the handle is spent."""
        return None if self._spent else self._owns

    @property
    def elapsed_seconds(self) -> float | None:
        """Wall time since the launch; None once the handle is spent."""
        return None if self._spent else time.monotonic() - self._started

    @property
    def cpu_time_seconds(self) -> float | None:
        """CPU time of the process itself; None where it cannot be read, or once the handle is spent."""
        return None if self._spent else cpu_seconds(self._child.pid)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Peak resident memory of the process itself; None where it cannot be read, or once the handle is spent."""
        return None if self._spent else peak_memory(self._child.pid)

    @property
    def stdout_line_count(self) -> int | None:
        """Complete lines read from its stdout so far."""
        return self._seen(STDOUT, "lines_seen")

    @property
    def stderr_line_count(self) -> int | None:
        """Complete lines read from its stderr so far."""
        return self._seen(STDERR, "lines_seen")

    @property
    def stdout_bytes_seen(self) -> int | None:
        """Bytes read from its stdout so far."""
        return self._seen(STDOUT, "bytes_seen")

    @property
    def stderr_bytes_seen(self) -> int | None:
        """Bytes read from its stderr so far."""
        return self._seen(STDERR, "bytes_seen")

    def _seen(self, stream: int, what: str) -> int | None:
        if self._closed:  # while a verb waits on one thread, another one may look
            return None
        return 0 if self._run is None else int(getattr(self._run.sinks[stream], what))

    def __repr__(self) -> str:
        state = "consumed" if self._spent else f"pid={self._child.pid}"
        return f"<RunningProcess {self._plan.program!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a RunningProcess cannot be pickled")

    # Without spending it.

    def poll(self) -> Outcome | None:
        """Its outcome if it has ended, else None. Does not spend the handle."""
        self._check_usable()
        return self._outcome_so_far() if self._has_ended() else None

    def kill(self) -> None:
        """Start killing the tree, or in a shared group this child's part of it. Returns at once, does not spend."""
        self._check_usable()
        self._kill()

    # Consuming verbs.

    def outcome(self) -> Outcome:
        """Wait for its end, discarding its output."""
        told = self._told()
        return self._finish_blocking(self._begin(_nothing())) if told is None else told

    async def aoutcome(self) -> Outcome:
        """Async twin of `outcome`."""
        told = self._told()
        return await self._finish_async(self._begin(_nothing(), in_loop=True)) if told is None else told

    def finish(self) -> Finished:
        """Wait for its end; stderr is captured, stdout discarded."""
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
        """Wait for its end and return all it wrote as text; ProcessError where stdout is not piped.

        After `stdout_lines`: the lines that nobody has iterated over.
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
        """Wait for its end and return exactly the bytes it wrote to stdout; stderr is text."""
        self._require_piped()
        run = self._capturing("output_bytes", False)
        return self._bytes_result(run, self._finish_blocking(run))

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        self._require_piped()
        run = self._capturing("output_bytes", True)
        return self._bytes_result(run, await self._finish_async(run))

    def _capturing(self, verb: str, in_loop: bool) -> Run:
        """The run of a verb that wants all there is, which the command's idle timeout bounds."""
        self._check_follows(verb)
        stdout = self._text(STDOUT) if verb == "output" else self._bytes()
        sinks = {STDOUT: stdout, STDERR: self._text(STDERR)}
        return self._begin(sinks, in_loop, keep=True, before=lambda run: run.listen(self._settings.idle_timeout))

    def profile(self, every_seconds: float) -> RunProfile:
        """Wait for its end, discarding its output, and look every so often at what the process itself uses."""
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
        """Ask the tree to end (SIGTERM, or the command's `timeout_signal`), wait up to `grace_seconds`, then kill it."""
        grace = non_negative(grace_seconds, "grace_seconds")
        told = self._told()
        return self._finish_blocking(self._asked(grace, False)) if told is None else told

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

    # Interacting with it.

    def take_stdin(self) -> ProcessStdin:
        """Its stdin, to be written to in an event loop; once. ProcessError without `keep_stdin_open`."""
        from .stdin import ProcessStdin

        return ProcessStdin(self)

    def stdin_writer(self, encoding: str | None = None) -> Any:
        """Its stdin as a standard file of bytes, or, with an encoding, of text that goes out line by line; once, like `take_stdin`."""
        from .stdin import stdin_writer

        return stdin_writer(self, encoding)

    def stdout_lines(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> StdoutLines:
        """Its stdout line by line, `for` and `async for`. At most `buffer` lines and one read wait for who iterates.

        `on_overflow`: `block` lets the child wait; `drop_newest` and `drop_oldest` do not, and count in `dropped_lines`.
        """
        from .streams import StdoutLines

        return StdoutLines(self, buffer, on_overflow)

    def stdout_json_lines(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> JsonLines:
        """The JSON value of every line of stdout; InvalidJson for a line that has none, and the next one goes on."""
        from .streams import JsonLines

        return JsonLines(self, buffer, on_overflow)

    def stderr_lines(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> StderrLines:
        """Its stderr line by line until its end; stdout is read and discarded."""
        from .streams import StderrLines

        return StderrLines(self, buffer, on_overflow)

    def output_events(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> OutputEvents:
        """The lines of both streams as they come, until its end."""
        from .streams import OutputEvents

        return OutputEvents(self, buffer, on_overflow)

    def lifecycle_events(self, *, buffer: int = BUFFER, on_overflow: str = BLOCK) -> LifecycleEvents:
        """That it started, the lines of both streams as they come, and how it ended."""
        from .streams import LifecycleEvents

        return LifecycleEvents(self, buffer, on_overflow)

    def resize_pty(self, cols: int, rows: int) -> None:
        """Change the size of its terminal while it runs; it is told as by a window that is resized. Unsupported without a terminal."""
        size = terminal_size(cols, rows)
        self._check_usable()
        if self._settings.pty is None:
            raise unsupported("resize_pty", f"{self._plan.program} has no terminal")
        if self._child.status() is not None or self._child.stream(STDOUT) < 0:
            raise failure(f"{self._plan.program} has ended, and its terminal with it", self._plan.program)
        self._child.resize(*size)

    # A prompt has no line end: what it says before it waits.

    def wait_for_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """The unterminated last line of stdout, once it holds this text or `predicate` is true of it. Nothing is taken away.

        WaitTimeout after `timeout` seconds (0: one look), ProcessError at once when the stream ends first.
        """
        from .probes import wait_for_tail

        return wait_for_tail(self, STDOUT, predicate, timeout)

    def await_for_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> Awaitable[str]:
        """Async twin of `wait_for_output`."""
        from .probes import await_for_tail

        return await_for_tail(self, STDOUT, predicate, timeout)

    def wait_for_stderr_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """The same of stderr."""
        from .probes import wait_for_tail

        return wait_for_tail(self, STDERR, predicate, timeout)

    def await_for_stderr_output(self, predicate: str | Callable[[str], object], *, timeout: float) -> Awaitable[str]:
        """Async twin of `wait_for_stderr_output`."""
        from .probes import await_for_tail

        return await_for_tail(self, STDERR, predicate, timeout)

    # Readiness: NotReady when it ends first, WaitTimeout after `timeout` seconds; the handle is not spent.

    def wait_for_line(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """The first line of stdout or stderr that holds this text, or that it is true of; of those that nobody has taken yet, or a new one.

        No line is taken away: a stream, or a capture, still has it.
        """
        from .probes import wait_for_line

        return wait_for_line(self, predicate, timeout)

    async def await_for_line(self, predicate: str | Callable[[str], object], *, timeout: float) -> str:
        """Async twin of `wait_for_line`."""
        from .probes import await_for_line

        return await await_for_line(self, predicate, timeout)

    def wait_until(self, predicate: Callable[[], object], *, timeout: float, interval: float = 0.05) -> None:
        """Return once `predicate()` is true; what it raises is raised."""
        from .ready import asked, until

        raised: list[Exception] = []

        def question() -> bool:
            """Its own errors are no failed attempts."""
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

        await auntil(self, "the condition was met", wait_until(predicate, timeout=timeout, interval=interval), timeout)

    def wait_for_path(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Return once `path` exists."""
        from .ready import asked, until

        text = path_text(path, "path")
        attempt = asked(lambda: os.path.exists(text))
        until(self, f"{path} appeared", f"{text} did not appear", attempt, timeout=timeout, interval=interval, path=path)

    async def await_for_path(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_for_path`."""
        from .._host.readiness import wait_for_path
        from .ready import auntil

        await auntil(self, f"{path} appeared", wait_for_path(path, timeout=timeout, interval=interval), timeout, path=path)

    def wait_for_port(self, host: str, port: int, *, timeout: float, interval: float = 0.05) -> None:
        """Return once a TCP connection succeeds; it is closed at once."""
        from .ready import port_accepts, until

        what, missed = (f"{host}:{port} {verb} a connection" for verb in ("accepted", "did not accept"))
        until(self, what, missed, port_accepts(host, port), timeout=timeout, interval=interval, host=host, port=port)

    async def await_for_port(self, host: str, port: int, *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_for_port`."""
        from .._host.readiness import wait_for_port
        from .ready import auntil

        wait = wait_for_port(host, port, timeout=timeout, interval=interval)
        await auntil(self, f"{host}:{port} accepted a connection", wait, timeout, host=host, port=port)

    def wait_for_unix_socket(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Return once a connection to the Unix socket succeeds; it is closed at once. Unsupported where there are none."""
        from .ready import socket_accepts, until

        attempt = socket_accepts(path_text(path, "path"))
        what, missed = (f"{path} {verb} a connection" for verb in ("accepted", "did not accept"))
        until(self, what, missed, attempt, timeout=timeout, interval=interval, path=path)

    async def await_for_unix_socket(self, path: StrPath, *, timeout: float, interval: float = 0.05) -> None:
        """Async twin of `wait_for_unix_socket`."""
        from .._host.readiness import wait_for_unix_socket
        from .ready import auntil

        wait = wait_for_unix_socket(path, timeout=timeout, interval=interval)
        await auntil(self, f"{path} accepted a connection", wait, timeout, path=path)

    def wait_for_http(
        self, host: str, port: int, path: str = "/", *, timeout: float, interval: float = 0.05, expected_status: Any = None
    ) -> None:
        """Return once GET `path` is answered with an accepted status: any 2xx, or what `expected_status` holds or says."""
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

        wait = wait_for_http(host, port, path, timeout=timeout, interval=interval, expected_status=expected_status)
        what = f"http://{host}:{port}{path} was answered as expected"
        await auntil(self, what, wait, timeout, host=host, port=port, path=path)

    def __enter__(self) -> RunningProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()

    async def __aenter__(self) -> RunningProcess:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None and self._session is not None and not self._closed:
                # A stream that was read to its end is also written to its end, on a thread of ours.
                from .._drive.aio import delivered

                await delivered(self._session.runs)
        finally:
            self._leave()


def _nothing() -> dict[int, Capture]:
    return {STDOUT: Discard(), STDERR: Discard()}
