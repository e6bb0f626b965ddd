"""Many runs, one after the other and at once, leave the process as it was."""

import asyncio
import gc
import os
import threading

import pytest

from processkit import Command, ProcessGroup

RUNS = 10_000
AT_ONCE = 200


def facts():
    """What must not grow: descriptors, threads, children, and the containers that our cgroup shows."""
    gc.collect()
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        children = len(file.read().split())
    return {"descriptors": len(os.listdir("/proc/self/fd")), "threads": threading.active_count(), "children": children}


def resident():
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_runs_in_a_row_leave_everything_as_before():
    command = Command("/bin/true")
    for _ in range(500):
        command.output()
    before, memory = facts(), resident()
    for _ in range(RUNS):
        assert command.output().code == 0
    assert facts() == before
    assert resident() - memory < 4 << 20


def test_hundreds_of_failing_and_timed_out_runs_leak_nothing_either(mechanism):
    missing, slow = Command("/nowhere/at/all"), Command("/bin/sleep", ["60"]).timeout(0.01)
    broken = Command("/etc/passwd")
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
    Command("/bin/true").output()
    before = facts()
    gate, codes = threading.Barrier(AT_ONCE), []

    def run():
        gate.wait()
        codes.append(Command("/bin/sh", ["-c", "exit 5"]).output().code)

    threads = [threading.Thread(target=run) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [5] * AT_ONCE
    after = facts()
    # Spare leaves of the pool hold two descriptors each, and there are at most sixteen.
    assert after["descriptors"] - before["descriptors"] <= 32
    assert (after["threads"], after["children"]) == (before["threads"], before["children"])


def test_two_hundred_at_once_on_a_loop_leave_everything_as_before():
    async def many():
        return await asyncio.gather(*(Command("/bin/echo", [str(number)]).arun() for number in range(AT_ONCE)))

    asyncio.run(many())
    before = facts()
    assert asyncio.run(many()) == [str(number) for number in range(AT_ONCE)]
    after = facts()
    assert after["descriptors"] - before["descriptors"] <= 32
    assert after["children"] == before["children"]


def test_groups_leave_nothing(mechanism):
    with ProcessGroup() as group:
        group.run(Command("/bin/true"))
    before = facts()
    for _ in range(50):
        with ProcessGroup() as group:
            group.start(Command("/bin/sleep", ["60"]))
            group.kill_all()
    assert facts() == before
