"""Many runs, one after the other and at once, leave the process as it was."""

import asyncio
import gc
import os
import threading

import pytest
from programs import POSIX, census, is_wines, open_handles, sh, sleep, true, wait_until

from processkit import Command, ProcessError, ProcessGroup

# Windows takes its time to make a process.
RUNS, WARM_UP = (10_000, 500) if POSIX else (400, 50)
AT_ONCE = 200 if POSIX else 50
# Spare leaves of the pool hold two descriptors each, and there are at most sixteen.
SPARE = 32 if POSIX else 0


def output(command):
    """Run it, once more where the system failed."""
    for _ in range(3):
        try:
            return command.output()
        except ProcessError as error:
            if not is_wines(error):
                raise
    return command.output()


def facts():
    """What must not grow: descriptors, threads, children, and the containers that our cgroup shows."""
    gc.collect()
    census.settle()
    if POSIX:
        with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
            children = len(file.read().split())
    else:
        children = len(census.processes(""))
    return {"descriptors": open_handles(), "threads": threading.active_count(), "children": children}


def resident():
    """Resident bytes of this process."""
    if not POSIX:
        from processkit._abi import foreign, windows

        counters = windows.PROCESS_MEMORY_COUNTERS()
        counters.cb = foreign.size_of(counters)
        windows.K32GetProcessMemoryInfo(windows.GetCurrentProcess(), foreign.reference(counters), counters.cb)
        return counters.WorkingSetSize
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_runs_in_a_row_leave_everything_as_before():
    command = true() if POSIX else Command(os.environ["COMSPEC"], ["/c", "exit", "0"])
    for _ in range(WARM_UP):
        output(command)
    before, memory = facts(), resident()
    for _ in range(RUNS):
        assert output(command).code == 0
    assert facts() == before
    assert resident() - memory < 4 << 20


def test_hundreds_of_failing_and_timed_out_runs_leak_nothing_either(mechanism, tmp_path):
    missing, slow = Command("/nowhere/at/all"), sleep(60).timeout(0.01)
    broken = Command(tmp_path / "plain")
    (tmp_path / "plain").write_text("no program")
    for _ in range(3):
        slow.output()
    before = facts()
    for _ in range(100):
        for command in (missing, broken):
            with pytest.raises(OSError):
                command.output()
    for _ in range(20):
        assert slow.output().timed_out
    assert facts() == before


def test_two_hundred_at_once_in_threads_leave_everything_as_before():
    true().output()
    gate, codes = threading.Barrier(AT_ONCE), []
    before = facts()

    def run():
        gate.wait()
        codes.append(output(sh("exit 5")).code)

    threads = [threading.Thread(target=run) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [5] * AT_ONCE
    del threads, thread  # where a lock is a handle, these have some
    after = facts()
    assert after["descriptors"] - before["descriptors"] <= SPARE
    assert (after["threads"], after["children"]) == (before["threads"], before["children"])


def test_two_hundred_at_once_on_a_loop_leave_everything_as_before():
    async def many():
        return await asyncio.gather(*(sh("echo $1", str(number)).arun() for number in range(AT_ONCE)))

    asyncio.run(many())
    before = facts()
    assert asyncio.run(many()) == [str(number) for number in range(AT_ONCE)]
    after = facts()
    assert after["descriptors"] - before["descriptors"] <= SPARE
    assert after["children"] == before["children"]


def test_groups_leave_nothing(mechanism):
    with ProcessGroup() as group:
        group.run(true())
    before = facts()
    for _ in range(50):
        with ProcessGroup() as group:
            group.start(sleep(60))
            group.kill_all()
    if POSIX:
        assert facts() == before
    else:  # those of others are counted there as well, and they may just be ending
        wait_until(lambda: all(count <= before[name] for name, count in facts().items()))
