"""What can be asked of this machine."""
