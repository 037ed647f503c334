"""A list of everything that is installed for fedtrace: CycloneDX 1.5, JSON.

``python -m fedtrace.deploy.sbom > fedtrace.cdx.json`` reads the metadata of this installation and
nothing else, so it says what runs here and not what somebody meant to install. The same
installation gives the same bytes: no time and no random serial number is in it.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(root: str = "fedtrace") -> dict[str, Distribution]:
    """A distribution and all that it needs on this machine, by canonical name.

    Raises:
        PackageNotFoundError: something that is needed is not installed.
    """
    found: dict[str, Distribution] = {}
    waiting = [(canonicalize_name(root), frozenset[str]())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        found[name] = distribution(name)
        for needed in _needed(found[name], extras):
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
    return dict(sorted(found.items()))


def _needed(found: Distribution, extras: frozenset[str]) -> list[tuple[Any, frozenset[str]]]:
    """What it requires where it is installed now, with the extras that were asked for."""
    requirements = [Requirement(line) for line in found.requires or ()]
    return [
        (canonicalize_name(each.name), frozenset(each.extras))
        for each in requirements
        if each.marker is None
        or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def bill_of_materials(found: dict[str, Distribution], root: str = "fedtrace") -> dict[str, Any]:
    """The document; CycloneDX 1.5, sections ``metadata`` and ``components``."""
    components = {name: _component(name, each) for name, each in found.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": components.pop(root) | {"type": "application"}},
        "components": list(components.values()),
    }


def _component(name: str, found: Distribution) -> dict[str, Any]:
    address = f"pkg:pypi/{name}@{found.version}"
    return {
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": found.version,
        "purl": address,
    }


def main() -> None:
    """Write the document to standard output."""
    try:
        document = bill_of_materials(closure())
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is needed and not installed: install fedtrace again")
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
