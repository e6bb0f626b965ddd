"""A started process: what can be asked of it, and the verbs that wait for its end."""

from __future__ import annotations

import _thread
import os
import time

from ._awaiting import Awaits
from ._core.capture import BytesCapture, Discard, TextCapture
from ._core.encodings import default_decoder
from ._core.stopping import RUNNING, Stopping
from ._drive.blocking import drive
from ._drive.run import Run, act_on_tree
from ._errors import cancelled, failure
from ._log import DEBUG, WARNING, listener, log
from ._os import STDERR, STDIN, STDOUT, Feed, cpu_seconds, peak_memory
from ._os.port import PIPE, Child, Container, Plan
from ._result import BytesResult, Finished, Outcome, ProcessResult, outcome_of
from ._settings import Settings
from ._validate import non_negative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable

    from ._core.capture import Capture
    from ._profile import RunProfile, Sampler

SIGTERM = 15
# How often a tree that was asked or killed, and that nobody waits for, is looked at.
LOOK_AGAIN = 0.05


class RunningProcess(Awaits):
    """A process that was started and whose handle is not spent. One consuming verb spends it (api.md §10)."""

    __module__ = __package__
    __slots__ = (
        "__weakref__", "_child", "_closed", "_container", "_ended_before", "_feed", "_lock", "_owner", "_owns", "_plan", "_run", "_settings", "_sinks", "_spent",
        "_started", "_stopping", "_subscription", "_tended", "_was_cancelled",
    )  # fmt: skip

    def __init__(self, container: Container, child: Child, settings: Settings, plan: Plan, owns: bool, started: float) -> None:
        self._owner = os.getpid()
        self._container = container
        self._child = child
        self._settings = settings
        self._plan = plan
        self._owns = owns
        self._started = started
        self._lock = _thread.allocate_lock()
        self._spent = False
        self._closed = False
        self._feed: Feed | None = None
        # Its deadline is kept by the tender while nobody waits.
        self._tended = False
        self._sinks: dict[int, Capture] = {}
        deadline = None if settings.timeout is None else started + settings.timeout
        streams = (plan.stdout == PIPE) + (plan.stderr == PIPE)
        self._stopping = Stopping(streams, deadline, settings.timeout_grace, not owns)
        self._run: Run | None = None
        # What its token's cancellation found: a process that was running, or one that had ended.
        self._was_cancelled = self._ended_before = False
        logger = listener(settings.logger)
        if logger is not None:
            log(logger, DEBUG, "child spawned", program=plan.program, pid=child.pid, mechanism=container.mechanism)
        self._subscription = 0
        if settings.token is not None:
            self._subscription = settings.token._subscribe(_canceller(self))

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
    def owns_group(self) -> bool:
        """Whether it has a tree to itself."""
        return self._owns

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
        if self._closed:
            return None
        sink = self._sinks.get(stream)
        return 0 if sink is None else int(getattr(sink, what))

    def __repr__(self) -> str:
        state = "consumed" if self._spent else f"pid={self._child.pid}"
        return f"<RunningProcess {self._plan.program!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a RunningProcess cannot be pickled")

    # Without spending it.

    def poll(self) -> Outcome | None:
        """Its outcome if it has ended, else None. Does not spend the handle."""
        self._check_usable()
        status = self._child.status()
        return None if status is None else outcome_of(status, self._stopping.timed_out)

    def kill(self) -> None:
        """Start killing the tree, or in a shared group this child's part of it. Returns at once, does not spend."""
        self._check_usable()
        with self._lock:
            self._stopping.stop(time.monotonic(), None)
            self._act()

    # Consuming verbs.

    def outcome(self) -> Outcome:
        """Wait for its end, discarding its output."""
        run = self._begin({STDOUT: Discard(), STDERR: Discard()})
        return self._finish_blocking(run)

    async def aoutcome(self) -> Outcome:
        """Async twin of `outcome`."""
        run = self._begin({STDOUT: Discard(), STDERR: Discard()}, in_loop=True)
        return await self._finish_async(run)

    def finish(self) -> Finished:
        """Wait for its end; stderr is captured, stdout discarded."""
        sinks: dict[int, Capture] = {STDOUT: Discard(), STDERR: self._text(STDERR, capped=False)}
        return Finished(self._finish_blocking(self._begin(sinks)), _value(sinks[STDERR]))

    async def afinish(self) -> Finished:
        """Async twin of `finish`."""
        sinks: dict[int, Capture] = {STDOUT: Discard(), STDERR: self._text(STDERR, capped=False)}
        return Finished(await self._finish_async(self._begin(sinks, in_loop=True)), _value(sinks[STDERR]))

    def output(self) -> ProcessResult:
        """Wait for its end and return all it wrote as text; ProcessError where stdout is not piped."""
        self._require_piped()
        return self._capture()

    def _capture(self) -> ProcessResult:
        sinks: dict[int, Capture] = {STDOUT: self._text(STDOUT), STDERR: self._text(STDERR)}
        run = self._listening(self._begin(sinks))
        return self._text_result(run, self._finish_blocking(run))

    async def aoutput(self) -> ProcessResult:
        """Async twin of `output`."""
        self._require_piped()
        return await self._acapture()

    async def _acapture(self) -> ProcessResult:
        sinks: dict[int, Capture] = {STDOUT: self._text(STDOUT), STDERR: self._text(STDERR)}
        run = self._listening(self._begin(sinks, in_loop=True))
        return self._text_result(run, await self._finish_async(run))

    def output_bytes(self) -> BytesResult:
        """Wait for its end and return exactly the bytes it wrote to stdout; stderr is text."""
        self._require_piped()
        run = self._listening(self._begin({STDOUT: self._bytes(), STDERR: self._text(STDERR)}))
        return self._bytes_result(run, self._finish_blocking(run))

    async def aoutput_bytes(self) -> BytesResult:
        """Async twin of `output_bytes`."""
        self._require_piped()
        run = self._listening(self._begin({STDOUT: self._bytes(), STDERR: self._text(STDERR)}, in_loop=True))
        return self._bytes_result(run, await self._finish_async(run))

    def profile(self, every_seconds: float) -> RunProfile:
        """Wait for its end, discarding its output, and look every so often at what the process itself uses."""
        from ._profile import Sampler

        sampler = Sampler(self._child.pid, every_seconds)
        run = self._begin({STDOUT: Discard(), STDERR: Discard()})
        run.sampler = sampler
        return self._profiled(self._finish_blocking(run, sampler.look), sampler)

    async def aprofile(self, every_seconds: float) -> RunProfile:
        """Async twin of `profile`."""
        from ._profile import Sampler

        sampler = Sampler(self._child.pid, every_seconds)
        run = self._begin({STDOUT: Discard(), STDERR: Discard()}, in_loop=True)
        run.sampler = sampler
        return self._profiled(await self._finish_async(run, sampler.look), sampler)

    def _profiled(self, outcome: Outcome, sampler: Sampler) -> RunProfile:
        from ._profile import RunProfile

        return RunProfile(outcome, time.monotonic() - self._started, sampler.cpu, sampler.peak, sampler.samples)

    def shutdown(self, grace_seconds: float) -> Outcome:
        """Ask the tree to end (SIGTERM, or the command's `timeout_signal`), wait up to `grace_seconds`, then kill it."""
        grace = non_negative(grace_seconds, "grace_seconds")
        run = self._begin({STDOUT: Discard(), STDERR: Discard()})
        run.stopping.stop(time.monotonic(), grace)
        return self._finish_blocking(run)

    async def ashutdown(self, grace_seconds: float) -> Outcome:
        """Async twin of `shutdown`."""
        grace = non_negative(grace_seconds, "grace_seconds")
        run = self._begin({STDOUT: Discard(), STDERR: Discard()}, in_loop=True)
        run.stopping.stop(time.monotonic(), grace)
        return await self._finish_async(run)

    # How they work.

    def _check_usable(self) -> None:
        if os.getpid() != self._owner:
            raise failure("this handle belongs to the process that this one was forked from", self._plan.program)
        if self._spent:
            raise failure(f"the handle of {self._plan.program} is consumed", self._plan.program)

    def _ended_descriptor(self) -> int:
        """Readable once it has ended."""
        self._check_usable()
        return self._child.ended

    def _require_piped(self) -> None:
        self._check_usable()
        if self._plan.stdout != PIPE:
            raise failure(f"{self._plan.program}: stdout is not piped, so it cannot be captured", self._plan.program)

    def _bytes(self) -> Capture:
        cap = self._settings.cap
        if cap is None:
            return BytesCapture()
        from ._core.caps import CappedBytes

        return CappedBytes(cap)

    def _text(self, stream: int, capped: bool = True) -> Capture:
        settings = self._settings
        decoder, lone_cr = settings.stdout_decoder, settings.stdout_cr
        if stream == STDERR:
            decoder, lone_cr = settings.stderr_decoder, settings.stderr_cr
        clean = settings.stderr_clean if stream == STDERR else settings.stdout_clean
        cap = settings.cap if capped else None
        if clean or cap is not None:
            from ._core.caps import WHOLE, CappedText

            return CappedText(decoder or default_decoder, lone_cr, cap or WHOLE, clean)
        return TextCapture(decoder or default_decoder, lone_cr)

    def _begin(self, sinks: dict[int, Capture], in_loop: bool = False) -> Run:
        """Spend the handle: from here on only the run touches the child."""
        if in_loop:
            from ._verbs import require_loop

            require_loop(self._plan.program)
        with self._lock:
            self._check_usable()
            self._spent = True
            self._sinks = sinks
            token = None if self._ended_before else self._settings.token
            run = Run(self._child, self._stopping, sinks, self._soft_signal(), self._feeding(), token)
            self._run = run
        if self._tended:
            from ._drive.tender import untend

            untend(self)
        return run

    def _soft_signal(self) -> int:
        chosen = self._settings.timeout_signal
        return SIGTERM if chosen is None else chosen

    def _feeding(self) -> Feed | None:
        """What is still to be written to its stdin; a pipe that nobody took is closed."""
        if self._feed is None and self._plan.stdin == PIPE:
            self._feed = Feed(self._child, self._settings.stdin_data or b"")
        return self._feed

    def _finish_blocking(self, run: Run, at_end: Callable[[], None] | None = None) -> Outcome:
        """The outcome, once the run is over; `at_end` is called while the process still has its number."""
        try:
            drive(run)
            if at_end is not None:
                at_end()
            return self._end(run)
        except BaseException as error:
            self._abort(error)
            raise

    async def _finish_async(self, run: Run, at_end: Callable[[], None] | None = None) -> Outcome:
        from ._drive.aio import drive as adrive

        try:
            await adrive(run)
            if at_end is not None:
                at_end()
            return self._end(run)
        except BaseException as error:
            self._abort(error)
            raise

    def _end(self, run: Run) -> Outcome:
        """The run is over: give everything back."""
        outcome = outcome_of(self._child.status(), run.stopping.timed_out)
        self._close()
        if run.cancelled or self._was_cancelled:
            raise cancelled(self._plan.program)
        logger = listener(self._settings.logger)
        if logger is not None:
            self._log_end(logger, outcome)
        return outcome

    def _log_end(self, logger: Any, outcome: Outcome) -> None:
        program = self._plan.program
        if outcome.timed_out and self._settings.timeout is not None:
            log(logger, WARNING, "timeout elapsed", program=program, timeout_ms=int(self._settings.timeout * 1000))
        elapsed = int((time.monotonic() - self._started) * 1000)
        log(logger, DEBUG, "process exited", program=program, outcome=_word(outcome), elapsed_ms=elapsed)

    def _text_result(self, run: Run, outcome: Outcome) -> ProcessResult:
        self._refuse_too_large(run)
        return ProcessResult(self._plan.program, _value(run.sinks[STDOUT]), _value(run.sinks[STDERR]), outcome, *self._facts(run))

    def _bytes_result(self, run: Run, outcome: Outcome) -> BytesResult:
        self._refuse_too_large(run)
        stdout: Any = run.sinks[STDOUT]
        return BytesResult(self._plan.program, stdout.value(), _value(run.sinks[STDERR]), outcome, *self._facts(run))

    def _listening(self, run: Run) -> Run:
        """`run`, which the command's idle timeout bounds."""
        run.idle_seconds = self._settings.idle_timeout
        return run

    def _refuse_too_large(self, run: Run) -> None:
        """OutputTooLarge where a stream passed its cap in `error` mode."""
        for stream in (STDOUT, STDERR):
            sink: Any = run.sinks[stream]
            if sink.too_large:
                from ._errors import too_large

                cap = self._settings.cap
                assert cap is not None
                most_lines = cap.max_lines if sink.has_lines else None
                raise too_large(self._plan.program, cap.max_bytes, most_lines, sink.bytes_seen, sink.lines_seen)

    def _facts(self, run: Run) -> tuple[Any, ...]:
        settings = self._settings
        duration = time.monotonic() - self._started
        mechanism = self._container.mechanism
        truncated = any(sink.truncated for sink in run.sinks.values())
        idle = run.idle_seconds if run.idle_timed_out else None
        facts = (settings.timeout, settings.success_codes, duration, truncated, self._child.pid, self.args, mechanism, run.leaked)
        return (*facts, idle)

    # Deadlines that nobody waits for, and the end.

    def _leave_unattended(self) -> None:
        """Feed it and have its deadline kept although nobody waits yet; the last thing that a `start` does."""
        if self._settings.stdin_data is not None:
            feed = self._feeding()
            if feed is not None and self._child.stream(STDIN) >= 0:
                feed.write()  # all of it: what a pipe does not hold came as a file
        wake = self._stopping.wake
        if wake is not None:
            from ._drive.tender import tend

            self._tended = True
            tend(self, wake, keep=not self._owns)

    def _is_over(self) -> bool:
        """Whether it has ended, or is out of our hands. Called by the tender."""
        return self._closed or self._child.status() is not None

    def _tend(self) -> float | None:
        """Do what the clock demands of a process that nobody waits for; when to be called again. Called by the tender."""
        with self._lock:
            if self._spent or self._closed:
                return None
            if self._child.status() is not None and (self._stopping.state == RUNNING or self._child.tree.empty()):
                return None
            self._stopping.tick(time.monotonic())
            self._act()
            wake = self._stopping.wake
            if self._stopping.state == RUNNING or wake is None:
                return wake
            return min(wake, time.monotonic() + LOOK_AGAIN)  # it may be over any moment

    def _act(self) -> None:
        """Execute what was decided while no driver is there; one that comes finds the rest of the state."""
        act_on_tree(self._child, self._stopping, self._soft_signal())

    def _abort(self, error: BaseException) -> None:
        """Kill the tree and wait until it is gone, whatever was under way; a failed wait becomes a ProcessError."""
        if not self._closed:  # or its tree may be another run's already
            self._child.tree.kill()
        self._close()
        if isinstance(error, OSError):
            raise failure(f"{self._plan.program}: waiting for it failed: {error}", self._plan.program) from error

    def _cancel(self) -> None:
        """The token was cancelled: end the tree, or have the driver that waits for it do that. From any thread."""
        with self._lock:
            run = self._run
            if run is None and not self._closed and not self._spent:
                self._was_cancelled = self._child.status() is None
                self._ended_before = not self._was_cancelled
                if self._was_cancelled:
                    self._stopping.stop(time.monotonic(), None)
                    self._act()
        if run is not None:
            run.interrupt()

    def _close(self) -> None:
        """Kill what is left of an owned tree, or of a shared child, and give everything back. Idempotent."""
        with self._lock:
            if self._closed or os.getpid() != self._owner:
                return
            self._closed = True
            self._spent = True
        if self._settings.token is not None:
            self._settings.token._unsubscribe(self._subscription)
        if self._child.status() is None:
            self._child.tree.kill()
            self._child.wait_killed()
        try:
            if self._owns:
                # Before the reap: a process group needs its leader's number until all of it is dead.
                self._container.close()
        finally:
            self._child.reap()

    def __enter__(self) -> RunningProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()

    async def __aenter__(self) -> RunningProcess:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._tended:
            from ._drive.tender import untend

            untend(self)
        self._close()

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or os.getpid() != self._owner:
            return
        if not self._owns:
            self._container.abandon(self._child)
            return
        import warnings

        warnings.warn(f"{self!r} was dropped while it was open; its tree is killed", ResourceWarning, source=self, stacklevel=2)
        self._close()


def _canceller(process: RunningProcess) -> Callable[[], None]:
    """What a token calls; it keeps nobody's handle alive."""
    import weakref

    reference = weakref.ref(process)

    def cancel() -> None:
        found = reference()
        if found is not None:
            found._cancel()

    return cancel


def _value(sink: Any) -> str:
    return str(sink.value())


def _word(outcome: Outcome) -> str:
    if outcome.timed_out:
        return "timed_out"
    return f"code:{outcome.code}" if outcome.code is not None else f"signal:{outcome.signal}"
