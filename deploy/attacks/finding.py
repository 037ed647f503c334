"""What an attack was told to do, and what it found, in plain words and in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from fedtrace.privacy.randomness import OsRandom, RandomSource, SeededRandom

Status = Literal["PASS", "WARN", "FAIL"]

EXIT_CODES: Mapping[Status, int] = {"PASS": 0, "WARN": 1, "FAIL": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSettings:
    """How an attack is carried out.

    Attributes:
        epsilon: what the attacked job claims for one student.
        seed: of coins, noise and simulated students, for a run that can be repeated; None takes
            coins and noise from the operating system, as a deployment does.
        short: fewer students, models and rounds: seconds instead of a minute.
    """

    epsilon: float
    seed: int | None
    short: bool

    @property
    def students_seed(self) -> int:
        """Of the simulated students."""
        return self.seed or 0

    def source(self) -> RandomSource:
        """A fresh source of coins and noise."""
        return OsRandom() if self.seed is None else SeededRandom(self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence about what was measured.

    Attributes:
        status: PASS; FAIL where a claim is broken; WARN where a control did not break it.
        check: "claim" or "control".
        sentence: with the value and the bound.
    """

    status: Status
    check: Literal["claim", "control"]
    sentence: str


def claim(sentence: str, *, holds: bool) -> Finding:
    """What was measured where differential privacy is on."""
    return Finding(status="PASS" if holds else "FAIL", check="claim", sentence=sentence)


def control(sentence: str, *, breaks: bool) -> Finding:
    """What was measured where it is off, and has to break the claim to say anything."""
    return Finding(status="PASS" if breaks else "WARN", check="control", sentence=sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """Everything that one attack found.

    Attributes:
        attack: its name on the command line.
        tried: what the attacker knows and does.
        bound: what the claim allows.
        findings: claims first, then controls.
        numbers: every measured value by name; probabilities, shares and epsilons.
    """

    attack: str
    tried: str
    bound: str
    findings: tuple[Finding, ...]
    numbers: Mapping[str, float]

    @property
    def exit_code(self) -> int:
        """0: the claim held and the controls broke it; 1: a control did not; 2: a claim broke."""
        return max(EXIT_CODES[finding.status] for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """The report as ``--json`` prints it."""
        return {
            "attack": self.attack,
            "tried": self.tried,
            "bound": self.bound,
            "exit_code": self.exit_code,
            "findings": [asdict(finding) for finding in self.findings],
            "numbers": dict(self.numbers),
        }


def percent(rate: float) -> str:
    """A share for people."""
    return f"{100 * rate:.3g} %"
