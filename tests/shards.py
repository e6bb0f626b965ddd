"""The suite in two processes at once, for it mostly waits: `--shards N`, 1 for none. pytest is all it needs.

The process that was called collects the tests and hands none out: it starts the shards and shows what they report, so progress,
summary, exit status and `--last-failed` are those of one run. A shard claims one test function after another, with all its
parameters, by making a file; a claim that is taken is somebody else's. A test that no shard has reported is a failure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import groupby

import pytest

#: Where a shard finds the claims and writes its reports; in the environment of shards only.
CLAIMS = "PROCESSKIT_SHARD"
#: This process's; taken out, for what a test starts is no shard.
_claims = os.environ.pop(CLAIMS, None)
#: Fewer tests than this are not worth a second collection.
WORTH = 150
#: They take longest, so they come first: the end of the run is where one shard has nothing left to do.
FIRST = (
    "owner_death",
    "hard_cases",
    "left_by_a_loop",
    "leaks",
    "cli_places",
    "tees",
    "guardian",
    "running",
    "second_thoughts",
    "streams",
)


def add_options(parser):
    """`--shards`."""
    count = "1 where only a part of the suite, or a debugger, is asked for; else 2"
    parser.addoption("--shards", type=int, default=None, metavar="N", help=f"processes that run tests at once (default: {count})")


def run_loop(session):
    """The loop of a shard, or of the process that starts shards; None: pytest's own."""
    if _claims is not None:
        return _run_claimed(session, _claims)
    count = _how_many(session)
    if count < 2 or session.config.option.collectonly or session.testsfailed:
        return None
    with tempfile.TemporaryDirectory(prefix="processkit-shards-") as directory:
        _Shards(session, directory, count).run()
    return True


def _how_many(session):
    option = session.config.option
    if option.shards is not None:
        return option.shards
    alone = option.usepdb or option.capture == "no" or option.maxfail or len(session.items) < WORTH or (os.cpu_count() or 1) < 2
    return 1 if alone else 2


def _functions(items):
    """The tests, by function, in the order in which they are claimed."""
    groups = [[*group] for _, group in groupby(items, lambda item: item.nodeid.partition("[")[0])]

    def rank(group):
        name = os.path.basename(group[0].nodeid.partition("::")[0])[len("test_") : -len(".py")]
        return FIRST.index(name) if name in FIRST else len(FIRST)

    return sorted(groups, key=rank)


def _claimed(items, directory):
    for number, group in enumerate(_functions(items)):
        try:
            os.close(os.open(os.path.join(directory, f"{number}"), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        yield from group


def _run_claimed(session, directory):
    """As pytest's own loop, with the tests that this shard gets."""
    # By place, for a name may hold an address, which is another one in every process.
    places = {item.nodeid: place for place, item in enumerate(session.items)}
    reporting = _Reporting(session.config, os.path.join(directory, f"reports-{os.getpid()}"), places)
    session.config.pluginmanager.register(reporting)
    claimed = _claimed(session.items, directory)
    item = next(claimed, None)
    while item is not None:
        following = next(claimed, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail or session.shouldstop:
            break
        item = following
    return True


class _Reporting:
    """Writes every report of a shard, a line each."""

    def __init__(self, config, path, places):
        self._config = config
        self._places = places
        self._file = open(path, "w", encoding="ascii", newline="\n")  # for the life of the shard

    def pytest_runtest_logreport(self, report):
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._file.write(json.dumps([self._places[report.nodeid], data]) + "\n")
        self._file.flush()

    def pytest_sessionfinish(self):
        self._file.close()


class _Shards:
    """The shards of one run, and what they have reported."""

    def __init__(self, session, directory, count):
        self._session = session
        self._directory = directory
        self._count = count
        self._offsets = {}
        self._finished = set()

    def run(self):
        """Return when every test has been reported; one that was not is a failure."""
        before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", 128 + signal.SIGTERM))
        shards = [self._start(number) for number in range(self._count)]
        try:
            while any(process.poll() is None for process, _ in shards):
                self._show_new()
                time.sleep(0.1)
        finally:
            for process, log in shards:
                process.kill()
                process.wait()
                log.close()
            signal.signal(signal.SIGTERM, before)
        self._show_new()
        missing = [item for place, item in enumerate(self._session.items) if place not in self._finished]
        if missing and not (self._session.config.option.maxfail and self._session.testsfailed):
            said = self._logs()
            for item in missing:
                self._fail(item, f"no shard has run it to its end; the shards said last:\n{said}")

    def _fail(self, item, why):
        """Count a test as failed, as if it had said so itself."""
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
        self._session.config.hook.pytest_runtest_logreport(report=report)

    def _start(self, number):
        log = open(os.path.join(self._directory, f"log-{number}"), "wb")
        command = [sys.executable, "-m", "pytest", *map(str, self._session.config.invocation_params.args)]
        environment = {**os.environ, CLAIMS: self._directory}
        where = os.fspath(self._session.config.invocation_params.dir)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=where), log

    def _show_new(self):
        hook, config = self._session.config.hook, self._session.config
        for name in sorted(os.listdir(self._directory)):
            if not name.startswith("reports-"):
                continue
            with open(os.path.join(self._directory, name), "rb") as file:
                file.seek(self._offsets.get(name, 0))
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offsets[name] = self._offsets.get(name, 0) + len(whole)
            for line in whole.splitlines():
                place, data = json.loads(line)
                report = hook.pytest_report_from_serializable(config=config, data=data)
                report.nodeid = self._session.items[place].nodeid
                if report.when == "setup":
                    hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
                hook.pytest_runtest_logreport(report=report)
                if report.when == "teardown":
                    self._finished.add(place)

    def _logs(self):
        said = []
        for number in range(self._count):
            with open(os.path.join(self._directory, f"log-{number}"), encoding="utf-8", errors="replace") as file:
                said.append(f"shard {number}:\n" + "".join(file.readlines()[-40:]))
        return "\n".join(said)
