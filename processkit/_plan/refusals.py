"""The library's errors for what a launch was refused."""

from __future__ import annotations

from errno import EACCES, ENOENT, EPERM

from .._base.errors import PermissionDenied, ProcessError, ProcessNotFound, failure, unsupported
from .._os.errors import BAD_FORMAT, NO_DIRECTORY, NO_PROGRAM, NO_ROOM, NOT_ALLOWED, TOO_LONG, LaunchError, Refused, StreamError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._os.terms import Plan


#: What may be behind a refusal that the program itself cannot explain.
CHANGED = (
    "what this process made with its first start, or a directory above, is out of its reach now: a changed user, a new root?"
)
LEFT = "this process has left its pid namespace (unshare(2), CLONE_NEWPID): its children are in another one, and cannot tell whether it lives"


def not_found(program: str, searched: str | None) -> ProcessNotFound:
    """Return the error for a program that is not found."""
    where = "" if searched is None else f" (searched {searched or 'nothing: PATH is empty'})"
    return ProcessNotFound(f"{program} was not found{where}", program=program, searched=searched, errno=ENOENT)


def denied(program: str, text: str, code: int = EACCES) -> PermissionDenied:
    """Return the error for a refusal of the system."""
    return PermissionDenied(text, program=program, errno=code)


def translated(error: BaseException, plan: Plan) -> BaseException:
    """Return the library's error for an error of a spawn; an exception that is none is returned as it is."""
    program = plan.program
    if isinstance(error, ProcessError):
        return error
    if isinstance(error, NotImplementedError):
        return unsupported("spawn", str(error))
    if isinstance(error, Refused):
        return failure(f"{program} could not be started: {error}", program)
    if isinstance(error, StreamError):
        return failure(f"{program}: cannot open {error.path} for a redirect: {error}", program)
    if isinstance(error, LaunchError):
        return _launch_failure(error, program)
    if isinstance(error, OSError):
        if error.errno in (EACCES, EPERM):
            return denied(program, f"{program} could not be started: permission denied: {error} ({CHANGED})", error.errno)
        return failure(f"{program} could not be started: {error}", program)
    return error


def _launch_failure(error: LaunchError, program: str) -> ProcessError:
    if error.call == "getppid":
        return failure(f"{program} could not be started: {LEFT}: {error}", program)
    if error.means == NO_DIRECTORY:
        return failure(f"{program}: cwd cannot be entered: {error}", program)
    if error.means == NO_PROGRAM:
        return not_found(program, None)
    if error.means == TOO_LONG:
        return failure(f"{program}: args and env together are too long: {error}", program)
    if error.means == BAD_FORMAT:
        return failure(f"{program} is not in a format that this machine executes: {error}", program)
    if error.means == NO_ROOM:
        limits = "RLIMIT_NPROC of the user, or the pids limit of a cgroup"
        return failure(f"{program} could not be started: no more processes are allowed here ({limits}): {error}", program)
    if error.means == NOT_ALLOWED:
        return denied(program, f"{program} could not be started: permission denied: {error}", error.errno or EACCES)
    return failure(f"{program} could not be started: {error}", program)
