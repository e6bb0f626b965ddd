"""What a group may use, and what it has used."""

from __future__ import annotations

from .._base import PUBLIC, validate
from .._base.errors import ResourceLimit
from .._base.values import Value, store


class ProcessGroupStats(Value):
    """What a group has used so far; None where its mechanism does not measure it.

    Under `process_group` the figures are sums over the living members: those that have ended are missing from them.
    """

    __module__ = PUBLIC
    __slots__ = ()
    _fields = (
        "active_process_count", "peak_memory_bytes", "total_cpu_time_seconds", "io_read_bytes", "io_write_bytes", "peak_process_count",
    )  # fmt: skip
    active_process_count: int
    """Live members, descendants included."""
    peak_memory_bytes: int | None
    """Most bytes of memory that the group had at once; under `process_group` the sum of each member's own peak."""
    total_cpu_time_seconds: float | None
    """User and system CPU seconds of all members together."""
    io_read_bytes: int | None
    """Bytes read; under `cgroup_v2` from block devices, None without the io controller; None under `process_group`."""
    io_write_bytes: int | None
    """Bytes written; measured as `io_read_bytes`."""
    peak_process_count: int | None
    """Most tasks (threads count) at once; only under `cgroup_v2` with the pids controller."""

    def __init__(
        self,
        active_process_count: int,
        peak_memory_bytes: int | None,
        total_cpu_time_seconds: float | None,
        io_read_bytes: int | None,
        io_write_bytes: int | None,
        peak_process_count: int | None,
    ) -> None:
        store(
            self,
            (active_process_count, peak_memory_bytes, total_cpu_time_seconds, io_read_bytes, io_write_bytes, peak_process_count),
        )


def check_limits(max_memory: object, max_processes: object, cpu_quota: object) -> None:
    """Refuse invalid caps, and in this version valid ones too: no cap is ever dropped in silence."""
    for name, value in (("max_memory", max_memory), ("max_processes", max_processes)):
        if value is not None and validate.unsigned(value, name, validate.U64) == 0:
            raise ResourceLimit(f"{name} limit is invalid: it must be more than 0")
    if cpu_quota is not None:
        if not isinstance(cpu_quota, (int, float)):
            raise TypeError(f"cpu_quota must be a number of cores, not {type(cpu_quota).__name__}")
        if not 0 < cpu_quota < float("inf"):
            raise ResourceLimit("cpu_quota limit is invalid: it must be a finite number of cores above 0")
    for name, value in (("max_memory", max_memory), ("max_processes", max_processes), ("cpu_quota", cpu_quota)):
        if value is not None:
            raise ResourceLimit(f"{name} limit could not be enforced: this version of processkit sets no limits yet")
