"""Readiness of a handle: api.md §30.1, against real servers, sync and async."""

import asyncio
import pickle
import socket

import pytest
from programs import py, sh, sleep

from processkit import NotReady, Outcome, ProcessError, ProcessGroup, Unsupported, WaitTimeout

SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == '/busy' else 204)
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
server.serve_forever()
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(params=["sync", "async"])
def wait(request):
    """`wait(process, name, ...)`: `wait_NAME`, or `await_NAME` in a loop of its own."""

    async def awaited(process, name, words, options):
        await getattr(process, f"await_{name}")(*words, **options)

    if request.param == "sync":
        return lambda process, name, *words, **options: getattr(process, f"wait_{name}")(*words, **options)
    return lambda process, name, *words, **options: asyncio.run(awaited(process, name, words, options))


def test_a_server_is_waited_for_and_left_alone(wait):
    port = free_port()
    with py(SERVER, str(port)).start() as process:
        wait(process, "for_port", "127.0.0.1", port, timeout=30)
        wait(process, "for_http", "127.0.0.1", port, "/healthz", timeout=30)
        wait(process, "for_http", "127.0.0.1", port, "/busy", timeout=30, expected_status={503})
        with pytest.raises(WaitTimeout) as late:
            wait(process, "for_http", "127.0.0.1", port, "/busy", timeout=0.2)
        assert not isinstance(late.value, NotReady)
        assert late.value.__cause__.status == 503
        assert process.poll() is None


def test_a_process_that_ends_first_is_told_at_once_and_how(wait):
    for name, words in (("for_port", ("127.0.0.1", free_port())), ("for_path", ("no/such/file",)), ("until", (lambda: False,))):
        process = sh("sleep 0.2; exit 3").start()
        with pytest.raises(NotReady, match="code 3") as caught:
            wait(process, name, *words, timeout=1000)
        assert caught.value.outcome == Outcome(3, None, False)
        assert isinstance(caught.value, (WaitTimeout, TimeoutError))
        assert process.outcome().code == 3, "the handle is not spent"


def test_what_a_process_has_made_ready_before_its_end_is_ready(wait, tmp_path):
    for number in range(10):
        made = tmp_path / str(number)
        with sh(f": > {made}; exit 0").start() as process:
            wait(process, "for_path", made, timeout=1000, interval=5)
        with sh("exit 0").start() as process:
            wait(process, "until", lambda process=process: process.poll() is not None, timeout=1000, interval=5)


def test_a_port_that_answers_itself_is_not_open(wait, monkeypatch):
    port = free_port()

    async def to_itself(host, port):
        return await opened(host, port, local_addr=(host, port))

    class Bound(socket.socket):
        def connect_ex(self, address):
            self.bind(address)
            return super().connect_ex(address)

    opened = asyncio.open_connection
    monkeypatch.setattr(asyncio, "open_connection", to_itself)
    monkeypatch.setattr(socket, "socket", Bound)
    with sleep(1000).start() as process, pytest.raises(WaitTimeout):
        wait(process, "for_port", "127.0.0.1", port, timeout=0.3)


def test_a_path_that_the_process_makes_is_waited_for(wait, tmp_path):
    path = tmp_path / "made"
    with sh(f"sleep 0.2; : > {path}; sleep 1000").start() as process:
        wait(process, "for_path", path, timeout=30)
        with pytest.raises(WaitTimeout) as caught:
            wait(process, "for_path", tmp_path / "never", timeout=0.1)
        assert caught.value.path == tmp_path / "never"


LISTENER = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
time.sleep(0.2)
listener.bind(sys.argv[1])
listener.listen()
while True:
    listener.accept()[0].close()
"""


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_is_waited_for(wait, tmp_path):
    path = tmp_path / "s"
    with py(LISTENER, str(path)).start() as process:
        wait(process, "for_unix_socket", path, timeout=30)
        with pytest.raises(WaitTimeout) as caught:
            wait(process, "for_unix_socket", tmp_path / "never", timeout=0.1)
        assert caught.value.path == tmp_path / "never"
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        assert process.poll() is None
    process = sh("exit 3").start()
    with pytest.raises(NotReady, match="code 3"):
        wait(process, "for_unix_socket", tmp_path / "never", timeout=1000)
    process.outcome()


@pytest.mark.skipif(hasattr(socket, "AF_UNIX"), reason="there are Unix sockets")
def test_a_unix_socket_where_there_are_none_is_unsupported(wait, tmp_path):
    with sleep().start() as process, pytest.raises(Unsupported, match="Unix sockets"):
        wait(process, "for_unix_socket", tmp_path / "s", timeout=30)


def test_a_predicate_s_own_error_passes_unchanged(wait):
    def fail():
        raise ProcessError("mine")

    with sleep().start() as process, pytest.raises(ProcessError, match="mine"):
        wait(process, "until", fail, timeout=30)


def test_a_member_of_a_group_can_be_waited_for(wait):
    with ProcessGroup() as group:
        answers = iter([False, False, True])
        wait(group.start(sleep()), "until", lambda: next(answers), timeout=30, interval=0.01)


def test_arguments_are_checked_before_anything_is_tried(wait):
    with sleep().start() as process:
        for options in ({"timeout": -1}, {"timeout": float("nan")}, {"timeout": 1, "interval": 0}):
            with pytest.raises(ValueError):
                wait(process, "until", lambda: True, **options)
        with pytest.raises(ValueError, match="control characters"):
            wait(process, "for_http", "a b", 80, timeout=1)
    with pytest.raises(ProcessError, match="consumed"):
        wait(process, "until", lambda: True, timeout=1)


def test_not_ready_survives_pickling():
    process = sh("exit 3").start()
    with pytest.raises(NotReady) as caught:
        process.wait_until(lambda: False, timeout=1000)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.outcome, copy.timeout_seconds) == (
        NotReady,
        str(caught.value),
        Outcome(3, None, False),
        1000,
    )
    process.outcome()
