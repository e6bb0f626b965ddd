"""The life of a handle, as a table: what a caller may still do with a started process.

States
    open      nothing reads its output; its deadline is kept
    attended  a session reads its output, for a stream, a probe or a writer to its stdin
    spent     one verb waits for its end, and only the verb's run touches the child
    closing   everything is being given back; the tree may be another run's from now on
    told      everything has been given back, and one verb may still ask for the outcome that a stream saw
    closed    everything has been given back
"""

from __future__ import annotations

OPEN, ATTENDED, SPENT, CLOSING, TOLD, CLOSED = "open", "attended", "spent", "closing", "told", "closed"

# What happens: a session begins to read; a verb begins to wait; a stream has seen the end; everything is to be given back, and has
# been; a verb asks for the outcome that a stream saw.
ATTEND, SPEND, SEE, CLOSE, GIVEN_BACK, ASK = "attend", "spend", "see", "close", "given back", "ask"

# (state, event) → state. What is not here changes nothing.
TRANSITIONS = {
    (OPEN, ATTEND): ATTENDED,
    (OPEN, SPEND): SPENT,
    (ATTENDED, SPEND): SPENT,
    # A stream that has seen the end spends the handle as a verb does.
    (ATTENDED, SEE): SPENT,
    (OPEN, CLOSE): CLOSING,
    (ATTENDED, CLOSE): CLOSING,
    (SPENT, CLOSE): CLOSING,
    (CLOSING, GIVEN_BACK): CLOSED,
    (CLOSED, SEE): TOLD,
    (TOLD, ASK): CLOSED,
}

#: States in which a verb or a stream may begin.
USABLE = (OPEN, ATTENDED)
#: States in which the child and its tree may be another run's.
GONE = (CLOSING, TOLD, CLOSED)


def after(state: str, event: str) -> str:
    """The state that follows."""
    return TRANSITIONS.get((state, event), state)
