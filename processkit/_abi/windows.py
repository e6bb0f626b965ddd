"""Windows declarations as in its headers: only those that this package uses. Imports on every system.

The basic types are declared here because `ctypes.wintypes.DWORD` is 8 bytes wherever `unsigned long` is.
"""

from __future__ import annotations

import ctypes

from .foreign import (
    NT,
    WIN32,
    Library,
    invalid_handle,
    negative,
    never,
    zero,
)

kernel32 = Library("kernel32", globals(), WIN32)
ntdll = Library("ntdll", globals(), NT)

# <windef.h>
BOOL = ctypes.c_int
UINT = ctypes.c_uint32
DWORD = ctypes.c_uint32
ULONG_PTR = ctypes.c_size_t
DWORD_PTR = ctypes.c_size_t
SIZE_T = ctypes.c_size_t
HANDLE = ctypes.c_void_p
LPVOID = ctypes.c_void_p
LPCVOID = ctypes.c_void_p
PVOID = ctypes.c_void_p
LPDWORD = ctypes.c_void_p
PDWORD = ctypes.c_void_p
PBOOL = ctypes.c_void_p
PSIZE_T = ctypes.c_void_p
PULONG_PTR = ctypes.c_void_p
PDWORD_PTR = ctypes.c_void_p
LPHANDLE = ctypes.c_void_p
const_HANDLE_p = ctypes.c_void_p  # noqa: N816
LPFILETIME = ctypes.c_void_p
LPCWSTR = ctypes.c_wchar_p
LPWSTR = ctypes.c_void_p

# <minwinbase.h>
LPSECURITY_ATTRIBUTES = ctypes.c_void_p
LPOVERLAPPED = ctypes.c_void_p


class SECURITY_ATTRIBUTES(ctypes.Structure):
    """SECURITY_ATTRIBUTES"""

    _fields_ = [
        ("nLength", ctypes.c_uint32),
        ("lpSecurityDescriptor", ctypes.c_void_p),
        ("bInheritHandle", ctypes.c_int32),
    ]


class OVERLAPPED(ctypes.Structure):
    """OVERLAPPED"""

    _fields_ = [
        ("Internal", ctypes.c_size_t),
        ("InternalHigh", ctypes.c_size_t),
        ("Offset", ctypes.c_uint32),
        ("OffsetHigh", ctypes.c_uint32),
        ("hEvent", ctypes.c_void_p),
    ]


# <minwindef.h>
class FILETIME(ctypes.Structure):
    """FILETIME"""

    _fields_ = [("dwLowDateTime", ctypes.c_uint32), ("dwHighDateTime", ctypes.c_uint32)]


# <winerror.h>
ERROR_FILE_NOT_FOUND = 2
ERROR_PATH_NOT_FOUND = 3
ERROR_ACCESS_DENIED = 5
ERROR_INVALID_HANDLE = 6
ERROR_HANDLE_EOF = 38
ERROR_NOT_SUPPORTED = 50
ERROR_INVALID_PARAMETER = 87
ERROR_BROKEN_PIPE = 109
ERROR_SEM_TIMEOUT = 121
ERROR_BAD_EXE_FORMAT = 193
ERROR_FILENAME_EXCED_RANGE = 206
ERROR_EXE_MACHINE_TYPE_MISMATCH = 216
ERROR_PIPE_BUSY = 231
ERROR_NO_DATA = 232
ERROR_MORE_DATA = 234
WAIT_TIMEOUT = 258
ERROR_DIRECTORY = 267
ERROR_ELEVATION_REQUIRED = 740
ERROR_OPERATION_ABORTED = 995
ERROR_IO_PENDING = 997

# <winbase.h>
CREATE_SUSPENDED = 0x4
DETACHED_PROCESS = 0x8
CREATE_NEW_PROCESS_GROUP = 0x200
CREATE_UNICODE_ENVIRONMENT = 0x400
EXTENDED_STARTUPINFO_PRESENT = 0x80000
CREATE_BREAKAWAY_FROM_JOB = 0x1000000
CREATE_NO_WINDOW = 0x8000000
IDLE_PRIORITY_CLASS = 0x40
BELOW_NORMAL_PRIORITY_CLASS = 0x4000
NORMAL_PRIORITY_CLASS = 0x20
ABOVE_NORMAL_PRIORITY_CLASS = 0x8000
HIGH_PRIORITY_CLASS = 0x80
STARTF_USESTDHANDLES = 0x100
PROC_THREAD_ATTRIBUTE_HANDLE_LIST = 0x20002
PROC_THREAD_ATTRIBUTE_JOB_LIST = 0x2000D
FILE_FLAG_FIRST_PIPE_INSTANCE = 0x80000
FILE_FLAG_OVERLAPPED = 0x40000000
PIPE_ACCESS_INBOUND = 1
PIPE_ACCESS_OUTBOUND = 2
PIPE_TYPE_BYTE = 0
PIPE_WAIT = 0
PIPE_REJECT_REMOTE_CLIENTS = 8
HANDLE_FLAG_INHERIT = 1
STD_INPUT_HANDLE = 0xFFFFFFF6
STD_OUTPUT_HANDLE = 0xFFFFFFF5
STD_ERROR_HANDLE = 0xFFFFFFF4
WAIT_OBJECT_0 = 0
WAIT_FAILED = 0xFFFFFFFF
INFINITE = 0xFFFFFFFF

# <processthreadsapi.h>
LPSTARTUPINFOW = ctypes.c_void_p
LPPROCESS_INFORMATION = ctypes.c_void_p
LPPROC_THREAD_ATTRIBUTE_LIST = ctypes.c_void_p


class STARTUPINFOW(ctypes.Structure):
    """STARTUPINFOW"""

    _fields_ = [
        ("cb", ctypes.c_uint32),
        ("lpReserved", ctypes.c_void_p),
        ("lpDesktop", ctypes.c_void_p),
        ("lpTitle", ctypes.c_void_p),
        ("dwX", ctypes.c_uint32),
        ("dwY", ctypes.c_uint32),
        ("dwXSize", ctypes.c_uint32),
        ("dwYSize", ctypes.c_uint32),
        ("dwXCountChars", ctypes.c_uint32),
        ("dwYCountChars", ctypes.c_uint32),
        ("dwFillAttribute", ctypes.c_uint32),
        ("dwFlags", ctypes.c_uint32),
        ("wShowWindow", ctypes.c_uint16),
        ("cbReserved2", ctypes.c_uint16),
        ("lpReserved2", ctypes.c_void_p),
        ("hStdInput", ctypes.c_void_p),
        ("hStdOutput", ctypes.c_void_p),
        ("hStdError", ctypes.c_void_p),
    ]


class PROCESS_INFORMATION(ctypes.Structure):
    """PROCESS_INFORMATION"""

    _fields_ = [
        ("hProcess", ctypes.c_void_p),
        ("hThread", ctypes.c_void_p),
        ("dwProcessId", ctypes.c_uint32),
        ("dwThreadId", ctypes.c_uint32),
    ]


@kernel32.prototype(fails=zero)
def CreateProcessW(
    lpApplicationName: LPCWSTR, lpCommandLine: LPWSTR, lpProcessAttributes: LPSECURITY_ATTRIBUTES,
    lpThreadAttributes: LPSECURITY_ATTRIBUTES, bInheritHandles: BOOL, dwCreationFlags: DWORD, lpEnvironment: LPVOID,
    lpCurrentDirectory: LPCWSTR, lpStartupInfo: LPSTARTUPINFOW, lpProcessInformation: LPPROCESS_INFORMATION,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=never)
def InitializeProcThreadAttributeList(
    lpAttributeList: LPPROC_THREAD_ATTRIBUTE_LIST, dwAttributeCount: DWORD, dwFlags: DWORD, lpSize: PSIZE_T
) -> BOOL: ...


@kernel32.prototype(fails=zero)
def UpdateProcThreadAttribute(
    lpAttributeList: LPPROC_THREAD_ATTRIBUTE_LIST, dwFlags: DWORD, Attribute: DWORD_PTR, lpValue: PVOID,
    cbSize: SIZE_T, lpPreviousValue: PVOID, lpReturnSize: PSIZE_T,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=never)
def DeleteProcThreadAttributeList(lpAttributeList: LPPROC_THREAD_ATTRIBUTE_LIST) -> None: ...


@kernel32.prototype(fails=zero)
def OpenProcess(dwDesiredAccess: DWORD, bInheritHandle: BOOL, dwProcessId: DWORD) -> HANDLE: ...


@kernel32.prototype(fails=zero)
def TerminateProcess(hProcess: HANDLE, uExitCode: UINT) -> BOOL: ...


@kernel32.prototype(fails=zero)
def GetExitCodeProcess(hProcess: HANDLE, lpExitCode: LPDWORD) -> BOOL: ...


@kernel32.prototype(fails=never)
def ResumeThread(hThread: HANDLE) -> DWORD: ...


@kernel32.prototype(fails=zero)
def GetProcessTimes(
    hProcess: HANDLE, lpCreationTime: LPFILETIME, lpExitTime: LPFILETIME, lpKernelTime: LPFILETIME,
    lpUserTime: LPFILETIME,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=zero)
def GetProcessId(Process: HANDLE) -> DWORD: ...


@kernel32.prototype(fails=never)
def GetCurrentProcess() -> HANDLE: ...


# <winbase.h>
class STARTUPINFOEXW(ctypes.Structure):
    """STARTUPINFOEXW"""

    _fields_ = [("StartupInfo", STARTUPINFOW), ("lpAttributeList", ctypes.c_void_p)]


@kernel32.prototype(fails=zero)
def QueryFullProcessImageNameW(hProcess: HANDLE, dwFlags: DWORD, lpExeName: LPWSTR, lpdwSize: PDWORD) -> BOOL: ...


@kernel32.prototype(fails=zero)
def SetProcessAffinityMask(hProcess: HANDLE, dwProcessAffinityMask: DWORD_PTR) -> BOOL: ...


@kernel32.prototype(fails=zero)
def GetProcessAffinityMask(hProcess: HANDLE, lpProcessAffinityMask: PDWORD_PTR, lpSystemAffinityMask: PDWORD_PTR) -> BOOL: ...


@kernel32.prototype(fails=zero)
def CreateJobObjectW(lpJobAttributes: LPSECURITY_ATTRIBUTES, lpName: LPCWSTR) -> HANDLE: ...


@kernel32.prototype(fails=zero)
def AssignProcessToJobObject(hJob: HANDLE, hProcess: HANDLE) -> BOOL: ...


@kernel32.prototype(fails=zero)
def TerminateJobObject(hJob: HANDLE, uExitCode: UINT) -> BOOL: ...


# <winnt.h>
STATUS_PENDING = 0x103
JOBOBJECTINFOCLASS = ctypes.c_uint
PROCESS_TERMINATE = 0x1
PROCESS_VM_READ = 0x10
PROCESS_SET_QUOTA = 0x100
PROCESS_SUSPEND_RESUME = 0x800
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
SYNCHRONIZE = 0x100000
GENERIC_READ = 0x80000000
GENERIC_WRITE = 0x40000000
FILE_APPEND_DATA = 4
FILE_SHARE_READ = 1
FILE_SHARE_WRITE = 2
FILE_SHARE_DELETE = 4
DUPLICATE_SAME_ACCESS = 2
JobObjectBasicProcessIdList = 3
JobObjectAssociateCompletionPortInformation = 7
JobObjectBasicAndIoAccountingInformation = 8
JobObjectBasicAccountingInformation = 1
JobObjectExtendedLimitInformation = 9
JobObjectCpuRateControlInformation = 15
JOB_OBJECT_LIMIT_ACTIVE_PROCESS = 0x8
JOB_OBJECT_LIMIT_JOB_MEMORY = 0x200
JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION = 0x400
JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000
JOB_OBJECT_CPU_RATE_CONTROL_ENABLE = 0x1
JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP = 0x4
JOB_OBJECT_MSG_ACTIVE_PROCESS_ZERO = 4
JOB_OBJECT_MSG_EXIT_PROCESS = 7
JOB_OBJECT_MSG_ABNORMAL_EXIT_PROCESS = 8


class IO_COUNTERS(ctypes.Structure):
    """IO_COUNTERS"""

    _fields_ = [
        ("ReadOperationCount", ctypes.c_uint64),
        ("WriteOperationCount", ctypes.c_uint64),
        ("OtherOperationCount", ctypes.c_uint64),
        ("ReadTransferCount", ctypes.c_uint64),
        ("WriteTransferCount", ctypes.c_uint64),
        ("OtherTransferCount", ctypes.c_uint64),
    ]


class JOBOBJECT_BASIC_LIMIT_INFORMATION(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION"""

    _fields_ = [
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    ]


class JOBOBJECT_EXTENDED_LIMIT_INFORMATION(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION"""

    _fields_ = [
        ("BasicLimitInformation", JOBOBJECT_BASIC_LIMIT_INFORMATION),
        ("IoInfo", IO_COUNTERS),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    ]


class JOBOBJECT_BASIC_ACCOUNTING_INFORMATION(ctypes.Structure):
    """JOBOBJECT_BASIC_ACCOUNTING_INFORMATION"""

    _fields_ = [
        ("TotalUserTime", ctypes.c_int64),
        ("TotalKernelTime", ctypes.c_int64),
        ("ThisPeriodTotalUserTime", ctypes.c_int64),
        ("ThisPeriodTotalKernelTime", ctypes.c_int64),
        ("TotalPageFaultCount", ctypes.c_uint32),
        ("TotalProcesses", ctypes.c_uint32),
        ("ActiveProcesses", ctypes.c_uint32),
        ("TotalTerminatedProcesses", ctypes.c_uint32),
    ]


class JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION(ctypes.Structure):
    """JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION"""

    _fields_ = [("BasicInfo", JOBOBJECT_BASIC_ACCOUNTING_INFORMATION), ("IoInfo", IO_COUNTERS)]


class JOBOBJECT_BASIC_PROCESS_ID_LIST(ctypes.Structure):
    """JOBOBJECT_BASIC_PROCESS_ID_LIST: of variable length; declared with a list of one id"""

    _fields_ = [
        ("NumberOfAssignedProcesses", ctypes.c_uint32),
        ("NumberOfProcessIdsInList", ctypes.c_uint32),
        ("ProcessIdList", ctypes.c_size_t * 1),
    ]


class JOBOBJECT_ASSOCIATE_COMPLETION_PORT(ctypes.Structure):
    """JOBOBJECT_ASSOCIATE_COMPLETION_PORT"""

    _fields_ = [("CompletionKey", ctypes.c_void_p), ("CompletionPort", ctypes.c_void_p)]


class JOBOBJECT_CPU_RATE_CONTROL_INFORMATION(ctypes.Structure):
    """JOBOBJECT_CPU_RATE_CONTROL_INFORMATION"""

    _fields_ = [("ControlFlags", ctypes.c_uint32), ("CpuRate", ctypes.c_uint32)]


# <winbase.h>
@kernel32.prototype(fails=zero)
def QueryInformationJobObject(
    hJob: HANDLE, JobObjectInformationClass: JOBOBJECTINFOCLASS, lpJobObjectInformation: LPVOID,
    cbJobObjectInformationLength: DWORD, lpReturnLength: LPDWORD,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=zero)
def SetInformationJobObject(
    hJob: HANDLE, JobObjectInformationClass: JOBOBJECTINFOCLASS, lpJobObjectInformation: LPVOID,
    cbJobObjectInformationLength: DWORD,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=never)
def WaitForMultipleObjects(nCount: DWORD, lpHandles: const_HANDLE_p, bWaitAll: BOOL, dwMilliseconds: DWORD) -> DWORD: ...


# <jobapi.h>
@kernel32.prototype(fails=zero)
def IsProcessInJob(ProcessHandle: HANDLE, JobHandle: HANDLE, Result: PBOOL) -> BOOL: ...


# <sysinfoapi.h>
@kernel32.prototype(fails=zero)
def GetSystemDirectoryW(lpBuffer: LPWSTR, uSize: UINT) -> UINT: ...


# <synchapi.h>
@kernel32.prototype(fails=never)
def WaitForSingleObject(hHandle: HANDLE, dwMilliseconds: DWORD) -> DWORD: ...


# <handleapi.h>
@kernel32.prototype(fails=zero)
def CloseHandle(hObject: HANDLE) -> BOOL: ...


@kernel32.prototype(fails=zero)
def DuplicateHandle(
    hSourceProcessHandle: HANDLE, hSourceHandle: HANDLE, hTargetProcessHandle: HANDLE, lpTargetHandle: LPHANDLE,
    dwDesiredAccess: DWORD, bInheritHandle: BOOL, dwOptions: DWORD,
) -> BOOL: ...  # fmt: skip


# <ioapiset.h>
LPOVERLAPPED_p = ctypes.c_void_p


@kernel32.prototype(fails=zero)
def CreateIoCompletionPort(
    FileHandle: HANDLE, ExistingCompletionPort: HANDLE, CompletionKey: ULONG_PTR, NumberOfConcurrentThreads: DWORD
) -> HANDLE: ...


@kernel32.prototype(fails=never)
def GetQueuedCompletionStatus(
    CompletionPort: HANDLE, lpNumberOfBytesTransferred: LPDWORD, lpCompletionKey: PULONG_PTR,
    lpOverlapped: LPOVERLAPPED_p, dwMilliseconds: DWORD,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=zero)
def PostQueuedCompletionStatus(
    CompletionPort: HANDLE, dwNumberOfBytesTransferred: DWORD, dwCompletionKey: ULONG_PTR, lpOverlapped: LPOVERLAPPED
) -> BOOL: ...


@kernel32.prototype(fails=never)
def CancelIoEx(hFile: HANDLE, lpOverlapped: LPOVERLAPPED) -> BOOL: ...


@kernel32.prototype(fails=never)
def GetOverlappedResult(hFile: HANDLE, lpOverlapped: LPOVERLAPPED, lpNumberOfBytesTransferred: LPDWORD, bWait: BOOL) -> BOOL: ...


# <namedpipeapi.h>
@kernel32.prototype(fails=zero)
def CreatePipe(hReadPipe: LPHANDLE, hWritePipe: LPHANDLE, lpPipeAttributes: LPSECURITY_ATTRIBUTES, nSize: DWORD) -> BOOL: ...


@kernel32.prototype(fails=invalid_handle)
def CreateNamedPipeW(
    lpName: LPCWSTR, dwOpenMode: DWORD, dwPipeMode: DWORD, nMaxInstances: DWORD, nOutBufferSize: DWORD,
    nInBufferSize: DWORD, nDefaultTimeOut: DWORD, lpSecurityAttributes: LPSECURITY_ATTRIBUTES,
) -> HANDLE: ...  # fmt: skip


# <fileapi.h>
@kernel32.prototype(fails=invalid_handle)
def CreateFileW(
    lpFileName: LPCWSTR, dwDesiredAccess: DWORD, dwShareMode: DWORD, lpSecurityAttributes: LPSECURITY_ATTRIBUTES,
    dwCreationDisposition: DWORD, dwFlagsAndAttributes: DWORD, hTemplateFile: HANDLE,
) -> HANDLE: ...  # fmt: skip


OPEN_EXISTING = 3
CREATE_ALWAYS = 2
OPEN_ALWAYS = 4


@kernel32.prototype(fails=never)
def ReadFile(
    hFile: HANDLE, lpBuffer: LPVOID, nNumberOfBytesToRead: DWORD, lpNumberOfBytesRead: LPDWORD, lpOverlapped: LPOVERLAPPED
) -> BOOL: ...


@kernel32.prototype(fails=never)
def WriteFile(
    hFile: HANDLE, lpBuffer: LPCVOID, nNumberOfBytesToWrite: DWORD, lpNumberOfBytesWritten: LPDWORD, lpOverlapped: LPOVERLAPPED
) -> BOOL: ...


# <processenv.h>
@kernel32.prototype(fails=never)
def GetStdHandle(nStdHandle: DWORD) -> HANDLE: ...


# <consoleapi3.h>
@kernel32.prototype(fails=never)
def GetConsoleProcessList(process_list: LPDWORD, process_count: DWORD) -> DWORD: ...


# <consoleapi2.h>
CTRL_BREAK_EVENT = 1


@kernel32.prototype(fails=zero)
def GenerateConsoleCtrlEvent(ctrl_event: DWORD, process_group_id: DWORD) -> BOOL: ...


# <namedpipeapi.h>
@kernel32.prototype(fails=never)
def PeekNamedPipe(
    hNamedPipe: HANDLE, lpBuffer: LPVOID, nBufferSize: DWORD, lpBytesRead: LPDWORD, lpTotalBytesAvail: LPDWORD,
    lpBytesLeftThisMessage: LPDWORD,
) -> BOOL: ...  # fmt: skip


@kernel32.prototype(fails=zero)
def WaitNamedPipeW(lpNamedPipeName: LPCWSTR, nTimeOut: DWORD) -> BOOL: ...


# <psapi.h>
PPROCESS_MEMORY_COUNTERS = ctypes.c_void_p


class PROCESS_MEMORY_COUNTERS(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS"""

    _fields_ = [
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        ("WorkingSetSize", ctypes.c_size_t),
        ("QuotaPeakPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPagedPoolUsage", ctypes.c_size_t),
        ("QuotaPeakNonPagedPoolUsage", ctypes.c_size_t),
        ("QuotaNonPagedPoolUsage", ctypes.c_size_t),
        ("PagefileUsage", ctypes.c_size_t),
        ("PeakPagefileUsage", ctypes.c_size_t),
    ]


@kernel32.prototype(fails=zero)
def K32GetProcessMemoryInfo(Process: HANDLE, ppsmemCounters: PPROCESS_MEMORY_COUNTERS, cb: DWORD) -> BOOL: ...


# <tlhelp32.h>
LPPROCESSENTRY32W = ctypes.c_void_p
TH32CS_SNAPPROCESS = 2


class PROCESSENTRY32W(ctypes.Structure):
    """PROCESSENTRY32W"""

    _fields_ = [
        ("dwSize", ctypes.c_uint32),
        ("cntUsage", ctypes.c_uint32),
        ("th32ProcessID", ctypes.c_uint32),
        ("th32DefaultHeapID", ctypes.c_size_t),
        ("th32ModuleID", ctypes.c_uint32),
        ("cntThreads", ctypes.c_uint32),
        ("th32ParentProcessID", ctypes.c_uint32),
        ("pcPriClassBase", ctypes.c_int32),
        ("dwFlags", ctypes.c_uint32),
        ("szExeFile", ctypes.c_uint16 * 260),
    ]


@kernel32.prototype(fails=invalid_handle)
def CreateToolhelp32Snapshot(dwFlags: DWORD, th32ProcessID: DWORD) -> HANDLE: ...


@kernel32.prototype(fails=never)
def Process32FirstW(hSnapshot: HANDLE, lppe: LPPROCESSENTRY32W) -> BOOL: ...


@kernel32.prototype(fails=never)
def Process32NextW(hSnapshot: HANDLE, lppe: LPPROCESSENTRY32W) -> BOOL: ...


# <winternl.h>
NTSTATUS = ctypes.c_int32


@ntdll.prototype(fails=negative)
def NtSuspendProcess(ProcessHandle: HANDLE) -> NTSTATUS: ...


@ntdll.prototype(fails=negative)
def NtResumeProcess(ProcessHandle: HANDLE) -> NTSTATUS: ...
