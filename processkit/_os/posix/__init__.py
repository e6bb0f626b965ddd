"""What Linux, macOS and the BSDs do alike."""
