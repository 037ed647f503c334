"""The cryptography of the vault: data keys, sealed records, and tokens for student numbers.

Two keys are derived from the school's one secret, so that neither use weakens the other: one
wraps the students' data keys, one hashes the school's own student numbers.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedtrace.governance.errors import Corrupt

SCHOOL_KEY_BYTES = 32

SkillArray = npt.NDArray[np.int32]
AnswerArray = npt.NDArray[np.int8]

_NONCE_BYTES = 12
_COUNT = struct.Struct("<I")
_PADDED_TO_BYTES = 512
"""Records fill up to a multiple of this, so that a file's sizes do not tell who worked how much."""

_WRAPPING = b"fedtrace vault 1: wrap data keys"
_HASHING = b"fedtrace vault 1: hash student numbers"
_BURYING = b"fedtrace vault 1: erased student numbers"
_RECORD = b"fedtrace vault 1: record of "
_DATA_KEY = b"fedtrace vault 1: data key of "

CONSENT = b"fedtrace vault 1: consent of "
"""What `Sealer.seal_bytes` binds a student's consents to, so that they are never taken for else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentRecord:
    """One student's minimised interactions, in time order, under the school's student number.

    Attributes:
        external_id: the school's own number or name for the student; it is hashed, never stored.
        skills: int32 [interactions], ids of the skill catalogue.
        correct: int8 [interactions], 0 or 1.
    """

    external_id: str
    skills: SkillArray
    correct: AnswerArray

    def __repr__(self) -> str:
        return f"StudentRecord({len(self.skills)} interactions)"


class Sealer:
    """Seals and opens records under the school's secret key.

    Guarantees: a record opens only with its own data key and under its own token, so rows cannot
    be swapped between students; a data key is used with random 96-bit nonces for a handful of
    records at most (NIST SP 800-38D allows 2**32 under one key).

    Args:
        school_key: 32 secret bytes that never leave the school.

    Raises:
        ValueError: the key has another length.
    """

    def __init__(self, school_key: bytes) -> None:
        if len(school_key) != SCHOOL_KEY_BYTES:
            raise ValueError(f"a vault key has {SCHOOL_KEY_BYTES} bytes, not {len(school_key)}")
        self._wrapping = AESGCM(_derived(school_key, _WRAPPING))
        self._hashing_key = _derived(school_key, _HASHING)
        self._burying_key = _derived(school_key, _BURYING)

    def __repr__(self) -> str:
        return "Sealer()"

    def hash_of(self, external_id: str) -> bytes:
        """A keyed hash of a student number: the same for the same number, useless without the key.

        Numbers come from small sets, so an unkeyed hash would be undone by trying them all.
        """
        return _keyed_hash(self._hashing_key, external_id)

    def tombstone_of(self, external_id: str) -> bytes:
        """What is kept of an erased student's number: another hash than `hash_of`'s, on purpose.

        It recognises the number in a later import and cannot be linked to anything stored before.
        """
        return self.tombstone_from(self.hash_of(external_id))

    def tombstone_from(self, external_id_hash: bytes) -> bytes:
        """The same from what `hash_of` gave, where nobody says the number."""
        return hmac.digest(self._burying_key, external_id_hash, "sha256")

    def new_wrapped_key(self, token: str) -> bytes:
        """A fresh data key from the OS generator, wrapped for one student."""
        return _encrypt(self._wrapping, AESGCM.generate_key(256), _DATA_KEY + token.encode())

    def seal(self, token: str, wrapped_key: bytes, record: StudentRecord) -> bytes:
        """Encrypt a record with the student's data key.

        Raises:
            ValueError: skills and answers differ in number.
            Corrupt: the wrapped key is not this student's, or not this school's.
        """
        plain = _encode(record.skills, record.correct)
        return self.seal_bytes(_RECORD, token, wrapped_key, plain)

    def open(self, token: str, wrapped_key: bytes, sealed: bytes) -> tuple[SkillArray, AnswerArray]:
        """Decrypt a record into skills and answers, both read-only.

        Raises:
            Corrupt: the record or its key was changed, or belongs to another student or school.
        """
        return _decode(self.open_bytes(_RECORD, token, wrapped_key, sealed))

    def seal_bytes(self, what: bytes, token: str, wrapped_key: bytes, plain: bytes) -> bytes:
        """Encrypt something about a student, filled up with spaces, which JSON allows.

        Raises:
            Corrupt: the wrapped key is not this student's, or not this school's.
        """
        filled = plain.ljust(len(plain) + -len(plain) % _PADDED_TO_BYTES)
        return _encrypt(self._data_key(token, wrapped_key), filled, what + token.encode())

    def open_bytes(self, what: bytes, token: str, wrapped_key: bytes, sealed: bytes) -> bytes:
        """Decrypt it.

        Raises:
            Corrupt: it or its key was changed, or belongs to another student or school.
        """
        return _decrypt(self._data_key(token, wrapped_key), sealed, what + token.encode())

    def _data_key(self, token: str, wrapped_key: bytes) -> AESGCM:
        return AESGCM(_decrypt(self._wrapping, wrapped_key, _DATA_KEY + token.encode()))


def _keyed_hash(key: bytes, external_id: str) -> bytes:
    return hmac.digest(key, external_id.encode("utf-8", "surrogatepass"), "sha256")


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _encrypt(key: AESGCM, plain: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + key.encrypt(nonce, plain, bound_to)


def _decrypt(key: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    try:
        return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise Corrupt("a record of the vault does not open with this school's key") from error


def _encode(skills: SkillArray, correct: AnswerArray) -> bytes:
    """Count, skills, answers, zeros: little-endian, see docs/formats/vault.md."""
    if len(skills) != len(correct):
        raise ValueError(f"{len(skills)} skills and {len(correct)} answers do not match")
    plain = (
        _COUNT.pack(len(skills)) + skills.astype("<i4").tobytes() + correct.astype("i1").tobytes()
    )
    return plain + bytes(-len(plain) % _PADDED_TO_BYTES)


def _decode(plain: bytes) -> tuple[SkillArray, AnswerArray]:
    (count,) = _COUNT.unpack_from(plain)
    skills = np.frombuffer(plain, dtype="<i4", count=count, offset=_COUNT.size)
    answers = np.frombuffer(plain, dtype="i1", count=count, offset=_COUNT.size + 4 * count)
    return skills, answers
