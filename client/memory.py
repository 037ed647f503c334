"""What the school's own log knows and a disk that was set back has forgotten.

A backup that is restored, or a disk that was set back by a hand, brings old files back. The log
beside them may be newer: it says which records were erased and which rounds were paid for. So
records are erased again before anybody can use them, and a node whose ledger lacks a round that
its log tells of answers nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from fedtrace.client.vault import Vault
from fedtrace.governance.canonical import digest
from fedtrace.governance.ledger import LedgerEntry
from fedtrace.governance.log.entries import RecordErased, RoundReserved
from fedtrace.governance.log.log import Log

logger = logging.getLogger(__name__)

_Round = tuple[str, str, int, str]
_Wanted = TypeVar("_Wanted", RecordErased, RoundReserved)


def erase_again(vault: Vault, log: Log) -> int:
    """Erase the records that the log says were erased, where the vault has them.

    A hold does not keep them: the log says that they were gone, so it was placed or lifted in a
    past that is no more.

    Args:
        vault: possibly of an older backup.
        log: verified.

    Returns:
        How many there were.

    Raises:
        TimeoutError: another process is reading; the records are unreadable already.
        Corrupt: bytes of a record are still in the files.
        OSError: a file cannot be written.
    """
    erased = {entry.token_digest for entry in _entries(log, 0, RecordErased)}
    if not erased:
        return 0
    back = [token for token in vault.tokens() if digest(token.encode()) in erased]
    if back:
        vault.erase_again(back)
        logger.warning(
            "%d records had come back with older files and were erased again: the log says so",
            len(back),
        )
    return len(back)


class PaidRounds:
    """The rounds that the log says were paid for, read once and then as it grows."""

    def __init__(self) -> None:
        self._read = 0
        self._reserved: Counter[_Round] = Counter()

    def forgotten(self, log: Log, ledger: Iterable[LedgerEntry]) -> bool:
        """Whether the ledger lacks one: it was set back.

        A round that was asked for several times has an entry for each, in both. The ledger comes
        first, so a crash leaves it with more entries than the log, never with fewer.

        Args:
            log: the school's own, verified.
            ledger: every entry.
        """
        for entry in _entries(log, self._read, RoundReserved):
            self._reserved[entry.plan_digest, entry.run_id, entry.round, entry.kind] += 1
        self._read = len(log)
        events = (entry.event for entry in ledger)
        paid = Counter((each.plan_digest, each.run_id, each.round, each.kind) for each in events)
        return not self._reserved <= paid


def _entries(log: Log, start: int, kind: type[_Wanted]) -> Iterator[_Wanted]:
    """The entries of a type, from an index on; only these are decoded."""
    named = b'"type":"%s"' % kind.type.encode()
    for index in range(start, len(log)):
        if named in log.line(index):
            entry = log.entry(index).entry
            if isinstance(entry, kind):
                yield entry
