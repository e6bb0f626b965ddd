"""Pure decisions: bytes and times in, lines and actions out. No os, no ctypes, no signal numbers, no threads, no clocks."""
