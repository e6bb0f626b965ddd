"""A close that meets another one, or an interrupt, is done once and to its end."""

import threading

import pytest
from programs import alive, sh, sleep

from processkit import ProcessGroup


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
        assert alive(pid)
        process.__exit__(None, None, None)
        assert not alive(pid)
        assert group.members() == []
