"""What can be wrong with a backup, in sentences for the person who needs it now."""

from __future__ import annotations


class BackupError(ValueError):
    """This backup cannot be made, read or restored; nothing was changed."""
