"""Ours beside the standard library's, interleaved in one run: `python tools/bench.py [NAME...]`.

Every figure is a ratio of medians of the same run, ours / theirs, beside the ratio that we hold ourselves to. The absolute
times are this machine's and mean little elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from processkit import Command, ProcessGroup, output_all  # noqa: E402

TRUE = "/bin/true"
FLOOD = 128 << 20


def medians(rounds: int, *contenders: object) -> list[float]:
    """The median seconds of each contender; they take turns."""
    times: list[list[float]] = [[] for _ in contenders]
    for contender in contenders:
        contender()  # type: ignore[operator]
    for _ in range(rounds):
        for contender, spent in zip(contenders, times):
            started = time.perf_counter()
            contender()  # type: ignore[operator]
            spent.append(time.perf_counter() - started)
    return [statistics.median(spent) for spent in times]


def report(name: str, ours: float, theirs: float, goal: float, unit: str = "ms", scale: float = 1e3) -> bool:
    """Print one line; whether the goal is met."""
    ratio = ours / theirs
    met = ratio <= goal
    verdict = "ok" if met else "MISSED"
    print(
        f"{name:34} ours {ours * scale:9.3f} {unit}  theirs {theirs * scale:9.3f} {unit}  ratio {ratio:5.2f}  goal {goal:4.2f}  {verdict}"
    )
    return met


def capture() -> bool:
    """A contained capture of a program that does nothing."""
    times = medians(300, lambda: Command(TRUE).output(), lambda: subprocess.run([TRUE], capture_output=True, check=False))
    return report("capture", *times, 0.95)


def capture_timeout() -> bool:
    """The same with a timeout that does not strike."""
    times = medians(
        300,
        lambda: Command(TRUE).timeout(10).output(),
        lambda: subprocess.run([TRUE], capture_output=True, timeout=10, check=False),
    )
    return report("capture with timeout", *times, 0.95)


def capture_large_parent() -> bool:
    """The same from a parent of 1 GiB."""
    ballast = bytearray(os.urandom(1 << 20)) * 1024
    times = medians(150, lambda: Command(TRUE).output(), lambda: subprocess.run([TRUE], capture_output=True, check=False))
    del ballast
    return report("capture from a 1 GiB parent", *times, 0.95)


def capture_in_group() -> bool:
    """A capture of a member of a group."""
    with ProcessGroup() as group:
        times = medians(
            300, lambda: group.output(Command(TRUE)), lambda: subprocess.run([TRUE], capture_output=True, check=False)
        )
    return report("capture in a group", *times, 0.97)


_BESIDE = """
import os, subprocess, sys
sys.path.insert(0, os.path.join(sys.argv[1], "tools")); import bench
from processkit import Command
others = [subprocess.Popen(["sleep", "1000"]) for _ in range(int(sys.argv[2]))]
try:
    print(*bench.medians(100, lambda: Command(bench.TRUE).output(), lambda: subprocess.run([bench.TRUE], capture_output=True)))
finally:
    for other in others: other.kill(); other.wait()
"""


def capture_in_a_process_group() -> bool:
    """A capture where there is no cgroup, beside few and beside many other processes."""
    met = []
    for others in (69, 370):
        command = [sys.executable, "-c", _BESIDE, str(ROOT), str(others)]
        env = {**os.environ, "PROCESSKIT_MECHANISM": "process_group"}
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split()
        met.append(report(f"process_group, beside {others}", *map(float, said), 1.2))
    return all(met)


async def _ours() -> None:
    await Command(TRUE).aoutput()


async def _theirs() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(TRUE, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    await process.communicate()


async def _many(start: object) -> float:
    gate = asyncio.Semaphore(16)

    async def one() -> None:
        async with gate:
            await start()  # type: ignore[operator]

    started = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(96)])
    return (time.perf_counter() - started) / 96


def aio() -> bool:
    """Sixteen at once on one event loop, a run."""

    async def compare() -> list[float]:
        spent: list[list[float]] = [[], []]
        for _ in range(9):
            for times, start in zip(spent, (_ours, _theirs)):
                times.append(await _many(start))
        return [statistics.median(times[1:]) for times in spent]

    return report("16 at once under asyncio", *asyncio.run(compare()), 0.9)


def aio_fresh_loop() -> bool:
    """Sixteen at once, in a new event loop each time."""

    async def gathered(start: object) -> None:
        await asyncio.gather(*[start() for _ in range(16)])  # type: ignore[operator]

    times = medians(40, lambda: asyncio.run(gathered(_ours)), lambda: asyncio.run(gathered(_theirs)))
    return report("16 at once, a fresh loop", *times, 0.93)


def batch() -> bool:
    """300 runs, 16 at a time, beside a pool of threads over subprocess.run."""
    commands = [Command(TRUE) for _ in range(300)]

    def pool() -> None:
        with ThreadPoolExecutor(16) as executor:
            list(executor.map(lambda _: subprocess.run([TRUE], capture_output=True, check=False), range(300)))

    return report("batch of 300, 16 at once", *medians(5, lambda: output_all(commands, concurrency=16), pool), 1.0)


def flood() -> bool:
    """128 MiB through a pipe into memory."""
    argv = ["head", "-c", str(FLOOD), "/dev/zero"]
    times = medians(
        7, lambda: Command(argv[0], argv[1:]).output_bytes(), lambda: subprocess.run(argv, capture_output=True, check=False)
    )
    return report("128 MiB captured", *times, 0.7)


def flood_text() -> bool:
    """The same as text."""
    argv = ["head", "-c", str(FLOOD), "/dev/zero"]
    times = medians(
        5, lambda: Command(argv[0], argv[1:]).output(), lambda: subprocess.run(argv, capture_output=True, text=True, check=False)
    )
    return report("128 MiB captured as text", *times, 0.55)


def _peak(verb: str) -> int:
    """Bytes by which a capture of FLOOD bytes raises the peak of a fresh interpreter."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from processkit import Command\n"
        "peak = lambda: int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) * 1024\n"
        "c = Command('head', ['-c', sys.argv[2], '/dev/zero']); Command('true').output(); before = peak()\n"
        f"r = c.{verb}(); print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(ROOT), str(FLOOD)], capture_output=True, text=True, check=True)
    return int(run.stdout)


def memory() -> bool:
    """Peak memory of a capture beside what it captured."""
    met = [
        report(f"peak memory, {verb}", _peak(verb), FLOOD + (8 << 20), 1.05, "MiB", 2**-20) for verb in ("output_bytes", "output")
    ]
    return all(met)


LINES = 400_000


def _file_of_lines(directory: str) -> str:
    path = os.path.join(directory, "lines")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"line {number} of some text\n" for number in range(LINES))
    return path


def lines() -> bool:
    """400 000 lines, one by one, beside iterating over a Popen's stdout; and as events of both streams, beside the lines."""
    with tempfile.TemporaryDirectory() as directory:
        argv = ["cat", _file_of_lines(directory)]

        def plain() -> None:
            with Command(argv[0], argv[1:]).start() as process:
                for _ in process.stdout_lines():
                    pass
                process.finish()

        def events() -> None:
            with Command(argv[0], argv[1:]).start() as process:
                for _ in process.output_events():
                    pass

        def theirs() -> None:
            with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                for _ in process.stdout:
                    pass

        ours, merged, popen = medians(9, plain, events, theirs)
    met = report(f"{LINES} lines", ours, popen, 1.0)
    return (
        report("the same as events, to Popen's", merged, popen, 2.0)
        and report("the same as events, to ours", merged, ours, 2.0)
        and met
    )


def lines_async() -> bool:
    """The same in an event loop, beside asyncio's StreamReader."""
    with tempfile.TemporaryDirectory() as directory:
        argv = ["cat", _file_of_lines(directory)]

        async def plain() -> None:
            async with await Command(argv[0], argv[1:]).astart() as process:
                async for _ in process.stdout_lines():
                    pass
                await process.afinish()

        async def events() -> None:
            async with await Command(argv[0], argv[1:]).astart() as process:
                async for _ in process.output_events():
                    pass

        async def theirs() -> None:
            process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
            assert process.stdout is not None
            async for _ in process.stdout:
                pass
            await process.wait()

        ours, merged, reader = medians(7, *(lambda main=main: asyncio.run(main()) for main in (plain, events, theirs)))
    met = report(f"{LINES} lines, async", ours, reader, 0.35)
    return report("the same as events, to ours", merged, ours, 2.0) and met


def slow_consumer() -> bool:
    """Memory while one slow consumer reads 100 000 lines of an endless producer, beside the first 1000."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from processkit import Command\n"
        "peak = lambda: int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) * 1024\n"
        "with Command('yes', ['y' * 100]).start() as process:\n"
        "    for number, line in enumerate(process.stdout_lines()):\n"
        "        if number == 1000: before = peak()\n"
        "        if number == 100_000: print(peak() - before); break"
    )
    run = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=True)
    grown = int(run.stdout) / (1 << 20)
    print(f"{'slow consumer':34} {grown:.1f} MiB grown, goal 2  {'ok' if grown <= 2 else 'MISSED'}")
    return grown <= 2


def pipeline() -> bool:
    """Three stages beside three Popens chained by hand, which give the same: the text of stdout, and of the stderr of each."""

    def chained() -> None:
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        first = subprocess.Popen([TRUE], stdin=null, stdout=pipe, stderr=pipe, text=True)
        second = subprocess.Popen([TRUE], stdin=first.stdout, stdout=pipe, stderr=pipe, text=True)
        third = subprocess.Popen([TRUE], stdin=second.stdout, stdout=pipe, stderr=pipe, text=True)
        for process in (first, second):
            assert process.stdout is not None
            process.stdout.close()
        third.communicate()
        for process in (first, second):
            assert process.stderr is not None
            with process.stderr:
                process.stderr.read()
            process.wait()

    chain = Command(TRUE) | Command(TRUE) | Command(TRUE)
    return report("pipeline of three", *medians(150, chain.output, chained), 1.0)


def imports() -> bool:
    """`import processkit` over a bare interpreter."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def interpreter(code: str) -> object:
        return lambda: subprocess.run([sys.executable, "-c", code], env=env, check=True)

    bare, ours = medians(25, interpreter("pass"), interpreter("import processkit"))
    over = (ours - bare) * 1e3
    met = over <= 12
    print(
        f"{'import processkit':34} {over:.1f} ms over a bare interpreter of {bare * 1e3:.1f} ms, goal 12  {'ok' if met else 'MISSED'}"
    )
    return met


def _fresh(root: object = ROOT, **more: str) -> dict[str, str]:
    """The environment of an interpreter that imports the package from `root`."""
    rest = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**rest, "PYTHONPATH": str(root), **more}


def _interpreter(words: list[str], env: dict[str, str]) -> object:
    return lambda: subprocess.run([sys.executable, *words], env=env, check=True, cwd="/")


def import_command() -> bool:
    """`from processkit import Command` beside `import subprocess`, whole processes."""
    ours = _interpreter(["-c", "from processkit import Command"], _fresh())
    return report("from processkit import Command", *medians(25, ours, _interpreter(["-c", "import subprocess"], _fresh())), 0.75)


RUN = ["-m", "processkit", "run", "--", "true"]


def command_line() -> bool:
    """`python -m processkit run -- true` beside `python -c pass`."""
    times = medians(25, _interpreter(RUN, _fresh()), _interpreter(["-c", "pass"], _fresh()))
    return report("python -m processkit run -- true", *times, 2.2)


def command_line_without_caches() -> bool:
    """The same where nothing of ours was compiled beforehand, and nothing may be written."""
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(ROOT / "processkit", os.path.join(directory, "processkit"), ignore=shutil.ignore_patterns("__pycache__"))
        env = _fresh(directory, PYTHONDONTWRITEBYTECODE="1")
        times = medians(15, _interpreter(RUN, env), _interpreter(["-c", "pass"], env))
    return report("the same without .pyc", *times, 5.0)


# A process whose first thread has ended: cgroup.kill does not reach it.
_UNDYING = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(1000,)).start(); print(flush=True); "
_UNDYING += "ctypes.CDLL(None).pthread_exit(None)"


def dead_homes() -> bool:
    """A first start beside three homes of dead owners that cannot be emptied."""
    from processkit._os.linux import home

    base = home.why_unusable()[0]
    if base is None:
        print(f"{'first start beside dead homes':34} skipped: no cgroup_v2 here")
        return True
    first = _interpreter(["-c", "from processkit import Command; Command('/bin/true').output()"], _fresh())
    alone = medians(15, first)[0]
    dead = subprocess.Popen([TRUE])
    start = home.start_time(dead.pid)
    dead.wait()
    holders = []
    try:
        for number in range(3):
            path = os.path.join(base, f"{home.PREFIX}{home.pid_namespace()}-{dead.pid}-{start}-bench{number}")
            os.mkdir(path)
            process = subprocess.Popen([sys.executable, "-c", _UNDYING], stdout=subprocess.PIPE)
            holders.append((process, path))
            assert process.stdout is not None
            process.stdout.readline()
            pathlib.Path(path, "cgroup.procs").write_text(str(process.pid))
        beside = medians(15, first)[0]
    finally:
        for process, path in holders:
            process.kill()
            process.wait()
            while os.path.isdir(path):
                try:
                    os.rmdir(path)
                except OSError:
                    time.sleep(0.01)
    return report("first start beside dead homes", beside, alone, 1.2)


BENCHES = {
    bench.__name__: bench
    for bench in (
        *(capture, capture_timeout, capture_large_parent, capture_in_group, capture_in_a_process_group),
        *(aio, aio_fresh_loop, batch, flood, flood_text, memory, lines, lines_async, slow_consumer, pipeline),
        *(imports, import_command, command_line, command_line_without_caches, dead_homes),
    )
}


def main(names: list[str]) -> int:
    """Run the named benches, or all; 1 when a goal is missed."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {resource.getpagesize()}-byte pages")
    met = [BENCHES[name]() for name in names or BENCHES]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
