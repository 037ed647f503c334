"""The content of a pack's report, ``fedtrace-pack-report/1``; the page shows the same."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from fedtrace.deploy.packs.pack import Source
from fedtrace.deploy.packs.words import EvidenceName, LineStatus, PackName
from fedtrace.deploy.report.model import Count, Status, VerificationLine
from fedtrace.governance.document import Section


class ShownEntry(Section):
    """An entry that proves something, so that anybody can look it up.

    Attributes:
        log: the log's name.
        index: its place there, from 0.
        digest: SHA-256 of its line, without the newline.
        time: when it was written, by the clock of the log's owner.
        type: what kind of entry it is.
    """

    log: str
    index: Count
    digest: str
    time: AwareDatetime
    type: str


class ShownEvidence(Section):
    """What the logs and plans say to one question.

    Attributes:
        name: the question.
        status: how far the answer goes.
        sentence: the answer.
        entries: the newest entries that prove it, oldest first.
        entries_in_all: how many there are.
    """

    name: EvidenceName
    status: LineStatus
    sentence: str
    entries: tuple[ShownEntry, ...]
    entries_in_all: Count


class ReportLine(Section):
    """One thing that the pack asks, and what answers it.

    Attributes:
        id: its name in the pack; ``cites``, ``asks`` and ``person`` are the pack's too.
        status: the worst of its evidence; never ``shown`` where a person has a part.
        evidence: each answer.
    """

    id: str
    cites: str
    asks: str
    status: LineStatus
    evidence: tuple[ShownEvidence, ...]
    person: str | None


class PackReport(Section):
    """One pack held against the logs and plans under a path.

    Attributes:
        created: when the report was made.
        pack: the pack's name; ``title``, ``about`` and ``sources`` are the pack's too.
        consortium: whose logs they are; None where no charter could be read.
        logs: the names of the logs, and how many entries each has.
        plans: digests of the plans whose text was read.
        verification: the worst of ``verification_lines``.
        exit_code: of the command: that of ``fedtrace audit verify``, and at least 1 where
            something that should be here is not shown.
    """

    format: Literal["fedtrace-pack-report/1"] = "fedtrace-pack-report/1"
    created: AwareDatetime
    pack: PackName
    title: str
    about: str
    sources: tuple[Source, ...]
    consortium: str | None
    logs: dict[str, Count]
    plans: tuple[str, ...]
    verification: Status
    verification_lines: tuple[VerificationLine, ...]
    lines: tuple[ReportLine, ...]
    exit_code: Count
