"""Cancellation tokens: api.md §9.5, on real processes, sync and async, in a private tree and in a group."""

import gc
import threading
import weakref

import pytest
from programs import alive, py, sh, sleep, wait_until

from processkit import CancellationToken, Cancelled, Command, NonZeroExit, ProcessGroup, Runner, Unsupported


def cancel_soon(token, seconds=0.2):
    timer = threading.Timer(seconds, token.cancel)
    timer.start()
    return timer


def test_a_token_is_cancelled_once_and_for_all_and_its_children_with_it():
    token = CancellationToken()
    child, other = token.child_token(), token.child_token()
    other.cancel()
    other.cancel()
    assert (token.is_cancelled(), child.is_cancelled(), other.is_cancelled()) == (False, False, True)
    grandchild = child.child_token()
    token.cancel()
    assert (child.is_cancelled(), grandchild.is_cancelled(), child.child_token().is_cancelled()) == (True, True, True)
    assert "cancelled" in repr(token)
    assert "active" in repr(CancellationToken())


def test_a_token_keeps_no_child_of_it_alive():
    token = CancellationToken()
    gone = weakref.ref(token.child_token())
    gc.collect()
    assert gone() is None
    assert token._callbacks == {}


def test_a_callback_that_fails_keeps_no_other_run_from_being_ended():
    token = CancellationToken()

    def fail():
        raise OSError("mine")

    token._subscribe(fail)
    process = sleep().cancel_on(token).start()
    with pytest.raises(OSError, match="mine"):
        token.cancel()
    with pytest.raises(Cancelled):
        process.outcome()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_callback_that_is_interrupted_keeps_no_other_run_from_being_ended_either(interrupt):
    token, told = CancellationToken(), []

    def fail():
        told.append("first")
        raise interrupt

    token._subscribe(fail)
    token._subscribe(lambda: told.append("second"))
    process = sleep().cancel_on(token.child_token()).start()
    with pytest.raises(interrupt):
        token.cancel()
    token.cancel()
    assert told == ["first", "second"]
    with pytest.raises(Cancelled):
        process.outcome()


@pytest.mark.parametrize("verb", ["output", "output_bytes", "run", "exit_code", "probe"])
def test_a_cancelled_run_is_torn_down_and_says_so_whatever_the_verb(call, verb):
    token = CancellationToken()
    timer = cancel_soon(token)
    with pytest.raises(Cancelled) as caught:
        call(sh("sleep 1000 & sleep 1000").cancel_on(token).timeout(60), verb)
    assert caught.value.program == sh("").program
    timer.join()
    assert token._callbacks == {}, "nothing of the run is left with the token"


@pytest.mark.parametrize("verb", ["output", "run", "start"])
def test_a_token_that_is_cancelled_already_keeps_everything_from_starting(call, verb, tmp_path):
    token = CancellationToken()
    token.cancel()
    path = tmp_path / "ran"
    with pytest.raises(Cancelled):
        call(sh(f": > {path}").cancel_on(token), verb)
    assert not path.exists()


def test_a_started_process_is_killed_at_once_though_nobody_waits_for_it():
    token = CancellationToken()
    process = sleep().cancel_on(token).start()
    pid = process.pid
    token.cancel()
    wait_until(lambda: not alive(pid))
    with pytest.raises(Cancelled):
        process.outcome()


def test_what_ended_before_the_token_was_cancelled_was_not_cancelled():
    token = CancellationToken()
    process = sh("exit 3").cancel_on(token).start()
    wait_until(process.poll)
    token.cancel()
    assert process.outcome().code == 3


def test_cancelled_beats_the_timeout_that_comes_while_it_is_torn_down():
    token = CancellationToken()
    timer = cancel_soon(token, 0.1)
    with pytest.raises(Cancelled):
        sleep().cancel_on(token).timeout(0.3).run()
    timer.join()


def test_a_member_s_token_ends_that_member_only():
    token = CancellationToken()
    with ProcessGroup() as group:
        other = group.start(sleep())
        timer = cancel_soon(token)
        with pytest.raises(Cancelled):
            group.output(sh("sleep 1000 & sleep 1000").cancel_on(token))
        timer.join()
        assert other.poll() is None
        assert len([pid for pid in group.members() if pid == other.pid]) == 1


def test_one_token_ends_runs_in_several_threads():
    token, caught = CancellationToken(), []

    def run():
        try:
            sleep().cancel_on(token).run()
        except Cancelled as error:
            caught.append(error)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    timer = cancel_soon(token, 0.5)
    for thread in [*threads, timer]:
        thread.join()
    assert len(caught) == 5


def test_the_last_token_counts_and_nothing_else_is_one():
    first, second = CancellationToken(), CancellationToken()
    first.cancel()
    assert sh("echo x").cancel_on(first).cancel_on(second).run() == "x"
    with pytest.raises(TypeError, match="CancellationToken"):
        Command("x").cancel_on(object())
    with pytest.raises(Unsupported) as refused:
        sh("exit").cancel_on(second).spawn_detached()
    assert refused.value.operation == "spawn_detached"


# Retry.


def test_a_run_that_fails_for_a_reason_that_passes_is_run_again(call, tmp_path):
    path = tmp_path / "count"
    code = (
        "import sys\nwith open(sys.argv[1], 'a+') as f: f.write('x'); f.seek(0); n = len(f.read())\nsys.exit(0 if n == 3 else 5)"
    )
    seen = []

    def classify(error):
        seen.append(type(error).__name__)
        return True

    command = py(code, str(path)).retry(classify, max_retries=5, initial_backoff=0.001)
    assert call(command, "run") == ""
    assert seen == ["NonZeroExit", "NonZeroExit"]


def test_no_more_attempts_are_made_than_were_asked_for(call, tmp_path):
    path = tmp_path / "count"
    code = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(5)"
    with pytest.raises(Exception, match="code 5"):
        call(py(code, str(path)).retry(lambda error: True, max_retries=2, initial_backoff=0, jitter=False), "run")
    assert path.read_text() == "xxx"
    with pytest.raises(Exception, match="code 5"):
        call(py(code, str(path)).retry(lambda error: True, max_retries=2, initial_backoff=0).retry_never(), "run")
    assert path.read_text() == "xxxx"


def test_a_timeout_is_retried_only_where_that_was_asked_for(call, tmp_path):
    path = tmp_path / "count"
    command = py("import sys, time\nwith open(sys.argv[1], 'a') as file: file.write('x')\ntime.sleep(60)", str(path)).timeout(1.0)
    for preset, runs in (("transient", 1), ("TRANSIENT_OR_TIMEOUT", 2)):
        path.write_text("")
        with pytest.raises(TimeoutError):
            call(command.retry(preset, max_retries=1, initial_backoff=0), "run")
        assert len(path.read_text()) == runs


def test_a_run_is_cancelled_between_two_attempts(call):
    token = CancellationToken()
    timer = cancel_soon(token, 0.3)
    with pytest.raises(Cancelled):
        call(sh("exit 1").cancel_on(token).retry(lambda error: True, initial_backoff=1000, jitter=False, max_backoff=1000), "run")
    timer.join()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retry_if": "sometimes"}, ValueError),
        ({"retry_if": 3}, TypeError),
        ({"retry_if": "transient", "multiplier": 0}, ValueError),
        ({"retry_if": "transient", "multiplier": float("nan")}, ValueError),
        ({"retry_if": "transient", "max_retries": -1}, OverflowError),
        ({"retry_if": "transient", "initial_backoff": -1}, ValueError),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused_by_the_builder(options, error):
    with pytest.raises(error):
        Command("x").retry(**options)


def test_delays_grow_to_their_limit_and_are_drawn_below_it():
    retry = Command("x").retry("transient", initial_backoff=1, multiplier=3, max_backoff=20, jitter=False)._settings.retry
    assert [retry.pause(attempt) for attempt in range(5)] == [1, 3, 9, 20, 20]
    assert retry.pause(10**6) == 20
    retry = Command("x").retry("transient", initial_backoff=1, multiplier=1)._settings.retry
    assert all(0 <= retry.pause(attempt) <= 1 for attempt in range(100))


@pytest.mark.parametrize("holder", [ProcessGroup, Runner], ids=lambda holder: holder.__name__)
def test_runners_and_groups_retry_too_and_capturing_verbs_do_not(call, tmp_path, holder):
    tries = tmp_path / "tries"
    command = py(f"open({str(tries)!r}, 'a').write('x'); raise SystemExit(5)")
    command = command.retry(lambda error: True, max_retries=2, initial_backoff=0)
    runner = holder()
    try:
        with pytest.raises(NonZeroExit):
            call(runner, "run", command)
        assert tries.read_text() == "xxx"
        assert call(runner, "output", command).code == 5
        assert tries.read_text() == "xxxx"
    finally:
        if holder is ProcessGroup:
            runner.shutdown()
