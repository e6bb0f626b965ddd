"""A started pipeline: the handle of its last stage, which speaks for all of them."""

from __future__ import annotations

import time
import weakref
from functools import partial

from .._base import PUBLIC
from .._base.errors import cancelled
from .._base.log import DEBUG, listens
from .._base.outcome import Outcome, outcome_of
from .._base.result import BytesResult, Finished, ProcessResult
from .._core.capture import Discard, whole_text
from .._core.handling import SPEND
from .._core.stopping import DRAIN
from .._core.unraisable import take_all
from .._os import STDERR, STDOUT
from .._process.handle import MERGED
from .._process.running import RunningProcess
from .._process.telling import value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._base.result import Facts
    from .._core.capture import Capture
    from .._drive.run import Run
    from .._drive.session import Session
    from .._os.feed import Feed


class RunningPipeline(RunningProcess):
    """A started pipeline: its output is that of the last stage, its stdin that of the first.

    Its outcome is that of the first stage that failed and is not `unchecked_in_pipe`, else of the last one. `kill`, `shutdown`,
    leaving its `with` block and dropping it end all stages. `pid`, the figures and counters are those of the last stage.
    """

    __module__ = PUBLIC
    __slots__ = ("_before", "_deadline", "_due", "_is_judged", "_results", "_timeout")

    def _join(self, before: list[RunningProcess], timeout: float | None, started: float) -> None:
        """Take over the handles of the stages before."""
        self._before = before
        self._timeout = timeout
        self._started = started
        # The chain's own deadline, and whether it ended the chain.
        self._deadline = None if timeout is None else started + timeout
        self._due = False
        # A stage has failed, and the others have been hurried.
        self._is_judged = False
        self._results: list[Outcome] = []
        if self._deadline is not None:
            for stage in self._stages:
                stage._stopping.end_by(self._deadline)

    @property
    def _stages(self) -> list[RunningProcess]:
        return [*self._before, self]

    @property
    def pids(self) -> list[int]:
        """The process ids of all stages, in order; empty once the handle is spent."""
        return [] if self._is_spent else [stage._child.pid for stage in self._stages]

    def __repr__(self) -> str:
        names = " | ".join(stage._plan.program for stage in self._stages)
        return f"<RunningPipeline {names!r} {'consumed' if self._is_spent else self.pids}>"

    def _capture(self) -> ProcessResult:
        return self._taken_at_once() or super()._capture()

    def _taken_at_once(self) -> ProcessResult | None:
        """Return the result of a chain that is over and that no session has begun to read, else None: see `launch`."""
        stages = self._stages
        quiet = all(stage._settings.keeps_all and not listens(stage._settings.logger, DEBUG) for stage in stages)
        if not quiet or self._run is not None or not all(stage._child.is_over() for stage in stages):
            return None
        texts = [(stage, stage._child.take_left()) for stage in stages]
        self._results = [outcome_of(stage._child.status(), False) for stage in stages]
        self._close()
        if any(stage._was_cancelled for stage in stages):
            raise cancelled(self._names())
        index = self._speaker
        speaker, said = texts[index]
        settings = speaker._settings
        stdout = whole_text(texts[-1][1][0], self._settings.stdout_decoder, self._settings.stdout_cr)
        stderr = whole_text(said[1], settings.stderr_decoder, settings.stderr_cr)
        return ProcessResult(
            program=speaker._plan.program,
            stdout=stdout,
            stderr=stderr,
            outcome=self._results[index],
            timeout=settings.timeout,
            success_codes=self._accepted(index),
            duration_seconds=time.monotonic() - self._started,
            truncated=False,
            pid=speaker._child.pid,
            args=(settings.program, *settings.args),
            mechanism=self._container.mechanism,
            leaked=0,
        )

    def _accepted(self, index: int) -> tuple[int, ...]:
        """Return the codes that count as success; for an unchecked stage its own code is one of them."""
        codes, code = self._stages[index]._settings.success_codes, self._results[index].code
        return codes if self._is_checked(index) or code is None else (*codes, code)

    # How they are driven.

    def _attend(self) -> Session:
        # The session's first run is that of the last stage, whose output is the output of the chain.
        if self._session is None:
            session = super()._attend()
            for stage in self._before:
                sinks: dict[int, Capture] = {STDOUT: Discard(), STDERR: stage._text(STDERR)}
                session.runs.append(stage._make_run(sinks, stage._feeding()))
                stage._session = session
            session.judge = _judge_of(self)
        assert self._session is not None
        return self._session

    def _spend_rest(self) -> None:
        for stage in self._before:
            stage._go(SPEND)
        assert self._session is not None
        self._session.do(self._close_inputs)

    def _close_inputs(self) -> None:
        for stage in self._before:
            stage._feeding()
            if stage._run is not None:
                stage._run.write_more()

    def _pour(self) -> None:
        self._attend()
        self._before[0]._pour()

    def _take_stdin(self, keeps_open: bool) -> tuple[Session, Feed, Run]:
        self._attend()
        return self._before[0]._take_stdin(keeps_open)

    def _seen_to_the_end(self) -> None:
        """A stream has seen the end of the last stage; the handle stays until the others have ended too."""
        if all(stage._run is not None and stage._run.done for stage in self._stages):
            super()._seen_to_the_end()

    def _has_ended(self) -> bool:
        return all(stage._child.status() is not None for stage in self._stages)

    def _ended_descriptor(self) -> int:
        self._check_usable()
        return next((stage._child.ended for stage in self._stages if stage._child.status() is None), self._child.ended)

    def _done_of(self, run: Run) -> Callable[[], bool]:  # noqa: ARG002
        assert self._session is not None
        runs = self._session.runs
        return lambda: all(each.done for each in runs)

    def _judge(self) -> list[tuple[Run, Callable[[], None]]]:
        """Return what is to be done to the others once a stage has failed: they are killed after a moment in which they may end
        by themselves, so that their last output is read and their own end counts.
        """
        if self._is_judged or not any(self._has_failed(index, stage) for index, stage in enumerate(self._stages)):
            return []
        self._is_judged = True
        moment = time.monotonic() + DRAIN
        runs = [stage._run for stage in self._stages]
        return [(run, partial(run.stopping.hurry, moment)) for run in runs if run is not None and not run.has_ended]

    def _has_failed(self, index: int, stage: RunningProcess) -> bool:
        run = stage._run
        if run is None or not run.has_ended or not self._is_checked(index):
            return False
        return outcome_of(stage._child.status(), run.stopping.timed_out).code not in stage._settings.success_codes

    def _is_checked(self, index: int) -> bool:
        return not self._stages[index]._settings.unchecked

    # Its result.

    def _outcome_so_far(self) -> Outcome:
        self._results = [outcome_of(stage._child.status(), stage._stopping.timed_out) for stage in self._stages]
        now = time.monotonic()
        self._due = self._deadline is not None and now >= self._deadline and any(outcome.timed_out for outcome in self._results)
        return Outcome(None, None, True) if self._due else self._results[self._speaker]

    def _voice(self) -> RunningProcess:
        return self._stages[self._speaker]

    def _end(self, run: Run) -> Outcome:
        stages = self._stages
        outcome = self._outcome_so_far()
        if any(stage._run is not None and (stage._run.cancelled or stage._was_cancelled) for stage in stages):
            self._close()
            raise cancelled(self._names())
        failure = next(
            (stage._run.failure for stage in stages if stage._run is not None and stage._run.failure is not None), None
        )
        if failure is not None:
            self._close()
            raise failure
        super()._end(run)
        for stage in self._before:
            if stage._run is not None:
                stage._refuse_too_large(stage._run)
        for stage, result in zip(self._before, self._results):
            stage._log_end(result, self._timeout if self._due else None)
        return outcome

    def _log_end(self, outcome: Outcome, timeout: float | None = None) -> None:
        super()._log_end(outcome, self._timeout if self._due else timeout)

    @property
    def _speaker(self) -> int:
        """The position of the stage that decides the result."""
        for index, outcome in enumerate(self._results):
            stage = self._stages[index]
            failed = outcome.code not in stage._settings.success_codes
            if failed and self._is_checked(index) and not stage._stopping.given_up:
                return index
        return len(self._results) - 1

    def _names(self) -> str:
        return " | ".join(stage._plan.program for stage in self._stages)

    def _finished(self, run: Run, outcome: Outcome) -> Finished:
        return Finished(outcome, self._stderr(run))

    def _stderr(self, run: Run) -> str:
        stage = self._stages[self._speaker]
        if stage is self:
            return "" if self._bound == MERGED else value_of(run.sinks[STDERR])
        assert stage._run is not None
        return value_of(stage._run.sinks[STDERR])

    def _text_result(self, run: Run, outcome: Outcome) -> ProcessResult:
        self._refuse_too_large(run)
        text = "" if self._bound == MERGED or not hasattr(run.sinks[STDOUT], "value") else value_of(run.sinks[STDOUT])
        return ProcessResult(program=self._program(), stdout=text, stderr=self._stderr(run), outcome=outcome, **self._facts(run))

    def _bytes_result(self, run: Run, outcome: Outcome) -> BytesResult:
        self._refuse_too_large(run)
        stdout: Any = run.sinks[STDOUT]
        data = b"" if self._bound == MERGED else stdout.value()
        return BytesResult(program=self._program(), stdout=data, stderr=self._stderr(run), outcome=outcome, **self._facts(run))

    def _program(self) -> str:
        return self._names() if self._due else self._stages[self._speaker]._plan.program

    def _facts(self, run: Run) -> Facts:
        stage = self._stages[self._speaker]
        if stage is self:
            facts = super()._facts(run)
        else:
            assert stage._run is not None
            facts = RunningProcess._facts(stage, stage._run)
        runs = [each._run for each in self._stages if each._run is not None]
        if self._due:
            facts["timeout"] = self._timeout
        facts["success_codes"] = self._accepted(self._speaker)
        facts["duration_seconds"] = time.monotonic() - self._started
        facts["truncated"] = any(sink.truncated for each in runs for sink in each.sinks.values())
        facts["leaked"] = sum(each.leaked for each in runs)
        return facts

    # Its deadline while no verb waits, and its end.

    def _leave_unattended(self) -> None:
        self._attend()
        for stage in self._before:
            stage._leave_unattended()
        super()._leave_unattended()

    def _kill(self) -> None:
        self._attend().stop()

    def _asked(self, grace: float, in_loop: bool) -> Run:
        run = super()._asked(grace, in_loop)
        session = self._session
        assert session is not None
        for stage in self._before:
            other = stage._run
            if other is not None:
                session.do(lambda other=other: other.stop(grace))  # type: ignore[misc]
        return run

    def _close(self) -> None:
        before = getattr(self, "_before", [])
        take_all(*(partial(_kill_stage, stage) for stage in before), super()._close, *(stage._leave for stage in before))


def _kill_stage(stage: RunningProcess) -> None:
    """Kill it before any other is waited for."""
    if not stage._is_gone and stage._child.status() is None:
        stage._child.tree.kill()


def _judge_of(process: RunningPipeline) -> Callable[[], list[tuple[Run, Callable[[], None]]]]:
    """Return the function that a session asks; it does not keep the handle alive."""
    reference = weakref.ref(process)
    assert process._session is not None
    runs = process._session.runs
    ended = 0

    def judge() -> list[tuple[Run, Callable[[], None]]]:
        nonlocal ended
        now_ended = sum([run.has_ended for run in runs])
        if now_ended == ended:
            return []
        ended = now_ended
        found = reference()
        return [] if found is None else found._judge()

    return judge
