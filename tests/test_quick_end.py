"""A child that ends while its launch still lingers is taken at once; that may change nothing but the time it takes."""

import logging
import os
import sys

import pytest

from processkit import Command
from processkit._os.linux import child as children
from processkit._process import launch as launching

CASES = {
    "nothing": ("true", ()),
    "both streams": ("sh", ("-c", "printf 'out\\r\\nmore\\n'; printf err >&2; exit 3")),
    "invalid bytes": ("sh", ("-c", "printf 'a\\377b\\303'")),
    "a signal": ("sh", ("-c", "echo last; kill -9 $$")),
    "a full pipe": ("sh", ("-c", "head -c 65536 /dev/zero | tr '\\0' x")),
    "more than a pipe holds": ("sh", ("-c", "head -c 200000 /dev/zero | tr '\\0' x")),
}


@pytest.fixture
def taken(monkeypatch):
    """Whether each run since was taken at once."""
    seen = []
    real = launching._taken_at_once

    def spy(*arguments):
        result = real(*arguments)
        seen.append(result is not None)
        return result

    monkeypatch.setattr(launching, "_taken_at_once", spy)
    return seen


def facts(result):
    return (
        result.stdout,
        result.stderr,
        result.outcome,
        result.args,
        result.mechanism,
        result.truncated,
        result.leaked,
        result.timeout,
    )


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_taken_at_once_has_the_same_result_as_one_that_is_not(case, monkeypatch, mechanism):
    command = Command(CASES[case][0], list(CASES[case][1])).timeout(60)
    quick = command.output()
    monkeypatch.setattr(children.LinuxChild, "left_at_end", lambda self: None)
    assert facts(quick) == facts(command.output())


def test_a_program_that_does_nothing_is_taken_at_once(taken):
    for _ in range(20):
        Command("true").output()
    assert any(taken)


def test_a_descendant_that_holds_the_pipe_or_lives_on_is_not_overlooked(taken):
    held = Command("sh", ["-c", "sleep 60 & exit 0"]).output()
    hidden = Command("sh", ["-c", "sleep 60 >/dev/null 2>&1 & exit 0"]).output()
    assert (held.leaked, hidden.leaked) == (1, 1)
    assert True not in taken


def test_what_a_child_made_in_its_cgroup_is_not_handed_to_the_next(mechanism):
    if mechanism != "cgroup_v2" or os.getuid() != 0:
        pytest.skip("it takes a cgroup and the right to make more")
    where = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    script = f"own={where}$(sed -n s/^0:://p /proc/self/cgroup); ls -d $own/sub 2>/dev/null; mkdir $own/sub"
    for _ in range(5):
        result = Command("sh", ["-c", script]).output()
        assert (result.stdout, result.code) == ("", 0), result.stderr


def test_what_is_logged_is_the_same_whether_it_is_taken_at_once_or_not(caplog, taken):
    with caplog.at_level(logging.DEBUG, "processkit"):
        Command("true").output()
    assert [record.getMessage().split(" program")[0] for record in caplog.records] == ["child spawned", "process exited"]
    assert taken == []


def test_an_exception_while_it_is_taken_leaves_nothing(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(children.LinuxChild, "left_at_end", interrupted)
    for _ in range(10):  # one of them at least ends while its launch lingers
        try:
            Command("true").output()
        except KeyboardInterrupt:
            break
    else:
        pytest.fail("no run was taken at once")


def test_a_program_that_was_found_once_and_is_gone_is_not_found(tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    assert Command(program).output().code == 0
    program.unlink()
    with pytest.raises(FileNotFoundError):
        Command(program).resolve_program()
    with pytest.raises(FileNotFoundError) as missing:
        Command(program).output()
    assert missing.value.searched is None
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(FileNotFoundError):
        Command(tmp_path / "file" / "program").output()
