"""Declarations of foreign interfaces, one module per system; the only importer of ctypes."""
