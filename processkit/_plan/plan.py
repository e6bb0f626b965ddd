"""From settings to a plan: every user error is raised here, before anything is owned."""

from __future__ import annotations

import os

from .._base.errors import ProcessError, cancelled, failure, unsupported
from .._os import NotExecutable, NotFound, environment, find_program, in_foreground, refused
from .._os.terms import INHERIT, NULL, PIPE, PLAIN, Attributes, File, Plan
from .settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._os.port import Environment

_NICE = {"idle": 19, "below_normal": 10, "normal": 0, "above_normal": -5, "high": -10}
# CONFIG_NR_CPUS is at most 8192; whether a processor exists is for the kernel to say.
MOST_CPUS = 8192


def make_plan(settings: Settings, linger: bool = False) -> Plan:
    """Return the launch that `settings` ask for, resolved now; raises every user error. `linger`: see `Plan`."""
    check_token(settings)
    if settings.plain:
        return _plain_plan(settings, linger)
    plan = _new_plan(settings, False)
    if settings.pty is not None:
        _give_terminal(plan, settings)
    plan.linger = linger and plan.stdin != PIPE
    if settings.graceful_break or settings.create_no_window:
        plan.console = "none" if settings.create_no_window else "break"
    operation = refused(plan)
    if operation is not None:
        raise unsupported(operation, "this system has no such thing")
    return plan


def check_token(settings: Settings) -> None:
    """Raises Cancelled for a command whose token was cancelled before: it is not started."""
    if settings.token is not None and settings.token.is_cancelled():
        raise cancelled(settings.program)


def _plain_plan(settings: Settings, linger: bool) -> Plan:
    """Return the plan of a command that is only program and arguments: an earlier one if nothing has changed."""
    env = _environment(settings)
    path = resolve(settings.program, (), env.path, to_launch=True)
    key = settings.program, settings.args, path, linger
    known = _known.get(key)
    if known is not None and known.env is env:
        return known
    plan = _new_plan(settings, True, env, path)
    plan.linger = linger
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[key] = plan
    return plan


# Programs are often run again and again; a plan is not changed once it is made.
_known: dict[tuple[str, tuple[str, ...], str, bool], Plan] = {}
MOST_KNOWN = 8


def _new_plan(settings: Settings, plain: bool, env: Environment | None = None, path: str | None = None) -> Plan:
    program = settings.program
    stdin = NULL if plain else _stdin_kind(settings)
    attributes = PLAIN if plain else _attributes(settings)
    try:
        env = env or _environment(settings)
        argv = [program if settings.arg0 is None else settings.arg0, *settings.args]
        cwd = settings.cwd
        words = "".join(argv) if cwd is None else "".join((*argv, cwd))
        if not words.isascii():
            os.fsencode(words)
    except UnicodeEncodeError as error:
        raise failure(f"{program}: program, args or cwd cannot be encoded for this system", program) from error
    if "\0" in words:
        raise _nul(program, "program" if "\0" in program else "cwd" if cwd is not None and "\0" in cwd else "args")
    if not plain:
        _check_paths(settings)
    path = path or resolve(program, settings.prefer_local, env.path, to_launch=True)
    return Plan(
        program=program,
        path=path,
        argv=argv,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=PIPE if plain else settings.stdout,
        stderr=PIPE if plain else settings.stderr,
        attributes=attributes,
        terminal=settings.inherit_stdin and in_foreground(),
    )


def _give_terminal(plan: Plan, settings: Settings) -> None:
    plan.pty = settings.pty
    plan.stdin, plan.stdout, plan.stderr = PIPE, PIPE, NULL
    if settings.stdin_file is not None:
        try:
            with open(settings.stdin_file, "rb") as file:
                plan.content = file.read()
        except OSError as error:
            raise failure(f"{settings.program}: stdin_file: {settings.stdin_file}: {error.strerror}", settings.program) from error


def _check_paths(settings: Settings) -> None:
    """Raise ProcessError for redirects whose path no file can have."""
    for name in ("stdin_file", "stdout", "stderr"):
        value = getattr(settings, name)
        path = value.path if isinstance(value, File) else value if name == "stdin_file" else None
        if path is None:
            continue
        parameter = name if name == "stdin_file" else f"{name}_file"
        try:
            broken = b"\0" in os.fsencode(path)
        except UnicodeEncodeError as error:
            raise failure(f"{settings.program}: {parameter} cannot be encoded for this system", settings.program) from error
        if broken:
            raise failure(f"{settings.program}: {parameter} contains a NUL byte, which no file name has", settings.program)


def _nul(program: str, parameter: str) -> ProcessError:
    shown = program.replace("\0", "\\0")
    return failure(f"{shown}: {parameter} contains a NUL byte, which no program can be given", program)


def resolve_settings(settings: Settings) -> str:
    """Return the path of the program, found as a launch would find it."""
    env = _environment(settings)
    return resolve(settings.program, settings.prefer_local, env.path)


def _environment(settings: Settings) -> Environment:
    """Return the child's environment as of now; ProcessError for an impossible variable."""
    try:
        env = environment(settings.env_clear, settings.env_inherit, settings.env)
        if settings.pty is None:
            return env
        columns, rows = settings.pty
        more: dict[str, str | None] = {"COLUMNS": str(columns), "LINES": str(rows)}
        if not any(os.fsdecode(entry).startswith("TERM=") for entry in env.entries):
            more["TERM"] = "xterm-256color"
        return environment(settings.env_clear, settings.env_inherit, {**more, **settings.env})
    except UnicodeEncodeError as error:
        raise failure(f"{settings.program}: env cannot be encoded for this system", settings.program) from error
    except ValueError as error:
        raise failure(f"{settings.program}: env: {error}", settings.program) from error


def resolve(program: str, prefer_local: tuple[str, ...], path: str | None, to_launch: bool = False) -> str:
    """Return the absolute path of `program`, or raise ProcessNotFound or PermissionDenied."""
    if "\0" in program:
        raise _nul(program, "program")
    try:
        return find_program(program, prefer_local, path, to_launch)
    except UnicodeEncodeError as error:
        raise failure(f"{program!a}: program or prefer_local cannot be encoded for this system", program) from error
    except ValueError as error:
        raise failure(f"{program}: prefer_local: {error}", program) from error
    except NotFound as miss:
        from .refusals import not_found

        raise not_found(program, miss.searched) from None
    except NotExecutable:
        from .refusals import denied

        raise denied(program, f"{program} exists but cannot be executed: permission denied") from None


def _stdin_kind(settings: Settings) -> str | File:
    has_source = settings.stdin_data is not None or settings.stdin_file is not None or settings.stdin_source is not None
    if settings.inherit_stdin:
        if has_source or settings.keep_stdin_open:
            other = "a stdin source" if has_source else "keep_stdin_open()"
            raise failure(f"{settings.program}: inherit_stdin() cannot be combined with {other}", settings.program)
        return INHERIT
    if settings.stdin_file is not None:
        return File(settings.stdin_file, False)
    return PIPE if has_source or settings.keep_stdin_open else NULL


def _attributes(settings: Settings) -> Attributes:
    if not settings.attributed:
        return PLAIN
    attributes = Attributes()
    attributes.uid = settings.uid
    attributes.gid = settings.gid
    attributes.groups = settings.groups
    attributes.new_session = settings.new_session
    attributes.umask = settings.umask
    attributes.io_priority = settings.io_priority
    attributes.nice = None if settings.priority is None else _NICE[settings.priority]
    for name, (soft, hard) in settings.rlimits.items():
        if soft > hard:
            raise failure(f"{settings.program}: rlimit {name}: soft value {soft} exceeds hard value {hard}", settings.program)
    attributes.rlimits = settings.rlimits
    if settings.affinity is not None:
        if not settings.affinity:
            raise failure(f"{settings.program}: cpu_affinity names no processor", settings.program)
        if settings.affinity[-1] >= MOST_CPUS:
            beyond = f"cpu_affinity: processor {settings.affinity[-1]} is beyond what this system can have"
            raise failure(f"{settings.program}: {beyond}", settings.program)
        attributes.affinity = settings.affinity
    return attributes
