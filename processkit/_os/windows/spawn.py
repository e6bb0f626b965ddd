"""From a plan to a live child on Windows: one CreateProcessW, whose child is born in its jobs and inherits only three handles."""

from __future__ import annotations

import os
import sys

from ..._abi import windows
from ..._abi.foreign import ALL_BITS, address, array_of, last_error, memory, reference, size_of, wide_text, windows_error
from ..._abi.winconsole import PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE
from ..._core.cmdline import MOST_UNITS, batch_line, command_line, is_batch
from ..errors import BAD_FORMAT, FAILED, NO_DIRECTORY, NO_PROGRAM, NOT_ALLOWED, TOO_LONG, LaunchError, Refused
from ..lock import Lock
from ..terms import Plan
from .console import is_console
from .handles import Handles, close, inheritable_copy, is_signalled, wait_for
from .stdio import STANDARD, Streams

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MEANS = {
    windows.ERROR_FILE_NOT_FOUND: NO_PROGRAM,
    windows.ERROR_PATH_NOT_FOUND: NO_PROGRAM,
    windows.ERROR_DIRECTORY: NO_DIRECTORY,
    windows.ERROR_ACCESS_DENIED: NOT_ALLOWED,
    windows.ERROR_ELEVATION_REQUIRED: NOT_ALLOWED,
    windows.ERROR_FILENAME_EXCED_RANGE: TOO_LONG,
    windows.ERROR_BAD_EXE_FORMAT: BAD_FORMAT,
    windows.ERROR_EXE_MACHINE_TYPE_MISMATCH: BAD_FORMAT,
}
PRIORITIES = {
    19: windows.IDLE_PRIORITY_CLASS,
    10: windows.BELOW_NORMAL_PRIORITY_CLASS,
    0: windows.NORMAL_PRIORITY_CLASS,
    -5: windows.ABOVE_NORMAL_PRIORITY_CLASS,
    -10: windows.HIGH_PRIORITY_CLASS,
}
MAX_PATH = 260
MOST_ATTRIBUTES = 3
JOB_LIST = "UpdateProcThreadAttribute: PROC_THREAD_ATTRIBUTE_JOB_LIST"

# Held while a child's handles are inheritable, so that no other CreateProcessW of this package happens meanwhile.
_lock = Lock()
# PROC_THREAD_ATTRIBUTE_JOB_LIST came with Windows 10; on older systems a child is assigned to its jobs before it begins.
_born_in_job = True


def launch_error(call: str, error: OSError) -> LaunchError:
    """The LaunchError for an error that `call` raised."""
    made = LaunchError(error.errno, str(error.strerror), None, error.winerror)
    made.call = call
    made.means = _MEANS.get(error.winerror, FAILED)
    return made


def spawn(plan: Plan, jobs: list[int], streams: Streams, extra_flags: int = 0) -> tuple[int, int]:
    """(process handle, pid) of a child inside `jobs`, the outermost first; on an exception nothing of it is alive."""
    global _born_in_job
    sys.audit("subprocess.Popen", plan.path, plan.argv, plan.cwd, plan.env.entries)
    if _born_in_job and jobs:
        try:
            return _create(plan, jobs, streams, extra_flags, suspended=False)
        except LaunchError as error:
            # Only where the attribute itself is refused: an owner that dies between the birth of a suspended child and its way into
            # the job leaves it so for ever.
            if error.call != JOB_LIST:
                raise
            _born_in_job = False
    return _create(plan, jobs, streams, extra_flags, suspended=bool(jobs))


def _create(plan: Plan, jobs: list[int], streams: Streams, extra_flags: int, *, suspended: bool) -> tuple[int, int]:
    application, line = command_of(plan)
    affinity = plan.attributes.affinity
    flags = windows.CREATE_UNICODE_ENVIRONMENT | windows.EXTENDED_STARTUPINFO_PRESENT | extra_flags | _console_flags(plan)
    if plan.attributes.nice is not None:
        flags |= PRIORITIES[plan.attributes.nice]
    if suspended or affinity is not None:
        flags |= windows.CREATE_SUSPENDED
    made = windows.PROCESS_INFORMATION()
    with _lock, Handles() as owned:
        startup = windows.STARTUPINFOEXW()
        startup.StartupInfo.cb = size_of(startup)
        inherited = _standard_handles(startup.StartupInfo, streams, owned)
        attributes = _Attributes(startup)
        try:
            if streams.console is not None:
                attributes.set_value(PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, streams.console.handle)
            if inherited:
                attributes.set(windows.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, inherited)
            if jobs and not suspended:
                _set_jobs(attributes, jobs)
            windows.CreateProcessW(
                application, reference(wide_text(line)), None, None, bool(inherited), flags, reference(plan.env.block),
                plan.cwd, reference(startup), reference(made),
            )  # fmt: skip
        except LaunchError:
            raise
        except OSError as error:
            raise launch_error(str(error.strerror).partition(":")[0], error) from error
        finally:
            attributes.close()
    with Handles() as owned:
        owned.own(made.hThread)
        try:
            _finish(made, jobs if suspended else [], affinity, resume=bool(flags & windows.CREATE_SUSPENDED))
        except BaseException:
            _end(made.hProcess)
            raise
    return int(made.hProcess), int(made.dwProcessId)


def _set_jobs(attributes: _Attributes, jobs: list[int]) -> None:
    try:
        attributes.set(windows.PROC_THREAD_ATTRIBUTE_JOB_LIST, jobs)
    except OSError as error:
        raise launch_error(JOB_LIST, error) from error


def _finish(made: Any, jobs: list[int], affinity: tuple[int, ...] | None, *, resume: bool) -> None:
    """Put a suspended child into its jobs, set its affinity, and let it begin."""
    for job in jobs:
        try:
            windows.AssignProcessToJobObject(job, made.hProcess)
        except OSError as error:
            if error.winerror != windows.ERROR_ACCESS_DENIED:
                raise launch_error("AssignProcessToJobObject", error) from error
            raise Refused(
                "this process runs in a job of somebody else that allows no job inside it; "
                "start it outside that job (CREATE_BREAKAWAY_FROM_JOB), or on Windows 8 or newer"
            ) from error
    if affinity is not None:
        try:
            if max(affinity) >= 8 * size_of(windows.DWORD_PTR):
                raise windows_error("SetProcessAffinityMask", windows.ERROR_INVALID_PARAMETER)  # it is in another processor group
            windows.SetProcessAffinityMask(made.hProcess, sum(1 << cpu for cpu in affinity))
        except OSError as error:
            raise launch_error("SetProcessAffinityMask", error) from error
    if resume and windows.ResumeThread(made.hThread) == windows.WAIT_FAILED:
        raise launch_error("ResumeThread", windows_error("ResumeThread", last_error()))


def _end(process: int) -> None:
    try:
        if not is_signalled(process):
            windows.TerminateProcess(process, 1)
            wait_for([process], 10.0)
    finally:
        close(process)


class _Attributes:
    """The attribute list of one CreateProcessW, and the memory that it points into."""

    __slots__ = ("_kept", "_list")

    def __init__(self, startup: Any) -> None:
        size = windows.SIZE_T()
        windows.InitializeProcThreadAttributeList(None, MOST_ATTRIBUTES, 0, reference(size))
        self._list = memory(size.value)
        self._kept: list[Any] = []
        if not windows.InitializeProcThreadAttributeList(reference(self._list), MOST_ATTRIBUTES, 0, reference(size)):
            raise windows_error("InitializeProcThreadAttributeList", last_error())
        startup.lpAttributeList = address(self._list)

    def set(self, attribute: int, handles: list[int]) -> None:
        """Set an attribute that is a list of handles."""
        listed = array_of(windows.HANDLE, handles)
        self._kept.append(listed)
        windows.UpdateProcThreadAttribute(reference(self._list), 0, attribute, reference(listed), size_of(listed), None, None)

    def set_value(self, attribute: int, handle: int) -> None:
        """Set an attribute whose value is a handle itself."""
        windows.UpdateProcThreadAttribute(reference(self._list), 0, attribute, handle, size_of(windows.HANDLE()), None, None)

    def close(self) -> None:
        """Free the list."""
        windows.DeleteProcThreadAttributeList(reference(self._list))


def _standard_handles(startup: Any, streams: Streams, owned: Handles) -> list[int]:
    """Put inheritable copies of the three standard handles into `startup`; returns the copies, each once."""
    if streams.console is not None and all(is_console(windows.GetStdHandle(name)) for name in STANDARD):
        return []  # the child gets the handles of its own console
    startup.dwFlags = windows.STARTF_USESTDHANDLES
    if streams.console is not None:
        # The child would get our own handles that are no console's, unless it is given invalid ones.
        startup.hStdInput = startup.hStdOutput = startup.hStdError = ALL_BITS
        return []
    copies: dict[int, int] = {}
    for name, handle in zip(("hStdInput", "hStdOutput", "hStdError"), streams.child):
        if handle is None:
            continue
        if handle not in copies:
            try:
                copies[handle] = owned.own(inheritable_copy(handle))
            except OSError as error:
                # In a program without a console its own streams may be invalid handles.
                if error.winerror != windows.ERROR_INVALID_HANDLE:
                    raise
                continue
        setattr(startup, name, copies[handle])
    return list(copies.values())


def _console_flags(plan: Plan) -> int:
    """Flags: no window for a child of a program without a console; a console group of its own only if one is asked for."""
    if plan.pty is not None:
        return 0
    if plan.console == "none" or (plan.console is None and not has_console()):
        return windows.CREATE_NO_WINDOW
    return windows.CREATE_NEW_PROCESS_GROUP if plan.console == "break" else 0


def has_console() -> bool:
    """Whether this process has a console, which its children then share."""
    return bool(windows.GetConsoleProcessList(reference(windows.DWORD()), 1))


def command_of(plan: Plan) -> tuple[str, str]:
    """(lpApplicationName, lpCommandLine); LaunchError or Refused for arguments that cannot be expressed."""
    application = plan.path
    if is_batch(application):
        try:
            line = batch_line(application, plan.argv[1:])
        except ValueError as error:
            raise Refused(str(error)) from error
        application = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "cmd.exe")
        line = f'"{application}" {line}'
    else:
        line = command_line(plan.argv)
        if len(application) >= MAX_PATH and not application.startswith("\\\\"):
            application = "\\\\?\\" + os.path.normpath(application)
    if len(line.encode("utf-16-le", "surrogatepass")) // 2 >= MOST_UNITS:
        raise launch_error("CreateProcessW", windows_error("CreateProcessW", windows.ERROR_FILENAME_EXCED_RANGE))
    return application, line
