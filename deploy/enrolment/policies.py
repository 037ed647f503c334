"""The policy that a joining school starts with: its own, or a careful one to be looked at."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fedtrace.client.files import write_private
from fedtrace.deploy.enrolment.joining import POLICY_FILE
from fedtrace.governance.policy import SchoolPolicy, load_policy_toml

_TEMPLATE = "example-school-policy.toml"
_TEMPLATE_SCHOOL = 'school = "school-1"'


def careful_policy(school: str) -> str:
    """The built-in policy for a school, as TOML with its comments."""
    text = (files("fedtrace.deploy") / "policies" / _TEMPLATE).read_text("utf-8")
    if _TEMPLATE_SCHOOL not in text:
        raise ValueError(f"{_TEMPLATE} does not hold the line {_TEMPLATE_SCHOOL}")
    return text.replace(_TEMPLATE_SCHOOL, f'school = "{school}"')


def require_policy_of(school: str, policy: SchoolPolicy) -> None:
    """Refuse the policy of another school.

    Raises:
        ValueError: it names another one.
    """
    if policy.school != school:
        raise ValueError(f"it is the policy of {policy.school}; the invite is for {school}")


def place_policy(home: Path, text: str, *, replace: bool) -> Path:
    """Put the policy where a person looks at it, and where it is read when the school is approved.

    Args:
        home: the school's.
        text: TOML.
        replace: whether a file that is there, and may have been edited, gives way.
    """
    path = home / POLICY_FILE
    if replace or not path.exists():
        write_private(path, text.encode("utf-8"), replace=True)
    return path


def placed_policy(home: Path) -> SchoolPolicy:
    """The policy that lies there.

    Raises:
        ValueError: it was edited into something that is none; every problem on a line.
        OSError: it cannot be read.
    """
    path = home / POLICY_FILE
    try:
        return load_policy_toml(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
