"""The Flower bundle that this installation stands for: configuration, never code.

Flower sends a bundle (FAB) to every school and would run what is in it. Ours holds a
``pyproject.toml`` that names entry points of the installed ``fedtrace`` and a README that says so.
Its SHA-256 stands in the plan that schools sign, so a school can compare three digests that must
be one: of the bundle that arrived, of the bundle that its own installation would build, and in
the plan.

The archive is written uncompressed and with a fixed date, because compressed bytes differ between
zlib versions and the same release must have the same digest everywhere.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib.metadata import version

_DATE = (2024, 10, 1, 0, 0, 0)
_MANIFEST = ".info/CONTENT"

PLAN_DIGEST_KEY = "plan-digest"
"""The one run setting: which accepted plan the server shall run."""

_PYPROJECT = """\
[project]
name = "fedtrace"
version = "{version}"
description = "Names the entry points of an installed fedtrace; carries no code."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "consortium"
flwr-version-target = "{flower}"

[tool.flwr.app.components]
serverapp = "fedtrace.server.app:app"
clientapp = "fedtrace.client.app:app"

[tool.flwr.app.config]
{plan_digest_key} = ""
"""

_README = """\
This bundle contains no program. It names entry points of fedtrace {version}, which a school
installs and updates itself; a school's gate never unpacks it, and refuses one whose SHA-256 is
not the one in the plan that the school has signed.
"""


def fab_digest() -> str:
    """The digest of the bundle as plans name it, ``sha256:<hex>``."""
    return digest_of(build_fab())


def digest_of(fab: bytes) -> str:
    """The digest of any bundle in the form that plans use."""
    return f"sha256:{hashlib.sha256(fab).hexdigest()}"


@cache
def build_fab() -> bytes:
    """The bundle in Flower's format: a zip with a manifest of path, SHA-256 and size in bits."""
    names = {
        "version": version("fedtrace"),
        "flower": version("flwr"),
        "plan_digest_key": PLAN_DIGEST_KEY,
    }
    files = {
        "pyproject.toml": _PYPROJECT.format(**names).encode(),
        "README.md": _README.format(**names).encode(),
    }
    manifest = "\n".join(
        f"{path},{hashlib.sha256(content).hexdigest()},{len(content) * 8}"
        for path, content in files.items()
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as fab:
        for path, content in (*files.items(), (_MANIFEST, manifest.encode())):
            entry = zipfile.ZipInfo(path, _DATE)
            entry.create_system = 3  # else it would name the system that it was built on
            fab.writestr(entry, content)
    return archive.getvalue()
