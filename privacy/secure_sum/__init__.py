"""A sum of integer vectors whose parts nobody sees, also not the server that adds them up.

Bonawitz et al. 2017 ("Practical Secure Aggregation for Privacy-Preserving Machine Learning",
figure 4 with the consistency check), on the sparse graph of Bell et al. 2020 ("Secure Single-Server
Aggregation with (Poly)Logarithmic Overhead") above 53 members. Pure mathematics: who signs what
and what travels how is the business of others.

::

    keys      every member's X25519 key of the run              (once a run)
    masked    input + masks; every secret seed in shares        everybody who is there
    agreed    the survivors sign who the survivors are          before anything is revealed
    revealed  shares: the self mask of a survivor, the pair masks of the lost; never both
"""
