"""A witness of its own: cosigns logs that are shown to it over HTTP, as C2SP's tlog-witness says.

For somebody who is no member and keeps no copy: a state's archive, another consortium, a newspaper.
Members witness by themselves while they answer rounds.
"""

from fedtrace.deploy.witness.home import WitnessHome, alone, create_home, open_home
from fedtrace.deploy.witness.service import witness_service

__all__ = ["WitnessHome", "alone", "create_home", "open_home", "witness_service"]
