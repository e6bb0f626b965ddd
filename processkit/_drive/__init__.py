"""Executes what the core decides: `blocking` in one poll loop, `aio` on a running event loop; `run` is what both drive."""
