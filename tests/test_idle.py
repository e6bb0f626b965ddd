"""The idle timeout of one-shot verbs: api.md §9.4, on real processes."""

import pytest
from programs import py, sh, sleep

from processkit import Command, IdleTimeout, ProcessGroup, Timeout, Unsupported

TALKING = "import time\nfor n in range(5): print(n, flush=True); time.sleep(0.3)"


@pytest.mark.parametrize("verb", ["run", "exit_code", "probe"])
def test_a_checking_verb_raises_what_silence_means(call, verb):
    with pytest.raises(IdleTimeout, match="no watched output line") as caught:
        call(sh("sleep 1000 & sleep 1000").idle_timeout(0.5), verb)
    assert vars(caught.value)["idle_timeout_seconds"] == 0.5
    assert not isinstance(caught.value, Timeout)


@pytest.mark.parametrize("verb", ["output", "output_bytes"])
def test_a_capturing_verb_has_it_as_data_with_what_was_said_until_then(call, verb):
    result = call(py("import time; print('x', flush=True); time.sleep(1000)").idle_timeout(2.0), verb)
    assert (result.idle_timed_out, result.timed_out, result.code, result.is_success) == (True, False, None, False)
    assert result.stdout.strip() in ("x", b"x")
    assert result.signal == 9
    with pytest.raises(IdleTimeout):
        result.ensure_success()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_line_on_either_stream_begins_the_wait_anew(call, stream):
    result = call(py(TALKING.replace("flush", f"file=__import__('sys').{stream}, flush")).idle_timeout(2.5), "output")
    assert (result.idle_timed_out, result.code) == (False, 0)


def test_what_is_no_line_is_silence(call):
    dots = py("import time\nwhile True: print('.', end='', flush=True); time.sleep(0.05)")
    assert call(dots.idle_timeout(1.5), "output").idle_timed_out


def test_the_earlier_of_two_limits_counts(call):
    assert call(sleep().idle_timeout(0.3).timeout(60), "output").idle_timed_out
    result = call(sleep().timeout(0.3).idle_timeout(60), "output")
    assert (result.timed_out, result.idle_timed_out) == (True, False)


def test_a_member_of_a_group_is_watched_too(call):
    with ProcessGroup() as group:
        assert call(group, "output", sleep().idle_timeout(0.3)).idle_timed_out


def test_an_end_in_time_is_no_silence(call):
    result = call(sh("sleep 0.1; exit 3").idle_timeout(20), "output")
    assert (result.idle_timed_out, result.code) == (False, 3)


def test_a_limit_that_makes_no_sense_is_refused():
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="idle_timeout"):
            Command("x").idle_timeout(seconds)
    with pytest.raises(Unsupported):
        sleep().idle_timeout(1).spawn_detached()
