"""What every test runs under: nothing it started, opened or made may outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
for path in (HERE, ROOT):
    if path not in sys.path:
        sys.path.insert(0, path)

import shards  # noqa: E402
from programs import sh, true, wait_until  # noqa: E402

if sys.platform == "linux":
    import census_linux as census
else:
    import census_windows as census

TOKEN_NAME = "PROCESSKIT_TEST_TOKEN"

#: Tests of what only Linux has: its system calls, its guardian, fork(2), and here the C compilers of the declarations' checker.
ONLY_LINUX = {
    f"test_{name}.py"
    for name in (
        "attacks",
        "boundary",
        "proof",
        "refused_kill",
        "struck",
        "vigil",
        "launcher",
        "containers",
        "faults",
        "fork",
        "guardian",
        "quick_end",
        "younger",
        "shguardian",
        "core_proctext",
        "cli_places",
        "check_syscalls",
    )
}
collect_ignore = sorted(ONLY_LINUX) if sys.platform != "linux" else ["test_windows.py"]


pytest_addoption = shards.add_options
pytest_runtestloop = shards.run_loop

# A background job of a shell begins with it ignored, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """What is not collected, and why."""
    return f"not collected here, for they are about another system: {', '.join(collect_ignore)}"


@pytest.fixture(scope="session", autouse=True)
def warm():
    """What is made once per process exists before the first test looks."""
    true().output()
    sh("exit 0").output()
    yield
    census.nothing_is_left()


@pytest.fixture
def token() -> str:
    """A word in the environment of everything this test starts."""
    return os.environ[TOKEN_NAME]


def _threads():
    """Those that run. What logging makes of a thread that `threading` did not start, and leaves there, is none."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


@pytest.fixture(autouse=True)
def nothing_outlives_the_test(monkeypatch):
    """No process, descriptor, thread, child or container is there after a test that was not there before it."""
    monkeypatch.setenv(TOKEN_NAME, f"t{uuid.uuid4().hex}")
    threads = _threads()
    before = census.Before()
    # What pytest keeps is most of what there is: a collection after the test need not look at it again.
    if hasattr(gc, "freeze"):
        gc.freeze()
    yield
    wait_until(lambda: _threads() <= threads, 10)
    before.check()


@pytest.fixture
def letting_go():
    """What is dropped in a block of it is gone behind it: at once where references are counted, else by a collection (PyPy)."""
    block = contextlib.ExitStack()
    if sys.implementation.name != "cpython":
        block.callback(gc.collect)
    return block


@pytest.fixture(params=census.MECHANISMS)
def mechanism(request):
    """Each mechanism that this machine offers, in use for the whole test."""
    if census.why_not(request.param) is not None:
        pytest.skip(f"no {request.param} here: {census.why_not(request.param)}")
    before = census.current()
    census.use(request.param)
    yield request.param
    census.use(before)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """`call(target, verb, ...)`: the verb, or its awaitable twin in a loop of its own."""

    async def awaited(target, verb, words):
        return await getattr(target, "a" + verb)(*words)

    if request.param == "sync":
        return lambda target, verb, *words: getattr(target, verb)(*words)
    return lambda target, verb, *words: asyncio.run(awaited(target, verb, words))


@pytest.fixture(params=["sync", "async"])
def follow(request):
    """`follow(command, opener, most, finisher)`: what was iterated (at most so much), and what the finisher said."""

    def sync(command, opener, most=None, finisher=None, **options):
        with command.start() as process:
            stream = getattr(process, opener)(**options)
            items = [*stream] if most is None else [next(stream) for _ in range(most)]
            return items, None if finisher is None else getattr(process, finisher)()

    async def awaited(command, opener, most, finisher, options):
        async with await command.astart() as process:
            stream = getattr(process, opener)(**options)
            items = [item async for item in stream] if most is None else [await stream.__anext__() for _ in range(most)]
            return items, None if finisher is None else await getattr(process, "a" + finisher)()

    if request.param == "sync":
        return sync
    return lambda command, opener, most=None, finisher=None, **options: asyncio.run(
        awaited(command, opener, most, finisher, options)
    )


@pytest.fixture
def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable


@pytest.fixture
def in_child_env() -> dict[str, str]:
    """Environment of a Python child that imports this processkit."""
    return {**os.environ, "PYTHONPATH": ROOT}
