"""Where an event loop's processes are started: on its own thread as long as that is quick."""

import asyncio
import sys
import threading

import pytest
from programs import await_until, sleep, true

from processkit._drive import spawner
from processkit._os.worker import Worker


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(spawner, "_known", {})


def is_quick(program):
    return spawner._known[program] < spawner.QUICK_SECONDS


def test_a_program_that_is_new_is_started_beside_the_loop_and_a_quick_one_on_its_own_thread():
    class Made:
        def __init__(self):
            self.thread = threading.get_ident()

        def _close(self):
            pass

    async def started():
        return (await spawner.beside_the_loop("p", Made)).thread == threading.get_ident()

    assert asyncio.run(started()) is False
    spawner._known["p"] = spawner.QUICK_SECONDS / 2
    assert asyncio.run(started()) is True
    spawner._known["p"] = spawner.QUICK_SECONDS * 2
    assert asyncio.run(started()) is False


def test_one_start_that_waited_for_a_processor_does_not_make_a_program_slow():
    spawner._note("p", 0.0002)
    spawner._note("p", 0.003)
    assert is_quick("p")


def test_a_program_that_has_become_slow_is_slow_at_once_or_after_some_ten_starts():
    spawner._note("p", 0.0002)
    spawner._note("p", 0.011)
    assert not is_quick("p")
    spawner._note("p", 0.0002)
    assert is_quick("p")
    starts = 0
    while is_quick("p"):
        spawner._note("p", 0.002)
        starts += 1
    assert 1 < starts <= 10


def test_what_is_known_of_programs_is_bounded():
    for number in range(3 * spawner.MOST_KNOWN):
        spawner._note(f"p{number}", 0.0002)
    assert len(spawner._known) <= spawner.MOST_KNOWN


def test_real_starts_are_noted():
    async def run():
        return await true().aoutput()

    for _ in range(3):
        assert asyncio.run(run()).code == 0
    assert spawner._known[true().program] > 0


def test_a_worker_that_a_signal_handler_has_woken_already_takes_the_job():
    """1. A job is queued. 2. A handler on the same thread queues another and wakes the worker. 3. The first waker finds it awake."""
    worker, done = Worker(0.05), threading.Event()
    wake = worker._wake

    class Awake:
        acquire, locked = wake.acquire, wake.locked

        def release(self):
            wake.release()
            raise RuntimeError("release unlocked lock")

    worker._wake = Awake()
    assert worker.add(done.set)
    assert done.wait(60)


class _Broken(asyncio.SelectorEventLoop):
    """A loop that cannot be told anything from another thread."""

    broken = False

    def call_soon_threadsafe(self, *words, **named):
        if self.broken:
            raise OSError("broken")
        return super().call_soon_threadsafe(*words, **named)


@pytest.mark.skipif(sys.platform == "win32", reason="this loop starts no process there")
def test_a_loop_that_cannot_be_told_keeps_no_other_one_from_starting(monkeypatch):
    reported = threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", lambda _: reported.set())
    broken = _Broken()

    async def start():
        starting = asyncio.ensure_future(sleep().astart())
        broken.broken = True
        await await_until(reported.is_set)
        broken.broken = False
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    broken.run_until_complete(asyncio.wait_for(start(), 20))
    broken.close()
    assert asyncio.run(asyncio.wait_for(true().aoutput(), 20)).code == 0
