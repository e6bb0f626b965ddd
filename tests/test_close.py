"""A close that meets another one, or an interrupt, is done once and to its end."""

import threading

import pytest
from programs import alive, sh, sleep, wait_until

from processkit import ProcessGroup
from processkit._core.unraisable import first_error


def test_two_threads_may_close_one_handle(mechanism):
    for attended in (False, True) * 10:
        process = sh("echo hi; exec sleep 1000").start()
        if attended:
            process.wait_for_line("hi", timeout=60)
        gate, errors = threading.Barrier(2), []

        def close(process=process, gate=gate, errors=errors):
            gate.wait()
            try:
                process.__exit__(None, None, None)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=close) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert not alive(process.pid or process._child.pid)


def test_a_close_that_was_interrupted_before_the_kill_is_taken_up_again(mechanism, monkeypatch):
    with ProcessGroup() as group:
        process = group.start(sleep(1000))
        pid, kind = process.pid, type(process._child.tree)
        kill = kind.kill

        def interrupted(tree):
            monkeypatch.setattr(kind, "kill", kill)
            raise KeyboardInterrupt

        monkeypatch.setattr(kind, "kill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            process.__exit__(None, None, None)
        assert not alive(pid)
        process.__exit__(None, None, None)
        assert group.members() == []


def test_a_callback_may_close_what_another_thread_is_closing():
    called, done = threading.Event(), []

    def close(line):
        called.set()
        wait_until(lambda: process._giving_back)
        process.__exit__(None, None, None)
        done.append(line)

    process = sh("echo hi; exec sleep 1000").on_stdout_line(close).start()
    pid = process.pid
    leader = threading.Thread(target=lambda: list(process.stdout_lines()))
    leader.start()
    closer = threading.Thread(target=lambda: (called.wait(60), process.__exit__(None, None, None)))
    closer.start()
    closer.join(60)
    leader.join(60)
    assert not closer.is_alive()
    assert not leader.is_alive()
    assert done == ["hi"]
    assert not alive(pid)


def test_a_signal_handler_may_close_what_its_thread_is_closing(mechanism, monkeypatch):
    process = sleep(1000).start()
    pid, kind, reaps = process.pid, type(process._child), []
    reap = kind.reap

    def interrupted(child):
        reaps.append(child)
        process.__exit__(None, None, None)  # as a handler would
        reap(child)

    monkeypatch.setattr(kind, "reap", interrupted)
    process.__exit__(None, None, None)
    assert len(reaps) == 1
    assert not alive(pid)


def test_every_step_is_taken_and_an_interrupt_is_told_before_any_other_error():
    taken = []

    def step(error):
        def take():
            taken.append(error)
            if error is not None:
                raise error

        return take

    first, second, interrupt = OSError(1), OSError(2), KeyboardInterrupt()
    assert first_error(step(None), step(first), step(second)) is first
    assert first_error(step(first), step(interrupt), step(second)) is interrupt
    assert first_error(step(None)) is None
    assert len(taken) == 7
