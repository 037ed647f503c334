"""Reading the small files that people name on the command line: plans, charters, keys.

What is wrong in one is said with its name before it, because a command often reads several.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedtrace.governance.agreement import add_agreement
from fedtrace.governance.charter import Charter
from fedtrace.governance.document import Document
from fedtrace.governance.errors import PolicyError, Rejected
from fedtrace.governance.plan import PLAN_TYPE, Plan, load_toml
from fedtrace.governance.policy import SchoolPolicy, load_policy_toml
from fedtrace.governance.signing import Signer, unverified_payload

if TYPE_CHECKING:
    from fedtrace.client.ingest.catalogue import Catalogue

LIMIT_BYTES = 16 * 1024 * 1024
"""The largest catalogue has fewer; a larger file is the wrong one."""


def read_document(path: Path) -> bytes:
    """The bytes of a small file.

    Raises:
        ValueError: it is larger than any document of this project.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise ValueError(f"{path} has more than {LIMIT_BYTES:,} bytes: name a smaller file.")
    return content


def read_text(path: Path) -> str:
    """The text of a small file, without a byte-order mark.

    Raises:
        ValueError: it is too large, or not UTF-8.
        OSError: it cannot be read.
    """
    try:
        return read_document(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 (byte {error.start + 1}): save it as UTF-8."
        ) from error


def write_agreement(target: Path, document: Document, signer: Signer) -> None:
    """Sign the document at ``target``, or add to the signatures there; in one step.

    A full disk, or a key that does not sign, leaves what was there.

    Raises:
        ValueError: there is no such folder, what is there is not this document's envelope, or the
            key did not sign.
        OSError: it cannot be read or written.
    """
    before = read_document(target) if target.exists() else None
    with naming(target):
        content = add_agreement(before, document, signer)
    if not target.parent.is_dir():
        raise ValueError(f"there is no folder {target.parent}: make it, or change --envelope.")
    staged = target.with_name(f".{target.name}.tmp")
    try:
        staged.write_bytes(content)
        staged.replace(target)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def read_catalogue(path: Path) -> Catalogue:
    """The names of skills, however the file is laid out: what a plan names is its canonical form.

    Raises:
        PolicyError: no catalogue.
        ValueError, OSError: as `read_document`.
    """
    from fedtrace.client.ingest.catalogue import load_catalogue

    content = read_document(path)
    with naming(path):
        return load_catalogue(content)


@contextmanager
def naming(*paths: Path) -> Iterator[None]:
    """Put the file's name, or all their names, before every sentence about it.

    Raises:
        PolicyError: what is wrong with the file.
    """
    names = ", ".join(map(str, paths))
    try:
        yield
    except Rejected as error:
        raise PolicyError(f"{names}: {error.sentence}") from error
    except ValueError as error:
        raise PolicyError(
            "\n".join(f"{names}: {line}" for line in str(error).splitlines())
        ) from error


def read_plan(path: Path) -> Plan:
    """A plan, from TOML.

    Raises:
        ValueError: it is not one; every problem on a line of its own.
        OSError: it cannot be read.
    """
    text = read_text(path)
    with naming(path):
        return load_toml(text)


def any_plan(path: Path) -> Plan:
    """A plan from its TOML, or from its envelope, whoever signed that.

    Raises:
        ValueError: the file holds neither.
        OSError: it cannot be read.
    """
    if path.suffix == ".toml":
        return read_plan(path)
    content = read_document(path)
    with naming(path):
        return Plan.from_bytes(unverified_payload(content, PLAN_TYPE))


def read_policy(path: Path) -> SchoolPolicy:
    """A school's policy, from TOML.

    Raises:
        ValueError: it is not one; every problem on a line of its own.
        OSError: it cannot be read.
    """
    text = read_text(path)
    with naming(path):
        return load_policy_toml(text)


def read_charter(path: Path) -> Charter:
    """A charter, from its canonical JSON.

    Raises:
        ValueError: it is not one.
        OSError: it cannot be read.
    """
    content = read_document(path)
    with naming(path):
        return Charter.from_bytes(content)
