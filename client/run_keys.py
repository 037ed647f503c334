"""A school's X25519 key of each run: made here, used for one run, never sent, then forgotten.

Without it nobody can take the masks off what the school sent, also not somebody who copied the
messages and gets hold of the school's disk later.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedtrace.client.files import require_private, write_private

_KEY_BYTES = 32


def run_key(directory: Path, *, plan_digest: str, run_id: str) -> X25519PrivateKey:
    """The key of a run; made when it is asked for the first time.

    Keys of earlier runs of the same plan go: a plan has one run at a time.

    Args:
        directory: the school's folder for keys of runs.
        plan_digest: the plan.
        run_id: the run.

    Raises:
        OSError: the key cannot be written or read.
        ValueError: the file is no key.
    """
    plan = hashlib.sha256(plan_digest.encode()).hexdigest()[:16]
    path = directory / f"{plan}-{run_id}.key"
    if not path.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        for old in directory.glob(f"{plan}-*.key"):
            old.unlink()
        write_private(path, X25519PrivateKey.generate().private_bytes_raw().hex().encode("ascii"))
    require_private(path)
    raw = bytes.fromhex(path.read_text(encoding="ascii"))
    if len(raw) != _KEY_BYTES:
        raise ValueError(f"{path.name} holds {len(raw)} bytes, a key has {_KEY_BYTES}")
    return X25519PrivateKey.from_private_bytes(raw)
