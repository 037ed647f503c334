"""A process that must not outlive the one that started it.

What is left over of a service that was killed would hold the log, a port or a database, and what is
started in its place would find them taken.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that happens.

    Linux keeps the promise across ``exec``. Elsewhere there is no such call and the ordered
    shutdown of the supervisor is all there is.

    Args:
        parent: The parent's process id. A parent that ended before this call sends no signal
            any more, so that case ends the process here.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if os.getppid() != parent:
        os._exit(1)
