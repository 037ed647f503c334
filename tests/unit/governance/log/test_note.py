"""Signed notes and checkpoints, byte for byte: C2SP's vectors, and what must not open."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from support.logs import key_of, public

from fedtrace.governance.log.checkpoint import (
    LogCheckpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from fedtrace.governance.log.note import (
    NOTE_LIMIT_BYTES,
    NoteError,
    key_id,
    open_note,
    parse_note,
    sign_note,
)

# The example of golang.org/x/mod/sumdb/note, the format's origin.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfq"
    "dngotpRZb6KE6RyyBwJnAM=\n"
).encode()
# The example of c2sp.org/tlog-checkpoint.
C2SP_CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()

ORIGIN = "county/log"
KEY = key_of(ORIGIN)
CHECKPOINT = LogCheckpoint(origin=ORIGIN, size=3, root=bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, KEY)


def test_the_go_example_opens_and_its_key_id_is_ours() -> None:
    name, printed_id, encoded = GO_KEY.split("+", 2)
    raw = base64.b64decode(encoded)[1:]
    assert key_id(name, raw).hex() == printed_id
    text = open_note(GO_NOTE, name=name, public_key=base64.b64encode(raw).decode())
    assert text.startswith("If you think")
    assert text.endswith("is.\n")


def test_the_c2sp_example_is_read_as_it_is_meant() -> None:
    text, signatures = parse_note(C2SP_CHECKPOINT)
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.to_text() == text
    assert [each.name for each in signatures] == ["example.com/behind-the-sofa"]
    assert len(signatures[0].signature) == 64


def test_what_is_signed_opens() -> None:
    assert open_checkpoint(NOTE, origin=ORIGIN, public_key=public(KEY)) == CHECKPOINT


def test_a_note_may_contain_empty_lines() -> None:
    note = sign_note("one\n\ntwo\n", name=ORIGIN, key=KEY)
    assert open_note(note, name=ORIGIN, public_key=public(KEY)) == "one\n\ntwo\n"


def test_other_signatures_neither_help_nor_harm() -> None:
    witness = sign_note(CHECKPOINT.to_text(), name="witness/w", key=key_of("w")).splitlines()[-1]
    namesake = sign_note(CHECKPOINT.to_text(), name=ORIGIN, key=key_of("w")).splitlines()[-1]
    note = NOTE + witness + b"\n" + namesake + b"\n"
    assert open_checkpoint(note, origin=ORIGIN, public_key=public(KEY)) == CHECKPOINT


def test_sixteen_post_quantum_signatures_fit() -> None:
    signature = base64.b64encode(bytes(5000)).decode()
    note = NOTE + "".join(f"\u2014 w{n} {signature}\n" for n in range(16)).encode()
    assert open_checkpoint(note, origin=ORIGIN, public_key=public(KEY)) == CHECKPOINT


def test_extension_lines_are_allowed() -> None:
    note = sign_note(CHECKPOINT.to_text() + "an extension\n", name=ORIGIN, key=KEY)
    assert open_checkpoint(note, origin=ORIGIN, public_key=public(KEY)) == CHECKPOINT


def resigned(change: Callable[[str], str]) -> bytes:
    return sign_note(change(CHECKPOINT.to_text()), name=ORIGIN, key=KEY)


ROOT = base64.b64encode(CHECKPOINT.root).decode()

BAD = {
    "empty": (b"", "format"),
    "no signature": (CHECKPOINT.to_text().encode() + b"\n", "format"),
    "no empty line": (NOTE.replace(b"\n\n", b"\n"), "format"),
    "no newline at the end": (NOTE[:-1], "format"),
    "another character for the last newline": (NOTE[:-1] + b"x", "format"),
    "a root that is not base64": (resigned(lambda text: text.replace(ROOT, "!root!")), "format"),
    "text after the signatures": (NOTE + b"text\n", "format"),
    "two hyphens for the dash": (NOTE.replace("\u2014".encode(), b"--"), "format"),
    "an en dash": (NOTE.replace("\u2014".encode(), "\u2013".encode()), "format"),
    "carriage returns": (NOTE.replace(b"\n", b"\r\n"), "format"),
    "a tab": (NOTE.replace(b"county", b"coun\ty", 1), "format"),
    "a nul": (NOTE.replace(b"county", b"coun\0y", 1), "format"),
    "not UTF-8": (NOTE.replace(b"county", b"\xff\xfe", 1), "format"),
    "a byte order mark": (b"\xef\xbb\xbf" + NOTE, "origin"),
    "url-safe base64": (NOTE[:-3] + b"_-\n", "format"),
    "padding bits that are not zero": (
        resigned(lambda text: text.replace(ROOT, f"{ROOT[:-2]}9=")),
        "format",
    ),
    "a short root": (resigned(lambda text: text.replace(ROOT, "AAAA")), "format"),
    "a size with a zero before it": (resigned(lambda t: t.replace("\n3\n", "\n03\n")), "format"),
    "a size with a sign": (resigned(lambda text: text.replace("\n3\n", "\n+3\n")), "format"),
    "Arabic digits": (resigned(lambda t: t.replace("\n3\n", "\n\u0663\n")), "format"),
    "full-width digits": (resigned(lambda t: t.replace("\n3\n", "\n\uff13\n")), "format"),
    "a size of 2^64": (resigned(lambda t: t.replace("\n3\n", f"\n{2**64}\n")), "format"),
    "no size": (resigned(lambda text: text.replace("\n3\n", "\n")), "format"),
    "an empty extension line": (resigned(lambda text: f"{text}\nextension\n"), "format"),
    "a Cyrillic o in the origin": (resigned(lambda t: t.replace("o", "\u043e", 1)), "origin"),
    "a space after the origin": (resigned(lambda t: t.replace("log\n", "log \n")), "origin"),
    "a combining mark": (resigned(lambda t: t.replace("log\n", "log\u0301\n")), "origin"),
    "another origin": (resigned(lambda text: text.replace("log", "blog")), "origin"),
    "another size": (NOTE.replace(b"\n3\n", b"\n4\n"), "signature"),
    "another root": (
        NOTE.replace(ROOT.encode(), base64.b64encode(bytes(32))),
        "signature",
    ),
    "another key": (sign_checkpoint(CHECKPOINT, key_of("stranger")), "key"),
    "its key under another name": (
        sign_note(CHECKPOINT.to_text(), name="county/blog", key=KEY),
        "key",
    ),
    "a key name with a plus": (sign_note(CHECKPOINT.to_text(), name="a+b", key=KEY), "format"),
    "a no-break space in a key name": (
        sign_note(CHECKPOINT.to_text(), name="a\u00a0b", key=KEY),
        "format",
    ),
    "a signature too short to be one": (NOTE + "\u2014 w AAAA\n".encode(), "format"),
    "a second, invalid signature of the key": (
        NOTE
        + sign_note("other\n", name=ORIGIN, key=KEY).rpartition(b"\n\n")[2],
        "signature",
    ),
    "too long": (b"x" * (NOTE_LIMIT_BYTES + 1), "size"),
}  # fmt: skip


@pytest.mark.parametrize(("note", "check"), BAD.values(), ids=BAD.keys())
def test_what_is_no_checkpoint_of_this_log_fails_a_named_check(note: bytes, check: str) -> None:
    assert note != NOTE
    with pytest.raises(NoteError) as caught:
        open_checkpoint(note, origin=ORIGIN, public_key=public(KEY))
    assert caught.value.check == check
