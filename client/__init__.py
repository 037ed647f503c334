"""What runs inside one school: the only place where student rows exist.

Importing, the encrypted vault, the school's database, local training, and the answer to a round.
Nothing below this folder sends anything by itself; ``contribution`` is the one way out.
"""
