"""Keys, seeds and masks: what two members share, and the numbers that it stretches into."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

WordArray = npt.NDArray[np.uint32]

_SEED_BYTES = 32
_ZERO_COUNTER = bytes(16)  # every key encrypts one stream
_ZERO_NONCE = bytes(12)  # every key seals one message


def pair_secret(own: X25519PrivateKey, other: bytes, *, run: str, members: frozenset[str]) -> bytes:
    """32 bytes that only these two members know, bound to the run and to both names.

    X25519 (RFC 7748), then HKDF-SHA256 (RFC 5869).

    Args:
        own: this member's key of the run.
        other: the other's public key, 32 bytes, whose origin was checked.
        run: what names the run, the plan included.
        members: both names.

    Raises:
        ValueError: a public key that is none, or of small order.
    """
    agreed = own.exchange(X25519PublicKey.from_public_bytes(other))
    label = "\n".join(("fedtrace/secure-sum/pair", run, *sorted(members)))
    return HKDF(SHA256(), _SEED_BYTES, salt=None, info=label.encode()).derive(agreed)


def derive(secret: bytes, purpose: str, *context: str, size: int = _SEED_BYTES) -> bytes:
    """Bytes for one purpose in one round: HKDF-SHA256's expansion (RFC 5869, section 2.3).

    Args:
        secret: 32 uniform bytes.
        purpose: what they are for.
        context: what they are bound to: the order, names.
        size: how many; at most 8160.
    """
    info = "\n".join((f"fedtrace/secure-sum/{purpose}", *context)).encode()
    block, blocks = b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(secret, block + info + bytes([counter]), hashlib.sha256)
        blocks += block
    return blocks[:size]


def mask(seed: bytes, size: int) -> WordArray:
    """uint32 [size]: an AES-256-CTR keystream under the seed."""
    cipher = Cipher(AES256(seed), CTR(_ZERO_COUNTER))
    return np.frombuffer(cipher.encryptor().update(bytes(4 * size)), dtype="<u4")


SEAL_BYTES = 16
"""How much longer a sealed message is."""


def seal(key: bytes, message: bytes, context: bytes) -> bytes:
    """AES-256-GCM under a key that seals this one message."""
    return AESGCM(key).encrypt(_ZERO_NONCE, message, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        cryptography.exceptions.InvalidTag: another key, context or message.
    """
    return AESGCM(key).decrypt(_ZERO_NONCE, sealed, context)
