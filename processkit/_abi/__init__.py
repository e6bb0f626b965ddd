"""Declarations of foreign interfaces, one module per system; the only importer of ctypes."""

from __future__ import annotations

import os


def _import_ctypes() -> None:
    """Import it while no standard descriptor is free, for libffi 3.5 keeps the first one that it gets.

    1. A standard stream of this process is closed. 2. The import of ctypes makes libffi's first trampoline, for which it opens its own
    file, and keeps that open for life (ffi_tramp_init). 3. Were that descriptor 0, our children's input would be a shared object.
    """
    held: list[int] = []
    try:
        while not held or held[-1] <= 2:
            held.append(os.open(os.devnull, os.O_RDONLY))
        import ctypes  # noqa: F401
    finally:
        for descriptor in held:
            os.close(descriptor)


if os.name == "posix":
    _import_ctypes()
