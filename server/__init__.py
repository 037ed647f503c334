"""The consortium's side: it asks schools, checks and sums protected updates, never sees a row.

``round`` runs one training job over ports (transport, store, clock), ``acceptance`` checks what
comes back, ``aggregation`` turns sums into checkpoints, ``store`` keeps them, ``registry`` hands
out the released models. ``app`` is the only module that knows Flower. Nothing here loads torch.
"""
