"""The tamper corpus, first part: what somebody without any key, or with a stolen one, can do."""

from __future__ import annotations

from support.bundles import CONSORTIUM, ORIGINS, SCHOOL, Files, honest, lines_of, sign_lines
from support.logs import charter_of, key_of, note_over
from support.tampering import (
    LOG,
    checkpoint,
    copied_school,
    edit,
    invalid_signature,
    lines,
    swap_bytes,
    tampering,
    without,
)

from fedtrace.governance.canonical import digest
from fedtrace.governance.log.note import parse_note, sign_note

SCHOOLS = ["school-1", "school-2", "school-3"]


def _other_charter(*homes: str) -> Files:
    charter = charter_of(SCHOOLS, threshold=1).to_bytes()
    return honest() | {f"{home}/charter.json": charter for home in homes}


def _signed_by(name: str) -> Files:
    files = honest()
    return sign_lines(files, CONSORTIUM, lines_of(files, CONSORTIUM), key_of(name))


def _moved_logs() -> Files:
    files = honest()
    for name in ("entries.jsonl", "checkpoint"):
        files[f"{LOG}/{name}"] = files.pop(f"{SCHOOL}/log/{name}")
    return files


def _strangers_log() -> Files:
    files = honest()
    files["schools/school-9/charter.json"] = files[f"{SCHOOL}/charter.json"]
    files["schools/school-9/log/entries.jsonl"] = b""
    origin = "county/schools/school-9"
    files["schools/school-9/log/checkpoint"] = note_over([], origin, key_of(ORIGINS[CONSORTIUM]))
    return files


def _signed_oddly(files: Files) -> bytes:
    text = parse_note(files[f"{LOG}/checkpoint"])[0].replace("\n20\n", "\n020\n")
    origin = ORIGINS[CONSORTIUM]
    return sign_note(text, name=origin, key=key_of(origin))


def _cut_mid_line() -> Files:
    files = honest()
    files[f"{LOG}/entries.jsonl"] = files[f"{LOG}/entries.jsonl"][:-40]
    return files


FILES = (
    tampering("the charter removed from one home", "input", without(f"{SCHOOL}/charter.json")),
    tampering("the consortium's checkpoint removed", "input", without(f"{LOG}/checkpoint")),
    tampering("the consortium's entries removed", "log.size", without(f"{LOG}/entries.jsonl")),
    tampering("other keys in one home", "input", lambda: _other_charter(SCHOOL)),
    tampering(
        "a lower threshold in every charter",
        "charter",
        lambda: _other_charter(*ORIGINS),
    ),
    tampering("a school left out", "members", without(SCHOOL), warns=True),
    tampering("a school's log twice", "members", copied_school),
    tampering("the consortium's log left out", "members", _moved_logs),
    tampering(
        "a log of somebody whom the charter does not name", "checkpoint.origin", _strangers_log
    ),
)

NOTES = (
    tampering("no checkpoint but text", "checkpoint.format", checkpoint(lambda _: b"county")),
    tampering(
        "an oversize note",
        "input",
        checkpoint(lambda f: f[f"{LOG}/checkpoint"] + b"\xe2\x80\x94 x " + b"A" * 140_000 + b"\n"),
    ),
    tampering(
        "a control character in the note",
        "checkpoint.format",
        edit(f"{LOG}/checkpoint", b"county/log\n20", b"county/log\r\n20"),
    ),
    tampering(
        "another dash before the signature",
        "checkpoint.format",
        edit(f"{LOG}/checkpoint", "\u2014".encode(), "\u2013".encode()),
    ),
    tampering(
        "an origin with a Cyrillic letter that looks the same",
        "checkpoint.origin",
        edit(f"{LOG}/checkpoint", b"county/log\n20", "c\u043eunty/log\n20".encode()),
    ),
    tampering(
        "the number of entries with a zero before it",
        "checkpoint.format",
        edit(f"{LOG}/checkpoint", b"\n20\n", b"\n020\n"),
    ),
    tampering(
        "the number of entries in full-width digits",
        "checkpoint.format",
        edit(f"{LOG}/checkpoint", b"\n20\n", "\n\uff12\uff10\n".encode()),
    ),
    tampering("a zero before a number, signed", "checkpoint.format", checkpoint(_signed_oddly)),
    tampering("signed by a stranger's key", "checkpoint.key", lambda: _signed_by("stranger")),
    tampering(
        "signed by a school's key", "checkpoint.key", lambda: _signed_by("county/schools/school-1")
    ),
    tampering(
        "a bit of the signature flipped",
        "checkpoint.signature",
        checkpoint(lambda f: invalid_signature(f[f"{LOG}/checkpoint"])),
    ),
    tampering(
        "an extension line slipped into the signed text",
        "checkpoint.signature",
        edit(f"{LOG}/checkpoint", b"\n\n", b"\nreviewed by the board\n\n"),
    ),
)

ENTRIES = (
    tampering(
        "other students than were asked, in a school's log",
        "log.root",
        edit(f"{SCHOOL}/log/entries.jsonl", digest(b"cohort").encode(), digest(b"others").encode()),
    ),
    tampering("a digest in an entry changed", "log.root", swap_bytes(f"{LOG}/entries.jsonl", 40)),
    tampering("an entry dropped", "log.size", lambda: lines(lambda all_: [*all_[:5], *all_[6:]])),
    tampering("the last entries cut off", "log.size", lambda: lines(lambda all_: all_[:-3])),
    tampering("the file cut in the middle of an entry", "log.size", _cut_mid_line),
    tampering(
        "two entries in each other's place",
        "log.root",
        lambda: lines(lambda all_: [*all_[:4], all_[5], all_[4], *all_[6:]]),
    ),
    tampering(
        "an entry twice", "log.root", lambda: lines(lambda all_: [*all_[:5], all_[4], *all_[5:-1]])
    ),
    tampering(
        "an unsigned entry at the end", "log.tail", lambda: lines(lambda a: [*a, a[-1]]), warns=True
    ),
    tampering(
        "the noise of a round raised in its entry",
        "log.root",
        edit(f"{LOG}/entries.jsonl", b'"noise_multiplier":"2.5"', b'"noise_multiplier":"9.5"'),
    ),
    tampering(
        "a school's log with the consortium's checkpoint",
        "members",
        checkpoint(lambda f: f[f"{LOG}/checkpoint"], SCHOOL),
    ),
    tampering(
        "the checkpoints of two schools exchanged",
        "log.root",
        checkpoint(lambda f: f["schools/school-2/log/checkpoint"], SCHOOL),
    ),
)
