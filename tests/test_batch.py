"""Batches: api.md §16, on real processes."""

import asyncio
import os
import threading

import pytest
from programs import await_until, py, sh, sleep

from processkit import (
    BytesResult,
    CancellationToken,
    Cancelled,
    Command,
    OutputTooLarge,
    ProcessNotFound,
    ProcessResult,
    Runner,
    aoutput_all,
    aoutput_all_bytes,
    aoutput_as_completed,
    aoutput_as_completed_bytes,
    output_all,
    output_all_bytes,
    output_as_completed,
)
from processkit._command.batch import at_once

ALL = {
    "sync": lambda *words, **options: output_all(*words, **options),
    "async": lambda *words, **options: asyncio.run(aoutput_all(*words, **options)),
}


def collected(commands, **options):
    async def collect():
        return [slot async for slot in aoutput_as_completed(commands, **options)]

    return asyncio.run(collect())


AS_COMPLETED = {"sync": lambda *words, **options: list(output_as_completed(*words, **options)), "async": collected}


@pytest.fixture(params=["sync", "async"])
def every(request):
    return ALL[request.param]


@pytest.fixture(params=["sync", "async"])
def as_completed(request):
    return AS_COMPLETED[request.param]


def test_results_come_in_the_order_of_the_commands_whatever_the_order_of_their_ends(every):
    commands = [sh(f"sleep {0.3 - n / 10}; echo {n}") for n in range(3)]
    assert [result.stdout for result in every(commands, concurrency=3)] == ["0", "1", "2"]


def test_a_slot_that_fails_holds_its_error_and_the_others_do_not_notice(every):
    token = CancellationToken()
    token.cancel()
    commands = [
        sh("exit 3"),
        Command("no-such-program-anywhere"),
        sleep().timeout(0.2),
        sh("echo too much").output_limit(max_bytes=1, on_overflow="error"),
        sh("echo x").cancel_on(token),
        sh("echo x").stdout("null"),
        sh("echo fine"),
    ]
    slots = every(commands)
    assert slots[0].code == 3
    assert type(slots[1]) is ProcessNotFound
    assert slots[2].timed_out
    assert type(slots[3]) is OutputTooLarge
    assert type(slots[4]) is Cancelled
    assert "not piped" in str(slots[5])
    assert slots[6].stdout == "fine"


def test_never_more_are_alive_than_were_allowed(every, tmp_path):
    code = (
        "import os, sys, time; path = os.path.join(sys.argv[1], str(os.getpid())); open(path, 'w').close()\n"
        "print(len(os.listdir(sys.argv[1]))); time.sleep(0.05); os.remove(path)"
    )
    seen = [int(result.stdout) for result in every([py(code, str(tmp_path)) for _ in range(8)], concurrency=2)]
    assert max(seen) <= 2


def test_as_completed_gives_every_index_once_the_first_done_first(as_completed):
    slots = as_completed([sh("sleep 1; echo slow"), sh("echo quick")], concurrency=2)
    assert [(index, result.stdout) for index, result in slots] == [(1, "quick"), (0, "slow")]


def test_progress_is_told_after_each(every, as_completed):
    for run in (every, as_completed):
        told = []
        run([sh("exit 0")] * 3, progress=lambda done, total, told=told: told.append((done, total)))
        assert told == [(1, 3), (2, 3), (3, 3)]


def test_bytes_are_exact():
    command = py("import os; os.write(1, b'\\xff\\r\\n')")
    assert output_all_bytes([command])[0].stdout == b"\xff\r\n"
    (result,) = asyncio.run(aoutput_all_bytes([command]))
    assert type(result) is BytesResult

    async def collect():
        return [slot async for slot in aoutput_as_completed_bytes([command])]

    assert asyncio.run(collect())[0][1].stdout == b"\xff\r\n"


def test_nothing_is_nothing(every, as_completed):
    assert every([]) == []
    assert as_completed([]) == []


@pytest.mark.parametrize("verb", [output_as_completed, aoutput_as_completed, aoutput_as_completed_bytes])
def test_an_iterator_that_nobody_asked_holds_no_token(verb):
    token = CancellationToken()
    verb([sh("echo x").cancel_on(token)])
    assert token._callbacks == {}


def test_who_stops_asking_ends_what_still_runs():
    stream = output_as_completed([sh("echo x"), sh("sleep 1000 & sleep 1000")], concurrency=2)
    assert next(stream)[0] == 0
    stream.close()

    async def first():
        async for index, _ in aoutput_as_completed([sh("echo x"), sh("sleep 1000 & sleep 1000")], concurrency=2):
            return index
        return None

    assert asyncio.run(first()) == 0


def test_a_cancelled_batch_leaves_nothing():
    async def cancel():
        task = asyncio.ensure_future(aoutput_all([sh("sleep 1000 & sleep 1000") for _ in range(4)], concurrency=3))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_a_loop_that_ends_starts_no_more_of_a_batch(tmp_path):
    commands = [sh(f"echo x >{tmp_path}/{number}; sleep 1000") for number in range(6)]

    async def leave():
        asyncio.ensure_future(aoutput_all(commands, concurrency=2))
        await await_until(lambda: all((tmp_path / f"{number}").exists() for number in range(2)))

    asyncio.run(leave())  # which cancels all tasks
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]


def test_who_cancels_the_tasks_of_a_batch_cancels_the_batch():
    async def cancel():
        others = asyncio.all_tasks()
        batch = asyncio.ensure_future(aoutput_all([sleep() for _ in range(3)], concurrency=1))
        await await_until(lambda: asyncio.all_tasks() - others - {batch})
        for task in asyncio.all_tasks() - others - {batch}:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch

    asyncio.run(asyncio.wait_for(cancel(), 20))


def test_an_error_of_progress_ends_the_batch(every):
    def fail(done, total):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        every([sh("exit 0"), sleep(), sleep()], concurrency=3, progress=fail)


def test_a_token_of_a_slot_ends_that_slot_and_is_let_go_of(every):
    token = CancellationToken()
    timer = threading.Timer(0.5, token.cancel)
    timer.start()
    slots = every([sleep().cancel_on(token), sh("sleep 1; echo x")], concurrency=2)
    timer.join()
    assert type(slots[0]) is Cancelled
    assert slots[1].stdout == "x"
    assert token._callbacks == {}


def test_a_runner_runs_them(every):
    seen = []

    class Watching(Runner):
        def output(self, command, /):
            seen.append(command)
            return super().output(command)

        async def aoutput(self, command, /):
            seen.append(command)
            return await super().aoutput(command)

    assert [type(slot) for slot in every([sh("exit 0")] * 2, runner=Watching())] == [ProcessResult] * 2
    assert len(seen) == 2
    with pytest.raises(TypeError, match="runner"):
        every([], runner=object())


@pytest.mark.parametrize(
    ("commands", "options", "error"),
    [
        ([], {"concurrency": 0}, ValueError),
        ([], {"concurrency": -1}, ValueError),
        ([], {"concurrency": "2"}, TypeError),
        (["echo"], {}, TypeError),
        ((sh("exit") for _ in range(1)), {}, TypeError),
        ([], {"progress": 3}, TypeError),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(every, as_completed, commands, options, error):
    for run in (every, as_completed):
        with pytest.raises(error):
            run(commands, **options)


def test_as_many_run_at_once_as_there_are_processors(monkeypatch):
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert at_once(None) == 3
    monkeypatch.setattr(os, "process_cpu_count", lambda: None)
    assert at_once(None) == 4


class Leaving(Runner):
    """A runner whose verbs leave the interpreter."""

    def __init__(self, error):
        self._error = error

    def output(self, _command):
        raise self._error

    async def aoutput(self, _command):
        raise self._error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_a_slot_holds_an_error_of_any_type(error):
    assert output_all([sh("echo a")] * 3, runner=Leaving(error), concurrency=2) == [error] * 3


def test_a_runner_that_is_cancelled_by_itself_fills_its_slot():
    error = asyncio.CancelledError()
    assert asyncio.run(aoutput_all([sh("echo a")] * 3, runner=Leaving(error), concurrency=2)) == [error] * 3


def test_a_generator_refuses_what_makes_no_sense_at_its_first_step():
    async def first(stream):
        async for _ in stream:
            pass

    for verb in (aoutput_as_completed, aoutput_as_completed_bytes):
        for words, error in ((([], 0), "concurrency"), ((["x"], 1), "each of commands")):
            with pytest.raises((ValueError, TypeError), match=error):
                asyncio.run(first(verb(words[0], concurrency=words[1])))
            with pytest.raises((ValueError, TypeError), match=error):
                next(output_as_completed(words[0], concurrency=words[1]))
