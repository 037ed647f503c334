"""Who signed what: distinct keys, the right type, limits on every length."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from support.gate import SCHOOLS, signer
from support.spoiling import SMALL_ORDER

from fedtrace.governance.log.keys import KeyKind, VerifierKey
from fedtrace.governance.signing import (
    ENVELOPE_LIMIT_BYTES,
    KeySigner,
    SignatureError,
    add_signature,
    generate_key,
    is_of_small_order,
    key_id,
    sign_envelope,
    verify_envelope,
)

TYPE = "application/vnd.fedtrace.test+json"
PAYLOAD = b'{"a":1}'
KEYS = {name: signer(name).public_key for name in SCHOOLS}


def sealed(*names: str) -> bytes:
    return sign_envelope(PAYLOAD, TYPE, [signer(name) for name in names])


def test_enough_signatures_name_their_signers() -> None:
    verified = verify_envelope(sealed("school-3", "school-1"), TYPE, KEYS, 2)
    assert verified.payload == PAYLOAD
    assert verified.signers == ("school-1", "school-3")


def test_all_signers_are_named_not_only_as_many_as_needed() -> None:
    assert verify_envelope(sealed(*SCHOOLS), TYPE, KEYS, 1).signers == SCHOOLS


def test_a_school_joins_by_signing_the_same_bytes() -> None:
    joined = add_signature(sealed("school-1"), TYPE, signer("school-2"))
    assert verify_envelope(joined, TYPE, KEYS, 2).signers == ("school-1", "school-2")


def test_one_key_under_two_names_counts_once() -> None:
    keys = {"school-1": KEYS["school-1"], "alias": KEYS["school-1"]}
    with pytest.raises(SignatureError, match="1 of the 2 signatures"):
        verify_envelope(sealed("school-1"), TYPE, keys, 2)


def test_strangers_neither_help_nor_harm() -> None:
    assert verify_envelope(sealed("stranger", "school-2"), TYPE, KEYS, 1).signers == ("school-2",)
    with pytest.raises(SignatureError, match="0 of the 1 signatures"):
        verify_envelope(sealed("stranger"), TYPE, KEYS, 1)


def test_the_same_signature_twice_is_not_an_envelope() -> None:
    envelope = json.loads(sealed("school-1"))
    envelope["signatures"] *= 2
    with pytest.raises(SignatureError, match="not DSSE"):
        verify_envelope(json.dumps(envelope).encode(), TYPE, KEYS, 2)


def test_a_signature_moved_under_another_key_id_does_not_count() -> None:
    envelope = json.loads(sealed("school-1"))
    envelope["signatures"][0]["keyid"] = key_id(KEYS["school-2"])
    with pytest.raises(SignatureError):
        verify_envelope(json.dumps(envelope).encode(), TYPE, KEYS, 1)


def test_another_payload_under_the_signature_is_refused() -> None:
    envelope = json.loads(sealed("school-1"))
    envelope["payload"] = base64.b64encode(b'{"a":2}').decode()
    with pytest.raises(SignatureError):
        verify_envelope(json.dumps(envelope).encode(), TYPE, KEYS, 1)


def test_another_type_is_refused() -> None:
    with pytest.raises(SignatureError, match="does not hold"):
        verify_envelope(sealed("school-1"), "application/vnd.fedtrace.other+json", KEYS, 1)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"payload":1,"payloadType":2,"signatures":3}',
        b'{"payload":"!","payloadType":"","signatures":[]}',
        b'{"payload":"","payloadType":"","signatures":[1]}',
        b'{"payload":"","payloadType":"","signatures":[{"sig":""}]}',
        b'{"payload":"","payloadType":"","signatures":{"a":1}}',
        b"\xff\xfe",
        b"[" * 200_000,
    ],
)
def test_junk_is_one_error(junk: bytes) -> None:
    with pytest.raises(SignatureError):
        verify_envelope(junk, TYPE, KEYS, 1)


def test_a_huge_envelope_is_not_parsed() -> None:
    with pytest.raises(SignatureError, match=str(ENVELOPE_LIMIT_BYTES)):
        verify_envelope(b" " * (ENVELOPE_LIMIT_BYTES + 1), TYPE, KEYS, 1)


def test_more_signatures_than_any_consortium_has_are_not_looked_at() -> None:
    envelope = json.loads(sealed("school-1"))
    envelope["signatures"] = [{"keyid": str(i), "sig": ""} for i in range(4001)]
    with pytest.raises(SignatureError, match="4000"):
        verify_envelope(json.dumps(envelope).encode(), TYPE, KEYS, 1)


def test_a_threshold_of_nobody_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        verify_envelope(sealed("school-1"), TYPE, KEYS, 0)


@pytest.mark.parametrize("key", ["", "AAAA", "x" * 44, "A" * 43 + "B", "A" * 42 + "=="])
def test_only_32_bytes_in_one_encoding_are_a_key(key: str) -> None:
    with pytest.raises(ValueError, match="base64 of 32 bytes"):
        key_id(key)


@pytest.mark.parametrize("raw", SMALL_ORDER, ids=bytes.hex)
def test_a_key_for_which_anybody_can_sign_is_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match="anybody can sign"):
        key_id(base64.b64encode(raw).decode())
    for kind in (KeyKind.ED25519, KeyKind.COSIGNATURE_ED25519):
        with pytest.raises(ValueError, match="anybody can sign"):
            VerifierKey(name="witness", kind=kind, public_key=raw)


def test_such_keys_would_pass_the_signature_check_itself() -> None:
    key, signature = Ed25519PublicKey.from_public_bytes(SMALL_ORDER[0]), SMALL_ORDER[0] + bytes(32)
    for message in (b"yes", b"no"):
        key.verify(signature, message)


@given(st.binary(min_size=32, max_size=32))
def test_other_keys_are_keys(seed: bytes) -> None:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert not is_of_small_order(raw)


def test_a_private_key_survives_its_file_and_is_not_printed() -> None:
    key = generate_key()
    again = KeySigner.from_pem(key.to_pem())
    assert again.public_key == key.public_key
    secret = "".join(key.to_pem().decode().splitlines()[1:-1])
    assert secret not in repr(key)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\x00" * 64])
def test_another_file_is_not_a_key(pem: bytes) -> None:
    with pytest.raises(ValueError, match="PEM private key"):
        KeySigner.from_pem(pem)
