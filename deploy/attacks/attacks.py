"""The attacks by the names that the command line takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fedtrace.deploy.attacks.finding import AttackReport, AttackSettings
from fedtrace.deploy.attacks.lira import attack_membership
from fedtrace.deploy.attacks.noise import attack_noise
from fedtrace.deploy.attacks.one_run import attack_canaries
from fedtrace.deploy.attacks.row_leak import attack_rows

ATTACKS: Mapping[str, Callable[[AttackSettings], AttackReport]] = MappingProxyType(
    {
        "row-leak": attack_rows,
        "one-run": attack_canaries,
        "lira": attack_membership,
        "noise": attack_noise,
    }
)


def carry_out(attack: str, settings: AttackSettings) -> AttackReport:
    """Try one attack.

    Raises:
        ValueError: an attack that nobody wrote, or an epsilon that no noise can reach.
    """
    if attack not in ATTACKS:
        raise ValueError(f"unknown attack {attack!r}; known: {', '.join(ATTACKS)}")
    return ATTACKS[attack](settings)
