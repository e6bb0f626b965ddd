"""How a started process is kept: what reads it, what spends it, what ends it. `RunningProcess` is its public form."""

from __future__ import annotations

import os
import time

from .._base.errors import cancelled, failure, require_loop
from .._base.log import DEBUG, listener, log, warn_left_open
from .._base.outcome import Outcome, outcome_of
from .._base.result import BytesResult, ProcessResult
from .._core.capture import BytesCapture, TextCapture
from .._core.handling import ASK, ATTEND, CLOSE, CLOSED, CLOSING, GIVEN_BACK, GONE, OPEN, SEE, SPEND, TOLD, USABLE, after
from .._core.stopping import DRAIN, RUNNING, Stopping
from .._core.unraisable import first_error, insist
from .._drive.blocking import drive
from .._drive.run import Run, act_on_tree
from .._os import SIGTERM, STDERR, STDIN, STDOUT, write_ready
from .._os.errors import NotHere
from .._os.lock import Lock
from .._os.terms import PIPE, PIPE_HOLDS
from .._plan.settings import Settings
from .telling import log_end, refuse_too_large, said_of_drop, tell_left, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._base.result import Facts
    from .._core.capture import Capture
    from .._drive.session import Session
    from .._os.feed import Feed
    from .._os.port import Child, Container
    from .._os.terms import Plan

# Seconds between two looks at a tree that was asked or killed while no verb waits for it.
LOOK_AGAIN = 0.05
#: The use that is made of the output so far: none, lines of stdout, a probe that keeps them, events of both streams.
UNBOUND, LINES, PROBED, MERGED = "", "lines", "probed", "merged"
WHILE_RUNNING, AFTERWARDS = "while running", "afterwards"


class Handle:
    """A child that is not reaped, its container, and what reads it; one consuming verb spends it.

    Owns the child, and the container if `owns`, until `_close`.
    """

    __slots__ = (
        "__weakref__", "_bound", "_cancelled_when", "_child", "_closing", "_container", "_exact", "_feed", "_given", "_giving_back", "_lock", "_owner", "_owns",
        "_plan", "_pouring", "_run", "_session", "_settings", "_started", "_state", "_stdin_taken", "_stopping", "_subscription", "_tended",
    )  # fmt: skip

    def __init__(self, container: Container, child: Child, settings: Settings, plan: Plan, owns: bool, started: float) -> None:
        self._owner = os.getpid()
        self._container = container
        self._child = child
        self._settings = settings
        self._plan = plan
        self._owns = owns
        self._started = started
        self._lock = Lock()
        # Held by the thread that closes it, and whether that is in the midst of it.
        self._closing = Lock()
        self._giving_back = False
        #: Where it is in its life: see `_core.handling`.
        # A caller has it, and may keep it or drop it.
        self._given = False
        self._feed: Feed | None = None
        self._stdin_taken = False
        # The task that writes an async source to stdin.
        self._pouring: Any = None
        # The tender keeps its deadline while no verb waits.
        self._tended = False
        deadline = None if settings.timeout is None else started + settings.timeout
        streams = (plan.stdout == PIPE) + (plan.stderr == PIPE)
        self._stopping = Stopping(streams, deadline, settings.timeout_grace, not owns)
        self._run: Run | None = None
        # What moves the run on while the handle is not spent.
        self._session: Session | None = None
        self._bound = UNBOUND
        # The verb that spends it captures stdout as bytes: tees and callbacks of stdout get nothing.
        self._exact = False
        # When its token was cancelled without a run that noticed: WHILE_RUNNING or AFTERWARDS.
        self._cancelled_when = ""
        self._subscription = 0
        self._state = OPEN  # the last: a handle that a signal handler left half made closes nothing
        logger = listener(settings.logger)
        if logger is not None:
            log(logger, DEBUG, "child spawned", program=plan.program, pid=child.pid, mechanism=container.mechanism)
        if settings.token is not None:
            from .._plan.cancel import weakly

            self._subscription = settings.token._subscribe(weakly(self._cancel))

    def _names(self) -> str:
        """Its name in messages."""
        return self._settings.program

    def _go(self, event: str) -> None:
        self._state = after(self._state, event)

    @property
    def _is_spent(self) -> bool:
        """Whether no verb and no stream may begin any more."""
        return self._state not in USABLE

    @property
    def _is_gone(self) -> bool:
        """Whether the child and its tree may be another run's."""
        return self._state in GONE

    @property
    def _was_cancelled(self) -> bool:
        """Whether its token was cancelled while it was running and no run was there to notice."""
        return self._cancelled_when == WHILE_RUNNING

    # Checks.

    def _check_usable(self) -> None:
        if os.getpid() != self._owner:
            raise failure("this handle belongs to the process that this one was forked from", self._plan.program)
        if self._is_spent:
            raise failure(f"the handle of {self._plan.program} is consumed", self._plan.program)

    def _check_follows(self, verb: str) -> None:
        """Raise ProcessError for a verb whose output a stream has delivered, or is delivering, in another form."""
        if self._bound == MERGED and self._state == TOLD:
            raise failure(f"{verb} cannot follow a merged stream (output_events) that saw the end", self._plan.program)
        if verb == "output_bytes" and self._bound in (LINES, PROBED):
            raise failure("output_bytes cannot follow lines that were read as text", self._plan.program)

    def _ended_descriptor(self) -> int:
        """A descriptor that is readable once it has ended."""
        self._check_usable()
        return self._child.ended

    def _require_piped(self) -> None:
        if self._state != TOLD:
            self._check_usable()
        if self._plan.stdout != PIPE:
            raise failure(f"{self._plan.program}: stdout is not piped, so it cannot be captured", self._plan.program)

    def _check_streamable(self) -> None:
        """Raise ProcessError for a stream without a piped stdout, or for a second one."""
        self._check_usable()
        if self._plan.stdout != PIPE:
            raise failure(f"{self._plan.program}: stdout is not piped, so it cannot be streamed", self._plan.program)
        if self._bound:
            raise failure(f"{self._plan.program}: stdout is already consumed by another stream or probe", self._plan.program)

    # Its streams.

    def _bytes(self) -> Capture:
        cap = self._settings.cap
        if cap is None:
            return BytesCapture()
        from .._core.caps import CappedBytes

        return CappedBytes(cap)

    def _text(self, stream: int, capped: bool = True) -> Capture:
        decoder, lone_cr, clean = self._settings.text_of(stream)
        cap = self._settings.cap if capped else None
        if clean or cap is not None:
            from .._core.caps import WHOLE, CappedText
            from .._core.encodings import default_decoder

            return CappedText(decoder or default_decoder, lone_cr, cap or WHOLE, clean)
        return TextCapture(decoder, lone_cr)

    def _make_run(self, sinks: dict[int, Capture], feed: Feed | None) -> Run:
        token = None if self._cancelled_when == AFTERWARDS else self._settings.token
        run = self._run = Run(self._child, self._stopping, sinks, self._soft_signal(), feed, token)
        if self._settings.tapped:
            from .._drive.taps import Taps
            from .tees import taps_of

            run.taps = Taps(dict(taps_of(self._settings, stdout=not self._exact)), run.pulse)
        return run

    def _attend(self) -> Session:
        """Return the session that reads the streams; it holds the bytes of a stream until its use is decided."""
        with self._lock:
            self._check_usable()
            if self._session is None:
                from .._core.capture import Held
                from .._drive.session import Session

                self._session = Session([self._make_run({STDOUT: Held(), STDERR: Held()}, self._feeding())])
                self._stopping.drain_for(None, time.monotonic())
                self._go(ATTEND)
            return self._session

    def _bind(self, how: str, sinks: dict[int, Capture], drain: float | None, listens: tuple[int, ...]) -> Session:
        """Send the streams to `sinks`, beginning with the bytes read so far."""
        session = self._attend()
        run = session.runs[0]

        def change() -> None:
            self._bound = how
            run.listen(self._settings.idle_timeout, listens)
            run.change_sinks(sinks)
            run.stopping.drain_for(drain, time.monotonic())

        session.do(change)
        return session

    def _begin(
        self,
        sinks: dict[int, Capture],
        in_loop: bool = False,
        keep: bool = False,
        before: Callable[[Run], None] | None = None,
    ) -> Run:
        """Spend the handle: from here on only the run touches the child. `keep`: the verb wants the lines not iterated over;
        `before` is called with the run before it goes on.
        """
        if in_loop:
            require_loop(self._plan.program)
        self._exact = not getattr(sinks[STDOUT], "has_lines", True)
        self._pour()
        with self._lock:
            self._check_usable()
            session = self._session
            taps = None if self._run is None else self._run.taps
            if (session is not None and session.is_led_here) or (taps is not None and taps.is_led_here):
                raise failure(f"{self._plan.program}: a callback of this very run cannot wait for its end", self._plan.program)
            self._go(SPEND)
            run = self._make_run(sinks, self._feeding()) if session is None else session.runs[0]
        if session is None:
            if before is not None:
                before(run)
        else:
            try:
                session.do(lambda: self._take_over(run, sinks, keep, before))
            except BaseException as error:
                self._abort(error)
                raise
        self._untend()
        self._spend_rest()
        return run

    def _spend_rest(self) -> None:
        """Hook of a pipeline: a verb has begun to wait."""

    def _take_over(self, run: Run, sinks: dict[int, Capture], keep: bool, before: Callable[[Run], None] | None) -> None:
        """Let a run that a stream began go on for the verb that spends the handle."""
        if before is not None:
            before(run)
        if self._exact and run.taps is not None:
            run.taps.leave(STDOUT)
        if self._bound == UNBOUND:
            run.change_sinks(sinks)
        else:
            for sink in run.sinks.values():
                channel = getattr(sink, "channel", None)
                if channel is not None:
                    channel.keep_all() if keep and self._bound != MERGED else channel.let_go()
            if keep and self._bound != MERGED and self._settings.cap is not None:
                for capped in run.sinks.values():
                    capped.put_under(self._settings.cap)  # type: ignore[attr-defined]
            run.relieve()
        feed = self._feeding()
        if feed is not None and not self._stdin_taken:
            feed.finish()
            run.write_more()
        if self._bound != MERGED:
            run.stopping.drain_for(DRAIN, time.monotonic())

    def _pour(self) -> None:
        """Begin to write the command's stdin source, once."""
        if self._settings.stdin_source is not None and not self._stdin_taken and self._plan.stdin == PIPE:
            from .stdin import pour

            pour(self, self._settings.stdin_source)

    def _soft_signal(self) -> int:
        chosen = self._settings.timeout_signal
        return SIGTERM if chosen is None else chosen

    def _feeding(self) -> Feed | None:
        """Return what is still to be written to its stdin; once the handle is spent, a pipe that was not taken is closed."""
        if self._feed is None and self._plan.stdin == PIPE:
            keep = self._settings.keep_stdin_open or self._settings.stdin_source is not None
            data = self._settings.stdin_data if self._plan.content is None else self._plan.content
            from .._os.feed import Feed

            self._feed = Feed(self._child, data or b"", keep)
        if self._feed is not None and self._is_spent and not self._stdin_taken:
            self._feed.finish()
        return self._feed

    def _take_stdin(self, keeps_open: bool) -> tuple[Session, Feed, Run]:
        """Take the one way to write to it while it runs; ProcessError for the second caller."""
        session = self._attend()
        with self._lock:
            if keeps_open and not self._settings.keep_stdin_open:
                raise failure(f"{self._plan.program}: its stdin was not kept open: keep_stdin_open()", self._plan.program)
            if self._stdin_taken:
                raise failure(f"{self._plan.program}: its stdin was taken before", self._plan.program)
            feed = self._feeding()
            if feed is None:
                raise failure(f"{self._plan.program}: its stdin is a file, which nobody can write to", self._plan.program)
            self._stdin_taken = True
        assert self._run is not None
        self._run.feed = feed
        return session, feed, self._run

    # The end.

    def _done_of(self, run: Run) -> Callable[[], bool]:
        return lambda: run.done

    def _finish_blocking(self, run: Run, at_end: Callable[[], None] | None = None) -> Outcome:
        """Return the outcome once the run is over; `at_end` is called while the process still has its pid."""
        try:
            if self._session is None:
                drive(run)
            else:
                self._session.until(self._done_of(run))
            if at_end is not None:
                at_end()
            return self._end(run)
        except BaseException as error:
            self._abort(error)
            raise

    async def _finish_async(self, run: Run, at_end: Callable[[], None] | None = None) -> Outcome:
        from .._drive.aio import drive as adrive

        try:
            if self._session is None:
                await adrive(run)
            else:
                await self._session.auntil(self._done_of(run))
            if at_end is not None:
                at_end()
            return self._end(run)
        except BaseException as error:
            self._abort(error)
            raise

    def _end(self, run: Run) -> Outcome:
        """Give everything back after the run, and return the outcome or raise what ended it."""
        outcome = outcome_of(self._child.status(), run.stopping.timed_out)
        self._close()
        if run.failure is not None:
            raise run.failure
        if run.cancelled or self._was_cancelled:
            raise cancelled(self._plan.program)
        if self._bound in (LINES, MERGED):
            self._refuse_too_large(run)
        self._log_end(outcome)
        return outcome

    def _log_end(self, outcome: Outcome, timeout: float | None = None) -> None:
        """Log that it has ended, after `timeout` seconds if they are not those of its own timeout."""
        log_end(self._settings, self._plan.program, outcome, time.monotonic() - self._started, timeout)

    def _seen_to_the_end(self) -> None:
        """Spend the handle because a merged stream has delivered everything; one verb may still ask for the outcome."""
        with self._lock:
            if self._is_spent:
                return
            self._go(SEE)
        self._leave()
        self._go(SEE)

    def _has_ended(self) -> bool:
        """Whether the process, or every stage of a pipeline, has ended."""
        return self._child.status() is not None

    def _outcome_so_far(self) -> Outcome:
        """Return its outcome once it `_has_ended`."""
        return outcome_of(self._child.status(), self._stopping.timed_out)

    def _voice(self) -> Handle:
        """Return the handle whose stderr explains the outcome."""
        return self

    def _told(self) -> Outcome | None:
        """Return the outcome that a stream saw, to one verb only; else None."""
        with self._lock:
            if self._state != TOLD:
                return None
            self._go(ASK)
        assert self._run is not None
        return self._end(self._run)

    def _text_result(self, run: Run, outcome: Outcome) -> ProcessResult:
        self._refuse_too_large(run)
        texts = ("", "") if self._bound == MERGED else (value_of(run.sinks[STDOUT]), value_of(run.sinks[STDERR]))
        stdout, stderr = texts
        return ProcessResult(program=self._plan.program, stdout=stdout, stderr=stderr, outcome=outcome, **self._facts(run))

    def _bytes_result(self, run: Run, outcome: Outcome) -> BytesResult:
        self._refuse_too_large(run)
        stdout: Any = run.sinks[STDOUT]
        data, text = (b"", "") if self._bound == MERGED else (stdout.value(), value_of(run.sinks[STDERR]))
        return BytesResult(program=self._plan.program, stdout=data, stderr=text, outcome=outcome, **self._facts(run))

    def _refuse_too_large(self, run: Run) -> None:
        """Raise OutputTooLarge if a stream passed its cap in `error` mode."""
        refuse_too_large(self._plan.program, self._settings.cap, run.sinks)

    def _facts(self, run: Run) -> Facts:
        settings = self._settings
        return {
            "timeout": settings.timeout,
            "success_codes": settings.success_codes,
            "duration_seconds": time.monotonic() - self._started,
            "truncated": any(sink.truncated for sink in run.sinks.values()),
            "pid": self._child.pid,
            "args": (settings.program, *settings.args),
            "mechanism": self._container.mechanism,
            "leaked": run.leaked,
            "idle_seconds": run.idle_seconds if run.idle_timed_out else None,
        }

    # Its deadline while no verb waits, and its end.

    def _leave_unattended(self) -> None:
        """Feed it and have its deadline kept although no verb waits yet; the last step of a `start`."""
        self._pour()
        settings = self._settings
        # A terminal without a source is told at once that nothing comes; a source is written by another thread.
        silent = settings.pty is not None and settings.stdin_source is None and not settings.keep_stdin_open
        if settings.stdin_data is not None or silent:
            feed = self._feeding()
            # More than a pipe holds came as a file, unless stdin is kept open: then the verb that waits writes it.
            if feed is not None and self._child.stream(STDIN) >= 0 and len(settings.stdin_data or b"") <= PIPE_HOLDS:
                write_ready(self._child, feed)
        wake = self._stopping.wake
        if wake is not None:
            from .._drive.tender import review, tend

            self._tended = True
            tend(self, wake, keep=not self._owns)
            if not self._owns:
                group: Any = self._container
                if review not in group.when_closed:
                    group.when_closed.append(review)
        self._child.stays = not self._owns
        self._given = True

    def _is_over(self) -> bool:
        """Whether it has ended, or the handle is closed. Called by the tender."""
        return self._is_gone or self._child.status() is not None

    def _tend(self) -> float | None:
        """Act on the deadline of a process that no verb waits for; return when to be called again. Called by the tender."""
        with self._lock:
            session = self._session
            if self._is_spent:
                return None
            if self._child.status() is not None and (self._stopping.state == RUNNING or self._child.tree.empty()):
                return None
            if session is None:
                self._stopping.tick(time.monotonic())
                self._act()
        if session is not None:
            session.tick()
        wake = self._stopping.wake
        if self._stopping.state == RUNNING or wake is None:
            return wake
        return min(wake, time.monotonic() + LOOK_AGAIN)  # it may end at any moment

    def _act(self) -> None:
        """Execute what was decided while no driver is there; a later driver finds the rest of the state."""
        act_on_tree(self._child, self._stopping, self._soft_signal())

    def _kill(self) -> None:
        """Start killing the tree."""
        with self._lock:
            if self._is_gone:
                return  # another thread is closing it, and the tree is another run's next
            session = self._session
            if session is None:
                self._stopping.stop(time.monotonic(), None)
                self._act()
        if session is not None:
            session.stop()

    def _abort(self, error: BaseException) -> None:
        """Kill the tree and wait until it is gone, whatever was under way; a failed wait becomes a ProcessError."""
        if not self._is_gone:
            self._child.tree.kill()
        self._close()
        callbacks = None if self._run is None else self._run.failure
        if isinstance(error, (NotHere, OSError)) and error is not callbacks:
            text = str(error) if isinstance(error, NotHere) else f"{self._plan.program}: waiting for it failed: {error}"
            raise failure(text, self._plan.program) from error

    def _cancel(self) -> None:
        """End the tree because the token was cancelled, or let the driver that waits for it do that. From any thread."""
        with self._lock:
            run, session = self._run, self._session
            if run is None and not self._is_spent:
                self._cancelled_when = WHILE_RUNNING if self._child.status() is None else AFTERWARDS
                if self._was_cancelled:
                    self._stopping.stop(time.monotonic(), None)
                    self._act()
        if session is not None and run is not None:
            session.do(run.look_at_token)
        elif run is not None:
            run.interrupt()

    def _close(self) -> None:
        """Kill what is left of an owned tree, or of a shared child, and give everything back. Idempotent.

        Each step is taken whatever became of the one before it, and the first error is raised at the end. A close that was
        interrupted is taken up again by the next one. One thread at a time takes the steps; another one waits until they are
        done, unless the first may be waiting for it.
        """
        session = self._session
        if os.getpid() != self._owner:
            return  # nor is the lock to be trusted there
        if session is None or not session.may_wait_for_us:
            with self._closing:
                self._give_back()
        elif self._closing.acquire(blocking=False):
            try:
                self._give_back()
            finally:
                self._closing.release()

    def _give_back(self) -> None:
        if self._giving_back or self._state in (TOLD, CLOSED):
            return  # in the first case a signal handler closes what its thread is closing: that goes on afterwards
        try:
            self._giving_back = True
            with self._lock:
                self._go(CLOSE)
            early = first_error(self._forget_token, self._stop_pouring)
            needed = first_error(self._end_process, self._end_reading)
            # Before the reap: a process group needs its leader's number until all of it is dead.
            late = first_error(self._close_container)
            if needed is None:  # else the reap would close what those two need to be taken up again
                late = first_error(self._child.reap) or late
            raised = early or needed or late
            if raised is not None:
                raise raised
            self._go(GIVEN_BACK)
            tell_left(self._settings.logger, self._plan.program, self._child.tree.unkillable())
        finally:
            self._giving_back = False

    def _forget_token(self) -> None:
        if self._settings.token is not None:
            self._settings.token._unsubscribe(self._subscription)

    def _end_process(self) -> None:
        if self._child.status() is None:
            self._child.tree.kill()
            self._child.wait_killed()

    def _end_reading(self) -> None:
        if self._session is not None:
            self._session.close()
        if self._run is not None and self._run.taps is not None:
            self._run.taps.end()

    def _close_container(self) -> None:
        if self._owns:
            self._container.close()

    def _stop_pouring(self) -> None:
        task, self._pouring = self._pouring, None
        if task is not None:
            try:
                task.get_loop().call_soon_threadsafe(task.cancel)
            except RuntimeError:
                pass  # the loop was closed, and has cancelled it

    def _untend(self) -> None:
        if self._tended:
            from .._drive.tender import untend

            untend(self)

    def _leave(self) -> None:
        self._untend()
        self._close()

    def __del__(self) -> None:
        state = getattr(self, "_state", CLOSED)
        if state in (TOLD, CLOSED) or os.getpid() != self._owner:
            return
        if self._given and not self._owns and state != CLOSING:
            first_error(self._forget_token, self._stop_pouring, self._end_reading)
            group: Any = self._container
            group.abandon(self._child)
            return
        # A handle that is half made has no name for a message yet.
        said = said_of_drop(self) if self._given else ""
        insist(self._close)
        if said:
            warn_left_open(said, self)
