"""What attacks found, kept beside the card of the model whose claim they attacked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedtrace.deploy.attacks.finding import AttackReport
from fedtrace.server.card import ModelCard
from fedtrace.server.files import write_durably
from fedtrace.server.registry import CARD_FILE, TEXT_FILE, ModelRegistry

ATTACKS_FILE = "attacks.json"


def claimed_epsilon(folder: Path) -> float:
    """The epsilon that a released model's card claims, at delta 1e-5.

    Args:
        folder: the model's folder, with ``card.json``.

    Raises:
        FileNotFoundError: there is no card.
        Corrupt: card and model do not belong together.
        ValueError: the card claims none, or one at another delta.
    """
    privacy = _card(folder).privacy
    if privacy.epsilon is None:
        raise ValueError(f"{folder}: nothing bounds this model's epsilon, so there is no claim")
    if privacy.delta != 1e-5:
        raise ValueError(f"{folder}: its delta is {privacy.delta:g}; the attacks are for 1e-05")
    return privacy.epsilon


def record(report: AttackReport, folder: Path, *, epsilon: float) -> Path:
    """Put a report into ``attacks.json`` and into ``card.md``, in place of the attack's last one.

    ``card.json`` stays as it was released.

    Returns:
        The file with all reports.
    """
    card, path = _card(folder), folder / ATTACKS_FILE
    reports: dict[str, dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else {}
    reports[report.attack] = {"epsilon": epsilon, **report.as_json()}
    write_durably(path, (json.dumps(reports, indent=2, sort_keys=True) + "\n").encode())
    tried = [
        f"{name}, {finding['check']} at epsilon {each['epsilon']:g}: {finding['status']}, "
        f"{finding['sentence']}"
        for name, each in sorted(reports.items())
        for finding in each["findings"]
    ]
    write_durably(folder / TEXT_FILE, card.to_markdown(tried).encode())
    return path


def _card(folder: Path) -> ModelCard:
    if not (folder / CARD_FILE).is_file():
        raise FileNotFoundError(f"{folder} is no released model: it has no {CARD_FILE}")
    _, card = ModelRegistry(folder.parent).load(folder.name)
    return card
