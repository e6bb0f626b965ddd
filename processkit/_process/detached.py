"""`spawn_detached`: a child outside containment, on purpose."""

from __future__ import annotations

from .._base import PUBLIC
from .._base.errors import unsupported
from .._base.values import Value, store
from .._os import spawn_detached as spawn_orphan
from .._plan.plan import make_plan
from .._plan.refusals import translated
from .._plan.settings import NULL, PIPE, Settings


class DetachedChild(Value):
    """A process that lives outside containment and survives us. It cannot be waited for or ended through this object."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("pid",)
    pid: int
    """The process id that it was started with."""

    def __init__(self, pid: int) -> None:
        store(self, (pid,))


def _owner_dependent(settings: Settings) -> str | None:
    """Return the first setting that needs an owner, which a detached child does not have."""
    checks = (
        ("timeout", settings.timeout is not None),
        ("stdin source", any(getattr(settings, f"stdin_{kind}") is not None for kind in ("data", "file", "source"))),
        ("keep_stdin_open", settings.keep_stdin_open),
        ("inherit_stdin", settings.inherit_stdin),
        ("inherited stdout", settings.stdout == "inherit"),
        ("inherited stderr", settings.stderr == "inherit"),
        ("kill_on_parent_death", settings.kill_on_parent_death),
        ("leash", settings.leash),
        ("idle timeout", settings.idle_timeout is not None),
        ("cancellation token", settings.token is not None),
        ("retry", settings.retry is not None),
        ("output limit", settings.cap is not None),
        ("tee or callback", settings.tapped),
        ("pty", settings.pty is not None),
    )
    return next((name for name, is_set in checks if is_set), None)


def spawn_detached(settings: Settings) -> DetachedChild:
    """Start it in a session of its own, not as our child; its streams are null unless they are files."""
    setting = _owner_dependent(settings)
    if setting is not None:
        raise unsupported("spawn_detached", f"a detached child has no owner to keep its {setting}")
    streams = {name: NULL for name in ("stdout", "stderr") if getattr(settings, name) == PIPE}
    plan = make_plan(settings.replace(**streams))
    try:
        return DetachedChild(spawn_orphan(plan))
    except (OSError, NotImplementedError) as error:
        raise translated(error, plan) from error
