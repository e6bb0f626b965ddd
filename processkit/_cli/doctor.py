"""`doctor`: what this machine can contain, found by making empty groups."""

from __future__ import annotations

import json
import os

from .. import Command, HostContainment, ProcessError, ProcessGroup, ProcessNotFound, ResourceLimit, Unsupported, host_containment
from .status import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CAVEAT = (
    "what a group may do depends on where this process runs: another cgroup, container, user or enclosing Windows Job Object "
    "may get another answer"
)
_CAPS: tuple[tuple[str, str, float], ...] = (
    ("max_memory", "--max-memory", 1 << 20),
    ("max_processes", "--max-processes", 1),
    ("cpu_quota", "--cpu-quota", 0.1),
)
_EXITS = {"OK": 0, "DEGRADED": 1, "UNAVAILABLE": 3, "ERROR": 4}
_MEANS = {
    "OK": "containment and all resource limits are available",
    "DEGRADED": "containment works; some resource limits do not",
    "UNAVAILABLE": "no containment is available here",
    "ERROR": "a probe failed; the answer is not known",
}


class _Findings:
    """The results of the probes."""

    def __init__(self) -> None:
        self.mechanism = "unknown"
        self.why = ""
        self.available = {name: False for name, _, _ in _CAPS}
        #: flag → reason
        self.refused: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.verdict = "ERROR"


def _probe() -> _Findings:
    found = _Findings()
    try:
        # A group that may outlive us is made in the same place, and starts no guardian.
        with ProcessGroup(survive_owner=True) as group:
            found.mechanism = group.mechanism
    except (ResourceLimit, Unsupported) as error:
        found.mechanism, found.why, found.verdict = "unavailable", str(error), "UNAVAILABLE"
        return found
    except (OSError, ProcessError, ValueError) as error:  # ValueError: PROCESSKIT_MECHANISM names none
        found.why = str(error)
        found.failed["containment mechanism"] = str(error)
        return found
    for name, flag, value in _CAPS:
        try:
            with ProcessGroup(survive_owner=True, **{name: value}):  # type: ignore[arg-type]
                found.available[name] = True
        except (ResourceLimit, Unsupported) as error:
            found.refused[flag] = str(error)
        except (OSError, ProcessError) as error:
            found.failed[flag] = str(error)
    _start_something(found)
    found.verdict = "ERROR" if found.failed else "DEGRADED" if found.refused else "OK"
    return found


def _start_something(found: _Findings) -> None:
    """Start a shell that does nothing: from then on the guardian is known to be up, and which one it is."""
    on_windows = os.environ.get("COMSPEC")
    program, arguments = (on_windows, ["/c", "exit 0"]) if on_windows else ("/bin/sh", ["-c", ":"])
    try:
        with ProcessGroup() as group:
            group.start(Command(program, arguments)).outcome()
    except ProcessNotFound:
        pass  # what guards is then a prediction
    except (ProcessError, OSError) as error:
        found.failed["start"] = str(error)


def doctor(as_json: bool) -> int:
    """Print the report and return the exit status of the verdict."""
    found = _probe()
    try:
        host: HostContainment | None = host_containment()
    except (ProcessError, ValueError):
        host = None
    if as_json:
        say(json.dumps(_object(found, host)))
    else:
        say("\n".join(_lines(found, host)))
    return _EXITS[found.verdict]


def _object(found: _Findings, host: HostContainment | None) -> dict[str, Any]:
    fields = ("mechanism", "soft_stop_scope", "parent_death_cleanup", "version")
    report: dict[str, Any] = {
        "mechanism": found.mechanism,
        "host_containment": {name: "unknown" if host is None else getattr(host, name) for name in fields},
        "verdict": found.verdict,
        "exit_code": _EXITS[found.verdict],
        "resource_limits": found.available,
        "caveat": CAVEAT,
    }
    if found.verdict == "ERROR":
        report["error_probe_failures"] = [f"{flag} ({why})" for flag, why in found.failed.items()]
    return report


def _lines(found: _Findings, host: HostContainment | None) -> list[str]:
    lines = ["processkit doctor"]
    if host is not None:
        lines += [
            f"  version                : {host.version}",
            f"  launcher               : {host.launcher}",
            f"  guardian               : {host.guardian}",
            f"  graceful-stop scope    : {host.soft_stop_scope}",
            f"  parent-death cleanup   : {host.parent_death_cleanup}",
        ]
    lines.append(f"  containment mechanism  : {_mechanism(found)}")
    if host is not None:
        lines += [f"  cannot hold            : {host.cannot_hold}", f"  what helps             : {host.remedy}"]
    lines.append(f"  resource limits        : {_limits(found)}")
    lines.append(f"  note: {CAVEAT}")
    lines.append(f"  verdict: {found.verdict} - {_MEANS[found.verdict]}")
    return lines


def _mechanism(found: _Findings) -> str:
    if found.mechanism == "unavailable":
        return f"unavailable ({found.why})"
    return f"error probing ({found.why})" if found.mechanism == "unknown" else found.mechanism


def _limits(found: _Findings) -> str:
    refused = "; ".join(f"{flag} ({why})" for flag, why in found.refused.items())
    failed = "; ".join(f"{flag} ({why})" for flag, why in found.failed.items())
    if found.mechanism in ("unknown", "unavailable"):
        return "unknown (no group could be made)"
    if failed:
        return f"error probing {failed}" + (f"; also unavailable {refused}" if refused else "")
    return f"unavailable {refused}" if refused else "available"
