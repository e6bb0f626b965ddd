"""The version, literal: a vendored copy has no installed metadata."""

__version__ = "0.1.0"
