import itertools

import pytest

from processkit._core import stopping
from processkit._core.stopping import ASKED, DONE, DRAIN, KILL, KILLED, LOOK, REST, RUNNING, SETTLE, SIGNAL, Stopping


def taken(run):
    """The actions that were decided since the last call."""
    actions, run.actions[:] = list(run.actions), []
    return actions


def test_a_run_that_ends_cleanly_is_looked_at_and_done():
    run = Stopping(2, None, None)
    run.closed(1.0)
    run.closed(1.1)
    assert taken(run) == []
    run.exited(1.2)
    assert taken(run) == [LOOK]
    run.looked(True)
    assert (run.state, run.timed_out, run.found_left) == (DONE, False, False)


def test_pipes_that_stay_open_are_drained_for_a_bounded_time_and_then_the_tree_is_killed():
    run = Stopping(2, None, None)
    run.exited(5.0)
    assert run.wake == 5.0 + DRAIN
    run.tick(5.0 + DRAIN - 0.01)
    assert run.state == RUNNING
    run.tick(5.0 + DRAIN)
    assert run.state == KILLED
    assert KILL in taken(run)
    assert run.found_left
    run.looked(True)
    assert run.state == DONE
    assert REST in taken(run)


def test_descendants_without_pipes_get_a_moment_to_finish_dying():
    run = Stopping(0, None, None)
    run.exited(1.0)
    run.looked(False)
    assert run.wake == 1.0 + SETTLE
    run.tick(1.0 + SETTLE)
    assert run.state == KILLED


def test_the_deadline_kills_without_a_grace_and_asks_with_one():
    run = Stopping(0, 3.0, None)
    run.tick(3.0)
    assert (run.state, run.timed_out, taken(run)) == (KILLED, True, [KILL])
    run = Stopping(0, 3.0, 2.0)
    run.tick(3.0)
    assert (run.state, run.timed_out, taken(run)) == (ASKED, True, [SIGNAL])
    assert run.wake == 5.0
    run.tick(5.0)
    assert (run.state, taken(run)) == (KILLED, [KILL])


def test_a_tree_that_obeys_ends_its_grace_early():
    run = Stopping(0, 3.0, 100.0)
    run.tick(3.0)
    run.exited(3.5)
    run.looked(False)
    assert run.state == ASKED
    run.looked(True)
    assert run.state == DONE
    assert run.timed_out


def test_a_child_that_ended_in_time_did_not_time_out_even_if_it_is_noticed_late():
    run = Stopping(0, 3.0, None)
    run.exited(3.5)
    run.looked(True)
    assert (run.state, run.timed_out) == (DONE, False)


def test_the_deadline_bounds_the_drain():
    run = Stopping(1, 3.0, None)
    run.exited(2.95)
    assert run.wake == 3.0


def test_a_group_member_leaves_what_it_left_behind_to_its_group():
    run = Stopping(1, None, None, shared=True)
    run.exited(1.0)
    run.tick(1.0 + DRAIN)
    assert (run.state, run.found_left) == (DONE, False)
    assert KILL not in taken(run)
    run = Stopping(0, None, None, shared=True)
    run.exited(1.0)
    assert run.state == DONE


def test_a_killed_tree_that_hangs_in_the_kernel_is_given_up_on():
    run = Stopping(0, None, None)
    run.stop(1.0, None)
    run.tick(1.0 + stopping.KILL_PATIENCE)
    assert run.state == DONE


def test_every_sequence_of_events_ends_and_never_leaves_the_table():
    steps = {
        "exited": lambda run, now: run.exited(now),
        "closed": lambda run, now: run.closed(now) if run._open else None,
        "empty": lambda run, now: run.looked(True),
        "busy": lambda run, now: run.looked(False),
        "tick": lambda run, now: run.tick(now),
        "kill": lambda run, now: run.stop(now, None) if run.state != DONE else None,
        "ask": lambda run, now: run.stop(now, 0.5) if run.state != DONE else None,
    }
    for shared, order in itertools.product((False, True), itertools.product(steps, repeat=4)):
        run, now = Stopping(1, 2.0, 0.5, shared), 0.0
        exited = False
        for name in order:
            now += 0.3
            if name == "exited" and exited:
                continue
            exited = exited or name == "exited"
            if run.state != DONE:
                steps[name](run, now)
        for _ in range(10):
            if run.state == DONE:
                break
            now = max(now, run.wake if run.wake is not None else now + 1)
            if run.wake is None:
                run.exited(now)
            else:
                run.tick(now)
        assert run.state == DONE, (shared, order)


def test_the_table_has_an_answer_for_whatever_can_happen_before_the_end():
    for state in (RUNNING, ASKED, KILLED):
        for event in (stopping.ASK, stopping.SLAY, stopping.PATIENCE, stopping.EMPTY):
            assert (state, event) in stopping.TRANSITIONS
    with pytest.raises(KeyError):
        stopping.TRANSITIONS[DONE, stopping.SLAY]
