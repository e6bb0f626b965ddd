"""The parts that Linux, macOS and the BSDs have in common."""
