"""Processes that end as one."""
