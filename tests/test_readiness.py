"""Readiness helpers: api.md §17, against real sockets, files and processes."""

import asyncio
import contextlib
import os
import socket

import pytest

from processkit import (
    ProcessError,
    ProcessGroup,
    Unsupported,
    WaitTimeout,
    sample_stats,
    wait_for_http,
    wait_for_line,
    wait_for_named_pipe,
    wait_for_path,
    wait_for_port,
    wait_for_unix_socket,
    wait_until,
)
from processkit._host.readiness import host_header


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.asynccontextmanager
async def server(answer, port=0):
    """A TCP server that reads a request and writes `answer`; its port."""
    seen = []

    async def serve(reader, writer):
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield listener.sockets[0].getsockname()[1], seen
    finally:
        listener.close()
        await asyncio.sleep(0.01)


def run(coroutine):
    return asyncio.run(coroutine)


def test_a_predicate_is_asked_until_it_is_true():
    answers = iter([False, 0, "", None, "yes"])
    run(wait_until(lambda: next(answers), timeout=10, interval=0.001))
    assert list(answers) == []


def test_an_awaitable_predicate_is_bounded_by_the_deadline_and_a_future_of_the_caller_s_is_left_alone():
    async def main():
        theirs = asyncio.get_running_loop().create_future()
        with pytest.raises(WaitTimeout, match="condition not met"):
            await wait_until(lambda: theirs, timeout=0.05)
        assert not theirs.cancelled()
        cancelled = asyncio.Event()

        async def slow():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        with pytest.raises(WaitTimeout):
            await wait_until(slow, timeout=0.05)
        assert cancelled.is_set()
        theirs.set_result(True)
        await wait_until(lambda: theirs, timeout=0)

    run(main())


def test_the_predicate_s_own_errors_pass_unchanged_a_timeout_too():
    async def late():
        raise TimeoutError("mine")

    def early():
        raise KeyError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        run(wait_until(late, timeout=10))
    assert not isinstance(caught.value, WaitTimeout)
    with pytest.raises(KeyError):
        run(wait_until(early, timeout=10))


def test_a_path_is_waited_for(tmp_path):
    path = tmp_path / "made"

    async def main():
        asyncio.get_running_loop().call_later(0.1, path.touch)
        await wait_for_path(path, timeout=10)

    run(main())
    with pytest.raises(WaitTimeout) as caught:
        run(wait_for_path(tmp_path / "never", timeout=0.05))
    assert (caught.value.path, caught.value.timeout_seconds, caught.value.host) == (tmp_path / "never", 0.05, None)


def test_a_port_is_waited_for_and_the_connection_is_closed():
    async def main():
        port = free_port()
        waiting = asyncio.ensure_future(wait_for_port("127.0.0.1", port, timeout=10, interval=0.01))
        await asyncio.sleep(0.1)
        async with server(b"", port):
            await waiting

    run(main())


def test_a_port_where_nobody_listens_is_a_timeout_that_says_why():
    port = free_port()
    for timeout in (0, 0.2):
        with pytest.raises(WaitTimeout) as caught:
            run(wait_for_port("127.0.0.1", port, timeout=timeout))
        assert (caught.value.host, caught.value.port, caught.value.timeout_seconds) == ("127.0.0.1", port, timeout)
        assert isinstance(caught.value.__cause__, OSError)


def test_whoever_waits_can_be_cancelled_and_leaves_no_task():
    async def main():
        task = asyncio.ensure_future(wait_for_port("127.0.0.1", free_port(), timeout=1000, interval=0.01))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_unix_socket_is_waited_for(tmp_path):
    if not hasattr(asyncio, "open_unix_connection"):
        with pytest.raises(Unsupported) as refused:
            run(wait_for_unix_socket("x", timeout=1))
        assert refused.value.operation == "wait_for_unix_socket"
        return
    path = str(tmp_path / "socket")

    async def main():
        waiting = asyncio.ensure_future(wait_for_unix_socket(path, timeout=10, interval=0.01))
        await asyncio.sleep(0.1)
        listener = await asyncio.start_unix_server(lambda reader, writer: writer.close(), path)
        await waiting
        listener.close()
        await asyncio.sleep(0.01)

    run(main())
    with pytest.raises(WaitTimeout) as caught:
        run(wait_for_unix_socket(str(tmp_path / "none"), timeout=0.05))
    assert caught.value.path == str(tmp_path / "none")


def test_a_named_pipe_is_waited_for_where_there_are_such():
    if os.name != "nt":
        with pytest.raises(Unsupported) as refused:
            run(wait_for_named_pipe("x", timeout=float("nan")))
        assert refused.value.operation == "wait_for_named_pipe"
        return
    import _winapi

    name = rf"\\.\pipe\processkit-test-{os.getpid()}"
    with pytest.raises(WaitTimeout) as caught:
        run(wait_for_named_pipe(name, timeout=0.05))
    assert caught.value.path == name
    handle = _winapi.CreateNamedPipe(name, 3, 0, 1, 1024, 1024, 0, 0)
    try:
        run(wait_for_named_pipe(name, timeout=5))
    finally:
        _winapi.CloseHandle(handle)


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def test_http_is_asked_by_the_book():
    async def main():
        async with server(OK) as (port, seen):
            await wait_for_http("127.0.0.1", port, "/healthz?x=1", timeout=5)
        assert seen == [f"GET /healthz?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()]

    run(main())


@pytest.mark.parametrize(
    ("answer", "expected", "fine"),
    [
        (OK, None, True),
        (b"HTTP/1.1 503 No\r\n\r\n", None, False),
        (b"HTTP/1.1 503 No\r\n\r\n", {503}, True),
        (b"HTTP/1.1 503 No\r\n\r\n", range(500, 600), True),
        (b"HTTP/1.1 503 No\r\n\r\n", lambda status: status == 503, True),
        (b"HTTP/1.1 200\r\n\r\n", None, True),
        (b"HTTP/1.1 0200 OK\r\n\r\n", lambda status: True, False),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", lambda status: True, False),
        (b"SSH-2.0-OpenSSH 200\r\n\r\n", lambda status: True, False),
        (b"", lambda status: True, False),
    ],
)
def test_only_an_accepted_status_will_do(answer, expected, fine):
    async def main():
        async with server(answer) as (port, _):
            await wait_for_http("127.0.0.1", port, timeout=5 if fine else 0.1, expected_status=expected)

    if fine:
        run(main())
        return
    with pytest.raises(WaitTimeout) as caught:
        run(main())
    cause = caught.value.__cause__
    if answer.startswith(b"HTTP/1.1 503"):
        assert cause.status == 503
    elif answer:
        assert "exactly three ASCII digits" in str(cause)
        assert cause.status is None
    else:
        assert isinstance(cause, ConnectionError)


@pytest.mark.parametrize(
    ("host", "path", "words"),
    [
        ("a b", "/", "whitespace or control characters"),
        ("a", "/x y", "whitespace or control characters"),
        ("a", "/x\r\nEvil: 1", "whitespace or control characters"),
        ("a\x85", "/", "whitespace or control characters"),
        ("a", "/\xa0", "whitespace or control characters"),
        ("a\u2003b", "/", "whitespace or control characters"),
        ("a", "/☃", "latin-1"),
    ],
)
def test_a_request_that_could_not_be_written_is_refused_before_anything_is_connected(host, path, words):
    with pytest.raises(ValueError, match=words):
        run(wait_for_http(host, 1, path, timeout=5))


@pytest.mark.parametrize(
    ("address", "header"),
    [("::1", "[::1]:80"), ("fe80::1%eth0", "[fe80::1%25eth0]:80"), ("10.0.0.1", "10.0.0.1:80"), ("name", "name:80")],
)
def test_an_ipv6_literal_is_bracketed_once(address, header):
    assert host_header(address, 80) == header


async def lines(*items, forever=False):
    for item in items:
        yield item
    if forever:
        await asyncio.get_running_loop().create_future()


def test_the_first_line_that_matches_is_returned_and_the_iteration_can_go_on():
    async def main():
        stream = lines("one", "two", "three", 4)
        assert await wait_for_line(stream, "w", timeout=5) == "two"
        assert await wait_for_line(stream, lambda item: item == 4, timeout=0) == 4
        with pytest.raises(ProcessError, match="stream ended") as caught:
            await wait_for_line(stream, "x", timeout=5)
        assert type(caught.value) is ProcessError

    run(main())


def test_a_line_that_does_not_come_is_a_timeout():
    async def main():
        stream = lines("one", forever=True)
        with pytest.raises(WaitTimeout, match="no matching line"):
            await wait_for_line(stream, "x", timeout=0.05)
        await stream.aclose()

    run(main())


def test_statistics_are_sampled_for_ever_and_an_error_ends_that():
    async def main():
        group = ProcessGroup()
        samples = sample_stats(group, 0.001)
        for _ in range(3):
            assert (await samples.__anext__()).active_process_count == 0
        group.shutdown()
        with pytest.raises(ProcessError, match="already closed"):
            await samples.__anext__()
        with pytest.raises(StopAsyncIteration):
            await samples.__anext__()

    run(main())


@pytest.mark.parametrize(("value", "words"), [(float("nan"), "NaN"), (-1, "negative")])
def test_a_time_that_is_none_is_refused(value, words):
    waits = [
        lambda: wait_until(lambda: True, timeout=value),
        lambda: wait_for_path("x", timeout=value),
        lambda: wait_for_port("x", 1, timeout=value),
        lambda: wait_for_http("x", 1, timeout=value),
        lambda: wait_for_line(lines(), "x", timeout=value),
        lambda: sample_stats(None, value).__anext__(),
    ]
    for wait in waits:
        with pytest.raises(ValueError, match=words):
            run(_awaited(wait))


async def _awaited(wait):
    return await wait()


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_an_interval_is_positive(interval):
    with pytest.raises(ValueError, match="positive"):
        run(wait_until(lambda: True, timeout=1, interval=interval))
