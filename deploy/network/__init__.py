"""A federation of real processes: Flower's SuperLink and SuperNodes in the only mode we support.

``provisioning`` makes certificates and keys, ``processes`` starts and ends child processes,
``front`` is the one door that schools can reach, ``control`` speaks to the SuperLink behind it,
and ``federation`` puts all of it together on loopback. ``docs/deployment.md`` has the picture.
"""
