"""Differential privacy for students: clipped sums, noise, coins, accounting, noised metrics.

Pure mathematics on arrays and torch modules. Nothing here reads a file, logs, asks the clock or
knows what a school or a plan is. The privacy unit is one student, the adjacency add-or-remove-one.
Importing this package alone loads neither torch nor numpy.
"""
