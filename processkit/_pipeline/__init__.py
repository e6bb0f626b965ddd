"""Processes in a chain."""
