"""One started process."""
