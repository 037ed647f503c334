"""Which format a file is in: what was said, or else what its first bytes show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from fedtrace.client.ingest.assistments import ASSISTMENTS_2009
from fedtrace.client.ingest.caliper import Caliper
from fedtrace.client.ingest.datashop import DELIMITER, STUDENT, DataShop
from fedtrace.client.ingest.lines import open_bytes
from fedtrace.client.ingest.mapping import Mapping
from fedtrace.client.ingest.oneroster import OneRoster
from fedtrace.client.ingest.source import Layout
from fedtrace.client.ingest.xapi import Xapi

_HEAD = 64 * 1024
_ZIP = b"PK\x03\x04"
_CALIPER = "purl.imsglobal.org/ctx/caliper"
_XAPI = ('"actor"', '"verb"', '"object"')


class Format(StrEnum):
    """What a school can import."""

    AUTO = "auto"
    ASSISTMENTS = "assistments"
    MAPPING = "mapping"
    DATASHOP = "datashop"
    ONEROSTER = "oneroster"
    CALIPER = "caliper"
    XAPI = "xapi"


def layout_of(
    path: Path, said: Format, *, mapping: Mapping | None, kc_model: str | None
) -> Mapping | Layout:
    """How to read a file.

    Args:
        path: of the export.
        said: its format; with ``AUTO`` it is told by the mapping, or by the file's beginning.
        mapping: the school's own, which goes with no other format.
        kc_model: for DataShop only.

    Raises:
        ValueError: the options contradict one another, or the file could be of two formats.
        OSError: the file cannot be read.
    """
    if said is Format.AUTO:
        said = Format.MAPPING if mapping is not None else _told_by(path)
    if (mapping is not None) != (said is Format.MAPPING):
        raise ValueError(
            "a mapping file and --format mapping go together: give both, or neither of them"
        )
    if kc_model is not None and said is not Format.DATASHOP:
        raise ValueError(f"--kc-model is for DataShop exports, and this is read as {said}")
    if mapping is not None:
        return mapping
    layouts: dict[Format, Mapping | Layout] = {
        Format.ASSISTMENTS: ASSISTMENTS_2009,
        Format.DATASHOP: DataShop(kc_model=kc_model),
        Format.ONEROSTER: OneRoster(),
        Format.CALIPER: Caliper(),
        Format.XAPI: Xapi(),
    }
    return layouts[said]


def _told_by(path: Path) -> Format:
    with open_bytes(path) as stream:
        head = stream.read(_HEAD)
    if head.startswith(_ZIP):
        return Format.ONEROSTER
    text = head.decode("utf-8-sig", errors="replace").lstrip()
    if text.startswith(("{", "[")):
        found = [
            name
            for name, here in (
                (Format.CALIPER, _CALIPER in text),
                (Format.XAPI, all(word in text for word in _XAPI) and _CALIPER not in text),
            )
            if here
        ]
        if len(found) != 1:
            raise ValueError(
                "the file is JSON, but its beginning shows neither Caliper events nor xAPI "
                "statements: say --format caliper or --format xapi"
            )
        return found[0]
    header = [name.strip().strip('"') for name in text.partition("\n")[0].split(DELIMITER)]
    return Format.DATASHOP if STUDENT in header else Format.ASSISTMENTS
