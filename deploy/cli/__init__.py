"""The ``fedtrace`` command: one module a group of sub-commands, each a thin shell over the code."""
