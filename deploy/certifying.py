"""A school's certificate of destruction held against its signature and its log."""

from __future__ import annotations

from pathlib import Path

from fedtrace.deploy.proving import read_one_log
from fedtrace.governance.certificate import Certificate, DestructionReason, open_certificate
from fedtrace.governance.charter import Charter
from fedtrace.governance.errors import Rejected
from fedtrace.governance.log.entries import CohortRemoved, RecordErased, decode_entry
from fedtrace.governance.log.verify import Line, Status
from fedtrace.governance.signing import SignatureError
from fedtrace.governance.witnessing import school_origin

_WHY: dict[DestructionReason, str] = {
    "retention": "because their time was over",
    "request": "because somebody asked for it",
}


def check_certificate(envelope: bytes, charter: Charter, log: Path | None) -> tuple[Line, ...]:
    """Check a certificate, and everything in it against the school's log where that is given.

    Raises:
        ValueError: the path holds no log, or several.
        Corrupt: the log is not whole.
        OSError: it cannot be read.
    """
    try:
        read = open_certificate(envelope, charter)
    except (SignatureError, Rejected) as error:
        return (_line("FAIL", "certificate.signature", f"It is no certificate: {error}."),)
    signed = _line("PASS", "certificate.signature", _said(read))
    if log is None:
        sentence = (
            "No log was given, so nothing shows that the school's log tells of it: ask the school "
            "for an export of its log and add --log."
        )
        return (signed, _line("WARN", "certificate.log", sentence))
    return (signed, _against(read, charter, log))


def _said(read: Certificate) -> str:
    return (
        f"{read.school} signed that it destroyed {len(read.records):,} records and who was in "
        f"{len(read.cohorts):,} rounds, {_WHY[read.reason]}, by "
        f"{read.destroyed_at:%Y-%m-%d %H:%M} UTC, and searched {read.files} files with "
        f"{read.searched_bytes:,} bytes afterwards."
    )


def _against(read: Certificate, charter: Charter, log: Path) -> Line:
    origin = school_origin(charter, read.school)
    one = read_one_log(log)
    if one.origin != origin:
        return _line("FAIL", "certificate.log", f"The log is not {read.school}'s: {one.origin}.")
    told: set[tuple[str, str]] = set()
    for index, line in enumerate(one.lines):
        if b"record.erased" not in line and b"cohort.removed" not in line:
            continue
        entry = decode_entry(line, index=index, origin=origin).entry
        if isinstance(entry, RecordErased):
            told.add((entry.request, entry.token_digest))
        elif isinstance(entry, CohortRemoved):
            told.add((entry.request, entry.cohort_root))
    claimed = {(each.request, each.token_digest) for each in read.records}
    claimed |= {(each.request, each.cohort_root) for each in read.cohorts}
    missing = len(claimed - told)
    if missing:
        return _line(
            "FAIL",
            "certificate.log",
            f"The school's log does not tell of {missing:,} of the {len(claimed):,} things that "
            "the certificate names. Ask the school which of the two is wrong.",
        )
    sentence = f"The school's log tells of all {len(claimed):,} of them."
    return _line("PASS", "certificate.log", sentence)


def _line(status: Status, check: str, sentence: str) -> Line:
    return Line(status=status, check=check, sentence=sentence)
