"""Executes the decisions of the core: `blocking` in one poll loop, `aio` on a running event loop; both drive a `run`."""
