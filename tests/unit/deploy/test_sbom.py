"""The list of what is installed names what is pinned, and says the same twice."""

import json
import re
from importlib.metadata import version

import pytest
from support.tree import ROOT

from fedtrace.deploy.sbom import bill_of_materials, closure, main


def test_it_names_what_is_installed_and_pinned() -> None:
    document = bill_of_materials(closure())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert document["metadata"]["component"]["version"] == version("fedtrace")
    found = {each["name"]: each["version"] for each in document["components"]}
    assert found["flwr"] == version("flwr")
    assert found["psycopg-binary"] == version("psycopg-binary")  # by an extra
    assert "pytest" not in found
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M)
    names = {name.lower().replace("_", "-").replace(".", "-") for name in pinned}
    assert set(found) - names == set()


def test_two_are_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    first = capsys.readouterr().out
    main()
    assert capsys.readouterr().out == first
    references = [each["bom-ref"] for each in json.loads(first)["components"]]
    assert len(references) == len(set(references)) > 20
