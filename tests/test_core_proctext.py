import os
import sys

import pytest

from processkit._core.guardian import FINISHED, SWEEPING, WATCHING, Guard, drop_message, group_message
from processkit._core.proctext import cgroup2_mounts, flat_keyed, locate_cgroup, parse_stat, unified_cgroup

STAT = b"77 (%s) S 1 2 3 4 5 6 7 8 9 10 100 50 13 14 15 16 17 18 4242 20 21 22\n"


@pytest.mark.parametrize("name", [b"sh", b"a) R (b", b"((", b"))", b"", b"a b c", b"\xff\n)"])
def test_a_process_may_call_itself_what_it_likes(name):
    stat = parse_stat(STAT % name)
    assert (stat.pid, stat.name, stat.state, stat.ppid, stat.pgrp, stat.session) == (77, name, "S", 1, 2, 3)
    assert (stat.cpu_ticks, stat.start, stat.gone) == (150, 4242, False)


def test_our_own_status_is_read_right():
    with open("/proc/self/stat", "rb") as file:
        stat = parse_stat(file.read())
    assert (stat.pid, stat.ppid, stat.pgrp, stat.session) == (os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0))


def test_the_unified_hierarchy_is_the_line_of_number_zero():
    assert unified_cgroup(b"9:name=systemd:/x\n0::/user.slice/a b\n") == b"/user.slice/a b"
    assert unified_cgroup(b"1:cpu:/\n") is None


def test_mounts_are_found_with_escapes_and_in_a_hybrid_layout():
    text = (
        b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        b"41 31 0:38 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
        b"42 31 0:39 /sub\\040dir /mnt/a\\134b rw - cgroup2 none rw\n"
    )
    assert cgroup2_mounts(text) == [(b"/sub dir", b"/mnt/a\\b"), (b"/", b"/sys/fs/cgroup/unified")]


@pytest.mark.parametrize(
    ("cgroup", "mounts", "path"),
    [
        (b"/", [(b"/", b"/sys/fs/cgroup")], b"/sys/fs/cgroup"),
        (b"/a/b", [(b"/", b"/sys/fs/cgroup")], b"/sys/fs/cgroup/a/b"),
        (b"/a/b", [(b"/a", b"/mnt")], b"/mnt/b"),
        (b"/ab", [(b"/a", b"/mnt")], None),
        (b"/../x", [(b"/", b"/mnt")], None),
        (b"/a", [], None),
    ],
)
def test_a_cgroup_is_found_through_the_mount_that_shows_it(cgroup, mounts, path):
    assert locate_cgroup(cgroup, mounts) == path


def test_flat_keyed_files_are_numbers_by_name():
    assert flat_keyed(b"populated 0\nfrozen 1\n\nodd x\n") == {"populated": 0, "frozen": 1}


def new_message(pid):
    return b"new " + pid.to_bytes(4, sys.byteorder)


def test_a_guard_learns_groups_whatever_the_chunking():
    said = group_message(7, 99) + new_message(0x0A0A0A0A) + group_message(8, None) + drop_message(7) + new_message(8)
    for size in range(1, len(said) + 1):
        guard = Guard()
        for start in range(0, len(said), size):
            guard.feed(said[start : start + size])
        assert guard.groups == {0x0A0A0A0A: 0, 8: 0}
        assert guard.state == WATCHING


def test_a_guard_sweeps_at_the_owners_death_and_ends_only_at_end_of_file():
    guard = Guard()
    guard.owner_gone()
    assert guard.state == SWEEPING
    guard.nobody_left()
    assert guard.state == SWEEPING, "a child that is being born may still register"
    guard.feed(new_message(5))
    assert guard.groups == {5: 0}
    guard.feed(b"")
    guard.nobody_left()
    assert guard.state == FINISHED


def test_end_of_file_alone_is_the_owners_death():
    guard = Guard()
    guard.feed(group_message(3, 4))
    guard.feed(b"")
    assert guard.state == SWEEPING
    guard.nobody_left()
    assert guard.state == FINISHED
