"""A thread that replaces a guardian whose end nobody else would see: while processes live that no caller waits for.

Who waits for a child watches the guardian too: waiting.py. But a started process, and a group, may be left alone for hours.
"""

from __future__ import annotations

import _thread
import os
import select
import sys
from errno import EAGAIN

from ..errors import LaunchError
from ..forking import around_fork
from ..lock import Lock
from ..worker import all_signals_blocked
from .descriptors import Held, never_waits, pipe_above
from .guardian import is_missing, mend, watched, when_started

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

#: Seconds for which the thread stays when nobody needs it any more: who starts one process after the other gets one thread.
PATIENCE = 1.0
# Seconds that a fork waits for the thread's end. It may be starting a guardian.
FORK_PATIENCE = 1.0

_lock = Lock()
_shares = 0
_watch: _Watch | None = None


class Vigil:
    """A share in the thread, from its making until `end`; LaunchError where there can be no thread."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        global _shares
        self._held = False
        around_fork(end_thread, resume, _forget)
        with _lock:
            _shares += 1
            self._held = True
            try:
                _begin()
            except BaseException:
                self.end()
                raise
            if _ring not in when_started:
                when_started.append(_ring)

    def end(self) -> None:
        """Give the share back. Idempotent."""
        global _shares
        with _lock:
            if self._held:
                self._held = False
                _shares -= 1
                if not _shares:
                    _ring()

    def __del__(self) -> None:
        if getattr(self, "_held", False):
            self.end()


def _ring() -> None:
    """Have the thread look again: a guardian has been started, or a share was given back."""
    watch = _watch
    if watch is not None:
        watch.ring()


class _Watch:
    """The thread and the pipe that wakes it. It owns both ends until its thread has ended, and closes them then."""

    __slots__ = ("_ears", "_lock", "_over", "_voice", "is_to_end")

    def __init__(self) -> None:
        self.is_to_end = False
        self._lock = Lock()
        ears, voice = pipe_above()
        self._ears, self._voice = Held(ears), Held(voice)
        never_waits(voice)
        # Locked while the thread lives.
        self._over = _thread.allocate_lock()
        self._over.acquire()
        try:
            with all_signals_blocked():
                _thread.start_new_thread(self._live, ())
        except RuntimeError as error:
            self.close()
            raise LaunchError.of("pthread_create", EAGAIN) from error

    def ring(self) -> None:
        """Have the thread look again at what is asked of it."""
        try:
            with self._lock:  # the thread closes the pipe at its end
                if self._voice.is_ours():
                    os.write(self._voice.number, b"x")
        except BlockingIOError:
            pass  # it has been rung often enough

    def join(self, seconds: float) -> bool:
        """Wait for the thread's end; False after so many seconds."""
        if not self._over.acquire(timeout=seconds):
            return False
        self._over.release()
        return True

    def close(self) -> None:
        """Close the pipe. Idempotent."""
        with self._lock:
            self._ears.close()
            self._voice.close()

    def forget(self) -> None:
        """In a forked child: the thread, which may hold the lock, does not exist there."""
        self._lock = Lock()
        self.close()

    def _live(self) -> None:
        try:
            while not self._is_over():
                self._look()
        finally:
            _leave(self)
            self.close()
            self._over.release()

    def _is_over(self) -> bool:
        return self.is_to_end or not self._ears.is_ours()  # the program has closed it: nobody could wake us

    def _look(self) -> None:
        """Wait for the guardian's end, or for a ring; having no share, end after a while."""
        poller = select.poll()
        poller.register(self._ears.number, select.POLLIN)
        guard, who = watched()
        if guard >= 0:
            poller.register(guard, select.POLLIN)
        rung = {descriptor for descriptor, _ in poller.poll(None if _shares and not is_missing() else PATIENCE * 1000)}
        if self._ears.number in rung and self._ears.is_ours():
            os.read(self._ears.number, 4096)
        elif guard in rung or (not rung and is_missing()):
            mend(who)
        elif not rung:
            _end_unless_shared(self)


def _begin() -> None:
    """Have the thread live. Called under the lock."""
    global _watch
    if _watch is None:
        _watch = _Watch()


def _end_unless_shared(watch: _Watch) -> None:
    """Decided under the lock that `Vigil` holds, so that no share arrives in between."""
    global _watch
    with _lock:
        if not _shares:
            watch.is_to_end = True
            if _watch is watch:
                _watch = None


def _leave(watch: _Watch) -> None:
    """The thread of `watch` ends; if there are shares, for a reason of its own, the next share begins another one."""
    global _watch
    with _lock:
        if _watch is watch:
            _watch = None


def end_thread() -> None:
    """End the thread, although there may be shares: the next share begins another one."""
    global _watch
    with _lock:
        watch, _watch = _watch, None
    if watch is not None:
        watch.is_to_end = True
        watch.ring()
        watch.join(FORK_PATIENCE)


def resume() -> None:
    """Begin again, if there are shares. After a fork, in the parent: before it we end the thread, so that the child is the copy
    of a process of one thread as far as that is up to us.
    """
    with _lock:
        if _shares:
            try:
                _begin()
            except OSError:
                pass  # the next share tries again, and says so


def _forget() -> None:
    """After the fork, in the child: the processes are the parent's."""
    global _lock, _shares, _watch
    _lock = Lock()
    _shares = 0
    watch, _watch = _watch, None
    if watch is not None:
        watch.forget()
