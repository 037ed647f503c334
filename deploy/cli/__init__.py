"""The ``fedtrace`` command: one module a group of sub-commands, each a thin shell over the code.

A command imports what it runs inside its function, because torch, scipy and matplotlib take seconds
to load and `fedtrace --help` must answer at once.
"""
