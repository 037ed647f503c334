"""Puts the other folders together: commands, processes, plans, simulation, reports, verification.

The only folder that may import every other one; nothing imports it.
"""
