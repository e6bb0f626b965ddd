"""The words that every room of the API speaks."""

from __future__ import annotations

#: The package that users import, whatever it is called where it is vendored: their classes show this one as their module.
PUBLIC = (__package__ or "").rpartition(".")[0]
