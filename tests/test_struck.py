"""An exception of a signal handler in any call of a close, once: when it is raised nobody is left, or at the latest when the object is
gone; nothing is a zombie, and the next start works.
"""

import gc
import os
import sys

import pytest
from owners import carriers, wait_until

from processkit import Command, ProcessGroup

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython" or os.name != "posix",
    reason="where references are counted, the moment of a drop is known",
)

SLEEP = Command("/bin/sleep", ["1000"])
#: Says `up` when one of its children has left its group. (Who leaves it while its parent dies is nobody's under process_group.)
FAMILY = Command("/bin/sh", ["-c", "sleep 1000 & setsid sh -c 'echo up; exec sleep 1000' & wait"])


class Struck(BaseException):
    """What the handler raises."""


class Striking:
    """A `with` block in which the n-th call of a function of the package raises."""

    def __init__(self, number):
        self._left = number
        #: Whether it has struck.
        self.struck = False

    def __enter__(self):
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _trace(self, frame, event, _argument):
        if self.struck or not frame.f_globals.get("__name__", "").startswith("processkit."):
            return
        self._left -= 1
        if self._left:
            return
        self.struck = True
        raise Struck


def handle():
    with FAMILY.start() as process:
        process.wait_for_line("up", timeout=60)
        yield


def chain():
    with (FAMILY | Command("/bin/cat")).start() as process:
        process.wait_for_line("up", timeout=60)
        yield


def leash():
    with SLEEP.leash().start():
        yield


def group():
    with ProcessGroup(shutdown_grace=0) as one:
        one.start(FAMILY).wait_for_line("up", timeout=60)
        one.start(SLEEP)
        yield


def shutdown():
    process = FAMILY.start()
    process.wait_for_line("up", timeout=60)
    yield
    process.shutdown(0)


def dropped_group():
    one = ProcessGroup()
    one.start(SLEEP)
    one.start(FAMILY).wait_for_line("up", timeout=60)
    yield
    del one


def dropped_stream():
    process = FAMILY.start()
    lines = process.stdout_lines()
    next(lines)
    yield
    del process


EVERY = {each.__name__: each for each in (handle, chain, leash, group, shutdown, dropped_group, dropped_stream)}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", EVERY)
def test_a_close_that_is_struck_at_any_call_leaves_nobody(what, mechanism, token, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda said: None)
    number = 1
    while True:
        block = EVERY[what]()
        next(block)
        with Striking(number) as striking:
            try:
                next(block, None)
            except Struck:
                pass
        del block
        gc.collect()
        wait_until(
            lambda: not [name for name in carriers(token).values() if name == "sleep"], 10, what=lambda: f"all at {number}"
        )  # noqa: B023
        if not striking.struck:
            break
        number += max(1, number // 8)
    Command("/bin/true").output()  # which reaps who was left behind
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        assert file.read() == ""


def test_a_spare_cgroup_that_somebody_has_removed_is_replaced(mechanism):
    if mechanism != "cgroup_v2":
        pytest.skip("another mechanism is in use")
    from processkit._os.linux import system

    Command("/bin/true").output()
    with ProcessGroup() as one:
        one.output(Command("/bin/true"))
        for pool in (system._home._pool, one._container._pool):
            wait_until(lambda: one.output(Command("/bin/true")) and Command("/bin/true").output() and pool._spare)  # noqa: B023
            for leaf in pool._spare:
                os.rmdir(leaf.path)
        assert Command("/bin/echo", ["a"]).run() == "a"
        assert one.run(Command("/bin/echo", ["b"])) == "b"
