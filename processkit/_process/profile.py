"""`RunningProcess.profile`: the CPU time and memory of a process, sampled while it runs."""

from __future__ import annotations

import time

from .._base import PUBLIC
from .._base.outcome import Outcome
from .._base.result import Ended
from .._base.validate import positive
from .._base.values import store
from .._os import cpu_seconds, peak_memory

#: Least seconds between two samples, however short an interval was asked for.
SHORTEST = 0.001


class RunProfile(Ended):
    """How a run ended, and the CPU time and memory of the process itself, without its descendants; None if not readable."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("outcome", "duration_seconds", "cpu_time_seconds", "peak_memory_bytes", "samples")
    outcome: Outcome
    """How it ended."""
    duration_seconds: float
    """Seconds from the launch to the end."""
    cpu_time_seconds: float | None
    """User and system CPU seconds."""
    peak_memory_bytes: int | None
    """Peak resident bytes, as last sampled."""
    samples: int
    """Samples taken while it ran; 0 if it ended before the first was due."""

    def __init__(
        self,
        outcome: Outcome,
        duration_seconds: float,
        cpu_time_seconds: float | None,
        peak_memory_bytes: int | None,
        samples: int,
    ) -> None:
        store(self, (outcome, duration_seconds, cpu_time_seconds, peak_memory_bytes, samples))

    @property
    def avg_cpu_cores(self) -> float | None:
        """Cores used on average: CPU seconds divided by `duration_seconds`; None without a CPU time."""
        if self.cpu_time_seconds is None or self.duration_seconds <= 0:
            return None
        return self.cpu_time_seconds / self.duration_seconds


class Sampler:
    """Samples one process; its figures only grow, so the last sample is the best."""

    __slots__ = ("_pid", "cpu", "every", "next", "peak", "samples")

    def __init__(self, pid: int, every_seconds: object) -> None:
        self._pid = pid
        self.every = max(SHORTEST, positive(every_seconds, "every_seconds"))
        self.next = time.monotonic() + self.every
        self.cpu: float | None = None
        self.peak: int | None = None
        self.samples = 0

    def look(self) -> None:
        """Read what can be read: a zombie still has a CPU time, but no memory."""
        cpu, peak = cpu_seconds(self._pid), peak_memory(self._pid)
        self.cpu = self.cpu if cpu is None else cpu
        self.peak = self.peak if peak is None else max(peak, self.peak or 0)

    def tick(self, now: float) -> None:
        """Take a sample if one is due."""
        if now >= self.next:
            self.look()
            self.samples += 1
            self.next = now + self.every
