"""The reentrant lock of this package: a signal handler that raises in the midst of a `with` leaves it as it was."""

from __future__ import annotations

import _thread
import sys

if sys.version_info >= (3, 14) and sys.implementation.name == "cpython":

    class Lock(_thread.RLock):
        """`_thread.RLock`, for a Python in which `with` may take it and not give it back.

        1. `with lock:` calls `__enter__`, which is written in C. 2. CPython 3.14 runs signal handlers after that call, before the block
        begins that calls `__exit__`. 3. The handler raises. After a function written in Python it runs none.
        """

        __slots__ = ()

        def __enter__(self) -> bool:
            depth = self._recursion_count()  # type: ignore[attr-defined]
            try:
                return self.acquire()
            except BaseException:
                while self._recursion_count() > depth:  # type: ignore[attr-defined]
                    self.release()
                raise

else:
    Lock = _thread.RLock
