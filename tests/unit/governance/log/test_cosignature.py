"""Verifier keys and cosignatures: C2SP's vectors, and what no witness signed."""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from support.witnesses import SEEN_AT, ml_dsa_witness, note_of, tree_of, witness

from fedtrace.governance.log.cosignature import cosignatures, cosigned
from fedtrace.governance.log.keys import KeyKind, VerifierKey
from fedtrace.governance.log.note import NoteError, open_note, parse_note

# Of golang.org/x/mod/sumdb/note, github.com/transparency-dev/formats and the witness network.
KEYS = {
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW": KeyKind.ED25519,
    "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6": KeyKind.ED25519,
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2": (
        KeyKind.COSIGNATURE_ED25519
    ),
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv": (
        KeyKind.COSIGNATURE_ED25519
    ),
    "transparency.dev/DEV:witness-little-garden+d8042a87+"
    "BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM": KeyKind.COSIGNATURE_ED25519,
}
BAD_KEYS = [
    "bananas.sigstore.dev+12344556",
    "rekor.sigstore.dev+12345678+THIS_IS_NOT_BASE64!",
    "rekor.sigstore.dev+12345678+AwEB",
    "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
    "PeterNeumann+00000000+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "PeterNeumann+c74f20a3+",
]
# The example of c2sp.org/tlog-cosignature.
C2SP_NOTE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5"
    "/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJs"
    "X3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()
# Of the tests of filippo.io/torchwood's witness: a log's key, and what it signed.
SIGSUM_KEY = bytes.fromhex("52c05edad1bf5feffa81354faae59a655d9a9a1a793ed2f62c39c26c0be2aecd")
SIGSUM_ORIGIN = "sigsum.org/v1/tree/" + hashlib.sha256(SIGSUM_KEY).hexdigest()
SIGSUM_NOTE = (
    f"{SIGSUM_ORIGIN}\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"
    f"\u2014 {SIGSUM_ORIGIN} 7BKT0gOfNZ1J0So9unY3BZtm2YkPIoNYM/dce0Z2avJDs8dxN6ts9bOSwwrVrbjm6P9K3"
    "ZxpK6jJngOG6YvGGzV/lwo=\n"
).encode()

NOTE = note_of(tree_of(5), "w1", "w2")
TEXT = parse_note(NOTE)[0]
FLIPPED_BYTE = 20


@pytest.mark.parametrize(("text", "kind"), KEYS.items())
def test_published_keys_are_read_and_written(text: str, kind: KeyKind) -> None:
    key = VerifierKey.from_text(text)
    assert (key.kind, key.to_text()) == (kind, text)


@pytest.mark.parametrize("text", BAD_KEYS)
def test_broken_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"verifier key|key of kind|a key's name"):
        VerifierKey.from_text(text)


def test_the_published_checkpoint_opens_with_the_published_key() -> None:
    text = open_note(
        SIGSUM_NOTE, name=SIGSUM_ORIGIN, public_key=base64.b64encode(SIGSUM_KEY).decode()
    )
    assert text.startswith("sigsum.org/v1/tree/")


def test_the_example_states_its_time_where_ours_do() -> None:
    theirs = parse_note(C2SP_NOTE)[1][1]
    ours = parse_note(note_of(tree_of(1), "w1"))[1][1]
    assert struct.unpack(">Q", theirs.signature[:8]) == (1679315147,)
    assert len(theirs.signature) == len(ours.signature) == 8 + 64


def test_an_ed25519_cosignature_is_over_the_words_of_the_specification() -> None:
    signer = witness("w1")
    blob = parse_note(NOTE)[1][1].signature
    seconds = int(SEEN_AT.timestamp())
    signer.private_key.public_key().verify(
        blob[8:], f"cosignature/v1\ntime {seconds}\n{TEXT}".encode()
    )
    assert blob[:8] == seconds.to_bytes(8, "big")


def test_an_ml_dsa_cosignature_is_over_the_structure_of_the_specification() -> None:
    signer = ml_dsa_witness("example.com/pq")
    note = cosigned(note_of(tree_of(5)), [signer.cosign(TEXT, now=SEEN_AT)])
    blob = parse_note(note)[1][1].signature
    message = (
        b"subtree/v1\n\x00\x0eexample.com/pq"
        + blob[:8]
        + b"\x0acounty/log"
        + bytes(8)
        + (5).to_bytes(8, "big")
        + tree_of(5).root()
    )
    MLDSA44PublicKey.from_public_bytes(signer.verifier.public_key).verify(blob[8:], message)
    assert cosignatures(note, [signer.verifier]) == {"example.com/pq": SEEN_AT}


def test_an_ml_dsa_cosignature_does_not_pretend_to_cover_more() -> None:
    with pytest.raises(NoteError, match="origin, size and root alone"):
        ml_dsa_witness("pq").cosign(f"{TEXT}extension\n", now=SEEN_AT)


def test_who_cosigned_and_when() -> None:
    keys = [witness(name).verifier for name in ("w1", "w2", "w3")]
    assert cosignatures(NOTE, keys) == {"w1": SEEN_AT, "w2": SEEN_AT}


def test_extension_lines_are_cosigned_too() -> None:
    text = f"{TEXT}extension 2\n"
    line = witness("w1").cosign(text, now=SEEN_AT)
    note = f"{text}\n{line}\n".encode()
    assert cosignatures(note, [witness("w1").verifier])
    with pytest.raises(NoteError, match="is not valid"):
        cosignatures(note.replace(b"extension 2", b"extension X"), [witness("w1").verifier])


def test_a_witness_that_signed_twice_counts_once_with_the_later_time() -> None:
    later = SEEN_AT + timedelta(hours=1)
    note = cosigned(NOTE, [witness("w1").cosign(TEXT, now=later)])
    assert cosignatures(note, [witness("w1").verifier]) == {"w1": later}


def test_a_log_signature_is_no_cosignature_even_with_the_same_key() -> None:
    signer = witness("county/log")
    assert cosignatures(NOTE, [signer.verifier]) == {}


@pytest.mark.parametrize("make", [witness, ml_dsa_witness], ids=["ed25519", "ml-dsa-44"])
def test_a_changed_cosignature_is_refused(make: type) -> None:
    signer = make("w9")
    line = signer.cosign(TEXT, now=SEEN_AT)
    blob = bytearray(base64.b64decode(line.rsplit(" ", 1)[1]))
    blob[FLIPPED_BYTE] ^= 1
    changed = f"\u2014 w9 {base64.b64encode(blob).decode()}"
    with pytest.raises(NoteError, match="not valid") as error:
        cosignatures(cosigned(NOTE, [changed]), [signer.verifier])
    assert error.value.check == "cosignature"


@pytest.mark.parametrize("seconds", [2**63, 2**63 - 1])
def test_an_impossible_time_is_refused(seconds: int) -> None:
    key = witness("w1")
    message = f"cosignature/v1\ntime {seconds}\n{TEXT}".encode()
    blob = key.verifier.key_id + struct.pack(">Q", seconds) + key.private_key.sign(message)
    line = f"\u2014 w1 {base64.b64encode(blob).decode()}"
    with pytest.raises(NoteError, match="no possible time"):
        cosignatures(cosigned(note_of(tree_of(5)), [line]), [key.verifier])


def test_a_cosignature_without_a_time_does_not_count_as_seen() -> None:
    key = ml_dsa_witness("pq")
    line = key.cosign(TEXT, now=datetime.fromtimestamp(0, UTC))
    assert cosignatures(cosigned(NOTE, [line]), [key.verifier]) == {}


def test_too_many_lines_are_not_verified() -> None:
    lines = [witness("w").cosign(TEXT, now=SEEN_AT)] * 256
    with pytest.raises(NoteError, match="at most 256"):
        cosignatures(cosigned(NOTE, lines), [witness("w").verifier])


def test_a_cut_cosignature_is_refused() -> None:
    key = witness("w1").verifier
    line = f"\u2014 w1 {base64.b64encode(key.key_id + bytes(64)).decode()}"
    with pytest.raises(NoteError, match="not well formed"):
        cosignatures(cosigned(NOTE, [line]), [key])
