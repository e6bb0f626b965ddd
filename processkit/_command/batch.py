"""Many commands, some at a time: api.md §16. A slot that fails holds its error; the others go on."""

from __future__ import annotations

import os
from functools import partial

from .._base.boundary import bounded
from .._base.errors import ProcessError
from .._base.validate import callback, positive_int, sequence
from .._core.unraisable import take_all
from .._plan.cancel import CancellationToken
from .command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
    from typing import Any, Callable, Union

    from .._base.result import BytesResult, ProcessResult
    from .protocols import ProcessRunner

    Slot = Union[ProcessResult, ProcessError]
    BytesSlot = Union[BytesResult, ProcessError]
    Progress = Callable[[int, int], object]

FALLBACK_CONCURRENCY = 4
#: The verbs that the runner of a batch must have.
VERBS = ("output", "output_bytes", "run", "exit_code", "probe", "aoutput", "aoutput_bytes", "arun", "aexit_code", "aprobe")


def at_once(concurrency: int | None) -> int:
    """Return how many run at a time; for None the number of processors."""
    if concurrency is None:
        count = getattr(os, "process_cpu_count", os.cpu_count)()
        return count or FALLBACK_CONCURRENCY
    return positive_int(concurrency, "concurrency")


def check_runner(runner: object) -> Any:
    """Return `runner` if it is None or has the verbs of a ProcessRunner, else raise TypeError."""
    if runner is not None and not all(callable(getattr(runner, verb, None)) for verb in VERBS):
        raise TypeError(f"runner must have the verbs of a ProcessRunner, which {type(runner).__name__} has not")
    return runner


class _Batch:
    """The commands of one call, how they are run, and how many are done. Thread-safe where threads use it."""

    def __init__(
        self, commands: Sequence[Command], concurrency: int | None, runner: object, verb: str, progress: Progress | None
    ) -> None:
        self.width = at_once(concurrency)
        self._runner = check_runner(runner)
        #: The caller does not want the remaining slots.
        self.is_left = False
        self._progress = None if progress is None else callback(progress, "progress")
        listed = sequence(commands, "commands")
        for command in listed:
            if not isinstance(command, Command):
                raise TypeError(f"each of commands must be a Command, not {type(command).__name__}")
        #: Ends the running commands when the caller does not want them any more.
        self.token = CancellationToken()
        self._wires: list[tuple[CancellationToken, int]] = []
        self._commands = listed
        self._verb = verb
        self.size = len(listed)
        self.width = min(self.width, self.size)
        self._next = iter(range(self.size))
        self._done = 0

    def begin(self) -> None:
        """Wire the commands to our token; `release` undoes it."""
        self._commands = tuple(self._wired(command) for command in self._commands)

    def _wired(self, command: Command) -> Command:
        """Return `command` wired to end with the batch as well as by its own token."""
        own = command._settings.token
        token = self.token.child_token()
        if own is None:
            return command.cancel_on(token)
        self._wires.append((own, own._subscribe(token.cancel)))
        return command.cancel_on(token)

    def release(self) -> None:
        """End the running commands and unwire the tokens."""
        wires, self._wires = self._wires, []
        take_all(self.token.cancel, *(partial(token._unsubscribe, number) for token, number in wires))

    def take(self) -> int | None:
        """Return the next index; None: there is none, or the batch has been given up."""
        return None if self.token.is_cancelled() else next(self._next, None)

    def run(self, index: int) -> Any:
        """Return the result of one slot, or its error."""
        command = self._commands[index]
        target = (command,) if self._runner is not None else ()
        try:
            return getattr(self._runner or command, self._verb)(*target)
        except BaseException as error:  # of any type: the slot is the only place that can tell of it
            return error

    async def arun(self, index: int) -> Any:
        """Async twin of `run`."""
        import asyncio

        command = self._commands[index]
        target = (command,) if self._runner is not None else ()
        try:
            return await getattr(self._runner or command, "a" + self._verb)(*target)
        except asyncio.CancelledError as error:
            if self.is_left or _was_cancelled():
                raise
            return error  # the runner's own
        except (KeyboardInterrupt, SystemExit):
            raise  # meant for the whole program: the loop ends with it
        except BaseException as error:
            return error

    def served(self) -> None:
        """Count one more slot as done, and report the progress."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self.size)


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
    """A task of which `_was_cancelled` can tell."""
    import asyncio

    if hasattr(asyncio.Task, "cancelling"):
        return asyncio.ensure_future(work)

    class Worker(asyncio.Task):  # type: ignore[type-arg]
        """Before Python 3.11 a task does not know that somebody cancels it."""

        was_cancelled = False

        def cancel(self, *words: Any, **named: Any) -> bool:
            self.was_cancelled = True
            return super().cancel(*words, **named)

    return Worker(work)


def _was_cancelled() -> bool:
    """Whether the task that runs was cancelled, as a loop that ends does it to all: what it waits for may be cancelled as well."""
    import asyncio

    task: Any = asyncio.current_task()
    return bool(task.cancelling() if hasattr(task, "cancelling") else task.was_cancelled)


def _start_threads(batch: _Batch, put: Callable[[tuple[int, Any]], None], started: list[threading.Thread]) -> None:
    """Start threads that run the batch and `put` each slot; each thread is in `started` before it runs."""
    import threading

    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                index = batch.take()
            if index is None:
                return
            put((index, batch.run(index)))

    for _ in range(batch.width):
        thread = threading.Thread(target=work, name="processkit-batch", daemon=True)
        started.append(thread)  # before its start: who is interrupted in that joins it all the same
        try:
            thread.start()
        except RuntimeError as error:
            started.remove(thread)
            if not started:
                raise ProcessError(f"no thread can be started to run the batch: {error}") from error
            return  # those that run do all the work


def _completed(make: Callable[[], _Batch]) -> Iterator[tuple[int, Any]]:
    """Yield slots as they are done; closing the iterator ends the rest."""
    from queue import SimpleQueue

    batch = make()
    done: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    threads: list[threading.Thread] = []
    try:
        batch.begin()
        _start_threads(batch, done.put, threads)
        for _ in range(batch.size):
            slot = _taken(done)
            batch.served()
            yield slot
    finally:
        take_all(batch.release, *(thread.join for thread in threads if thread.ident is not None))


def _taken(done: Any) -> tuple[int, Any]:
    """Return the next slot from the queue; waits in slices, for on Windows Ctrl+C does not interrupt the wait for a lock."""
    from queue import Empty

    while True:
        try:
            return done.get(timeout=0.1)  # type: ignore[no-any-return]
        except Empty:
            continue


def _all(batch: _Batch) -> list[Any]:
    slots: list[Any] = [None] * batch.size
    for index, slot in _completed(lambda: batch):
        slots[index] = slot
    return slots


async def _acompleted(make: Callable[[], _Batch]) -> AsyncIterator[tuple[int, Any]]:
    import asyncio

    batch = make()
    done: asyncio.Queue[tuple[int, Any] | BaseException] = asyncio.Queue()

    async def work() -> None:
        """Run slots until none is left."""
        try:
            while True:
                index = batch.take()
                if index is None:
                    return
                done.put_nowait((index, await batch.arun(index)))
        except BaseException as error:
            done.put_nowait(error)
            raise

    workers: list[asyncio.Future[None]] = []
    try:
        batch.begin()
        workers += [_task(work()) for _ in range(batch.width)]
        for _ in range(batch.size):
            slot = await done.get()
            if isinstance(slot, BaseException):
                raise slot
            batch.served()
            yield slot
    finally:
        batch.is_left = True
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        batch.release()


async def _aall(batch: _Batch) -> list[Any]:
    slots: list[Any] = [None] * batch.size
    stream = _acompleted(lambda: batch)
    try:
        async for index, slot in stream:
            slots[index] = slot
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
    return slots


@bounded
def output_all(
    commands: Sequence[Command],
    *,
    concurrency: int | None = None,
    runner: ProcessRunner | None = None,
    progress: Progress | None = None,
) -> list[Slot]:
    """Run all commands and return their results in the order of `commands`; a slot that cannot have one holds its exception.

    A failing exit code, a signal and a timeout are results. `concurrency`: most that run at once (default: the number of
    processors). `runner`: any object with the verbs of a ProcessRunner (default: each command itself). `progress` is called
    with (done, total) after each.

    TypeError unless `commands` is a list or tuple of Command, or if the runner lacks a verb; ValueError for a `concurrency` below
    1. An exception of `progress`, or Ctrl+C, ends what still runs.
    """
    return _all(_Batch(commands, concurrency, runner, "output", progress))


@bounded
def output_all_bytes(
    commands: Sequence[Command],
    *,
    concurrency: int | None = None,
    runner: ProcessRunner | None = None,
    progress: Progress | None = None,
) -> list[BytesSlot]:
    """As `output_all`, with the exact bytes of each stdout."""
    return _all(_Batch(commands, concurrency, runner, "output_bytes", progress))


def output_as_completed(
    commands: Sequence[Command], *, concurrency: int | None = None, progress: Progress | None = None
) -> Iterator[tuple[int, Slot]]:
    """Return an iterator of (index, result or exception) in the order in which they are done, every index once.

    Closing the iterator ends the running ones. Parameters as `output_all`; bad ones are raised by the first step.
    """
    return _completed(lambda: _Batch(commands, concurrency, None, "output", progress))


@bounded
async def aoutput_all(
    commands: Sequence[Command],
    *,
    concurrency: int | None = None,
    runner: ProcessRunner | None = None,
    progress: Progress | None = None,
) -> list[Slot]:
    """Async twin of `output_all`; when its task is cancelled, it ends what still runs before CancelledError is raised."""
    return await _aall(_Batch(commands, concurrency, runner, "output", progress))


@bounded
async def aoutput_all_bytes(
    commands: Sequence[Command],
    *,
    concurrency: int | None = None,
    runner: ProcessRunner | None = None,
    progress: Progress | None = None,
) -> list[BytesSlot]:
    """Async twin of `output_all_bytes`."""
    return await _aall(_Batch(commands, concurrency, runner, "output_bytes", progress))


def aoutput_as_completed(
    commands: Sequence[Command], *, concurrency: int | None = None, progress: Progress | None = None
) -> AsyncIterator[tuple[int, Slot]]:
    """Async twin of `output_as_completed`: an async iterator; closing it ends what still runs."""
    return _acompleted(lambda: _Batch(commands, concurrency, None, "output", progress))


def aoutput_as_completed_bytes(
    commands: Sequence[Command], *, concurrency: int | None = None, progress: Progress | None = None
) -> AsyncIterator[tuple[int, BytesSlot]]:
    """As `aoutput_as_completed`, with the exact bytes of each stdout."""
    return _acompleted(lambda: _Batch(commands, concurrency, None, "output_bytes", progress))
