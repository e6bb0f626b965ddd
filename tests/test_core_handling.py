"""The life of a handle: its table, and that a close which is interrupted is taken up again."""

import pytest
from programs import alive, sleep

from processkit._core.handling import (
    ASK,
    ATTEND,
    ATTENDED,
    CLOSE,
    CLOSED,
    CLOSING,
    GIVEN_BACK,
    GONE,
    OPEN,
    SEE,
    SPEND,
    SPENT,
    TOLD,
    TRANSITIONS,
    USABLE,
    after,
)

STATES = (OPEN, ATTENDED, SPENT, CLOSING, TOLD, CLOSED)
EVENTS = (ATTEND, SPEND, SEE, CLOSE, GIVEN_BACK, ASK)


@pytest.mark.parametrize(
    "story",
    [
        (OPEN, SPEND, SPENT, CLOSE, CLOSING, GIVEN_BACK, CLOSED),
        (OPEN, ATTEND, ATTENDED, ATTEND, ATTENDED, SPEND, SPENT, CLOSE, CLOSING, GIVEN_BACK, CLOSED),
        (OPEN, ATTEND, ATTENDED, SEE, SPENT, CLOSE, CLOSING, GIVEN_BACK, CLOSED, SEE, TOLD, ASK, CLOSED, ASK, CLOSED),
        (OPEN, CLOSE, CLOSING, CLOSE, CLOSING, GIVEN_BACK, CLOSED, CLOSE, CLOSED),
    ],
)
def test_a_handle_goes_through_these_states(story):
    state = story[0]
    for event, expected in zip(story[1::2], story[2::2]):
        state = after(state, event)
        assert state == expected


def test_every_state_and_event_of_the_table_is_known_and_nothing_comes_back_from_the_end():
    assert {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(STATES)
    assert {event for _, event in TRANSITIONS} == set(EVENTS)
    assert set(USABLE) | {SPENT} | set(GONE) == set(STATES)
    for state in GONE:
        for event in EVENTS:
            assert after(state, event) in GONE
    for event in EVENTS:
        assert after(SPENT, event) not in USABLE


STEPS = ["_forget_token", "_end_process", "_stop_pouring", "_end_reading", "_close_container"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_step_of_the_close_that_fails_keeps_none_of_the_others_from_being_taken(monkeypatch, step, error):
    process = sleep().start()
    pid, kind = process.pid, type(process)
    with monkeypatch.context() as patch:

        def fail(self):
            raise error("in the midst")

        patch.setattr(kind, step, fail)
        with pytest.raises(error, match="in the midst"):
            process.__exit__(None, None, None)
        assert process._state == CLOSING
        if step not in ("_end_process", "_close_container"):
            assert not alive(pid)
    # Whoever comes next takes it up again.
    process.__exit__(None, None, None)
    assert process._state == CLOSED
    assert not alive(pid)


def test_a_close_that_is_interrupted_and_then_dropped_is_taken_up_by_the_drop(monkeypatch):
    process = sleep().start()
    pid = process.pid
    with monkeypatch.context() as patch:
        patch.setattr(type(process), "_end_process", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(type(process), "_close_container", lambda self: None)
        patch.setattr(type(process._child), "reap", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            process.__exit__(None, None, None)
    assert alive(pid)
    with pytest.warns(ResourceWarning, match="dropped"):
        process.__del__()
    assert not alive(pid)
