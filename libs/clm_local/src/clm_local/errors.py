"""The one error of the local commands: what is wrong on this machine and how to mend it."""

from __future__ import annotations

from clm_common.errors import ClmError


class LocalError(ClmError):
    """Something this machine lacks or refuses; the command ends with its sentence."""
