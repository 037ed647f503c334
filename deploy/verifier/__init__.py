"""The verifier as one HTML page, for an officer without an installation: no Python runs in it."""
