"""Put the verifier's page together: one file, whose own rules allow its script and nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

_SCRIPTS = (
    "notes.js",
    "entries.js",
    "rounds.js",
    "charters.js",
    "plans.js",
    "bundle.js",
    "verdict.js",
    "screen.js",
)


def verifier_page() -> str:
    """The page; its Content-Security-Policy names the hashes of its one script and one style."""
    parts = files(__package__)
    style = parts.joinpath("style.css").read_text(encoding="utf-8")
    script = "".join(parts.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = parts.joinpath("page.html").read_text(encoding="utf-8")
    for name, content in (("policy", policy), ("style", style), ("script", script)):
        page = page.replace(f"{{{{ {name} }}}}", content)
    return page


def _hash(content: str) -> str:
    """As CSP level 3 writes the hash of an inline element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
