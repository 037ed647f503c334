"""How every child process begins: it asks to die with its parent, then becomes what it is for.

``python -m fedtrace.deploy.network.child PARENT module:function ARGUMENTS...`` runs a command's
entry point in this interpreter. No script has to be on PATH, and no moment passes in which
the child could outlive a parent that was killed with ``kill -9``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from fedtrace.deploy.network.lines import configure_child
from fedtrace.server.parent import die_with_parent


def become(entry_point: str, arguments: Sequence[str]) -> None:
    """Run ``module:function`` as the main program of this process, with this command line."""
    module_name, _, function_name = entry_point.partition(":")
    sys.argv = [function_name.replace("_", "-"), *arguments]
    configure_child()
    getattr(importlib.import_module(module_name), function_name)()


def main(arguments: Sequence[str]) -> None:
    """Become the entry point that the arguments name.

    Raises:
        ValueError: The arguments are not those that ``processes`` passes.
    """
    match arguments:
        case [parent, entry_point, *rest] if parent.isdecimal() and ":" in entry_point:
            die_with_parent(int(parent))
            become(entry_point, rest)
        case _:
            raise ValueError("usage: child PARENT_PROCESS_ID module:function [ARGUMENT ...]")


if __name__ == "__main__":
    main(sys.argv[1:])
