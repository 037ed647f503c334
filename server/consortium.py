"""A consortium's home directory: opening it, making it, activating plans.

::

    <home>/consortium.toml   settings           <home>/keys/{aggregator,log}.pem   (0600)
    <home>/charter.json      the charter        <home>/consortium.db               the database
    <home>/log/              the audit log      <home>/plans/<digest>/             the plans
    <home>/models/<name>/    released models    <home>/nodes.json                  Flower's node ids
    <home>/restored.json     only after a restore, until the witnesses were asked
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field

from fedtrace.governance.charter import Aggregator, Charter, LogKey, Member
from fedtrace.governance.charter_history import (
    CHARTER_FILE,
    CharterHistory,
    next_file,
    read_charters,
)
from fedtrace.governance.document import Section
from fedtrace.governance.errors import PolicyError
from fedtrace.governance.ledger import Accountant
from fedtrace.governance.log.charters import told_other
from fedtrace.governance.log.entries import (
    CharterAdopted,
    PlanActivated,
    PlanRevoked,
    decimal,
)
from fedtrace.governance.log.log import Log
from fedtrace.governance.plan_signing import SignedPlan
from fedtrace.governance.revocation import SignedRevocation
from fedtrace.governance.signing import KeySigner, Signer, generate_key, read_private_key
from fedtrace.privacy.accounting import epsilon
from fedtrace.server.accounting import remembering
from fedtrace.server.files import write_durably
from fedtrace.server.plans import PlanShelf
from fedtrace.server.publishing import publish
from fedtrace.server.registry import ModelRegistry
from fedtrace.server.restored import require_confirmed
from fedtrace.server.store import DATABASE_VARIABLE, ConsortiumStore

logger = logging.getLogger(__name__)

SETTINGS_FILE = "consortium.toml"
DATABASE_FILE = "consortium.db"
AGGREGATOR_KEY_FILE = "keys/aggregator.pem"
LOG_KEY_FILE = "keys/log.pem"
LOG_FOLDER = "log"
PLANS_FOLDER = "plans"
MODELS_FOLDER = "models"


class Settings(Section):
    """``consortium.toml``.

    Attributes:
        student_year_first_month: when the student-year starts in the consortium's own ledger; a
            school's ledger follows the school's policy.
    """

    student_year_first_month: Annotated[int, Field(ge=1, le=12)] = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Consortium:
    """Everything a job needs that is not a school and not the time.

    Attributes:
        home: the directory.
        charters: the root of trust, in all its versions.
        settings: ``consortium.toml``.
        aggregator: signs orders and records.
        store: the database.
        log: the audit log, held open by this process alone.
        plans: activated plans.
        registry: released models.
        accountant: events -> epsilon.
        entropy: random bytes for run ids and nonces, from the operating system.
    """

    home: Path
    charters: CharterHistory
    settings: Settings
    aggregator: Signer
    store: ConsortiumStore
    log: Log
    plans: PlanShelf
    registry: ModelRegistry
    accountant: Accountant
    entropy: Callable[[int], bytes]

    @property
    def charter(self) -> Charter:
        """The version in force."""
        return self.charters.current

    def publish_staged(self) -> None:
        """Bring the log up to what the database has decided.

        Raises:
            Corrupt: they contradict each other.
        """
        publish(self.log, self.store.staged())

    def require_told_charter(self, *coming: Charter) -> None:
        """Refuse to go on under a charter that is not the last one that the log told of.

        Args:
            coming: a next version that may have been told already: a crash came before its file.

        Raises:
            PolicyError: ``charter.json`` is an older one, put back or left by a crash.
        """
        told = told_other(self.log.entries(), self.charter, *coming)
        if told is None:
            return
        version = self.charter.version
        raise PolicyError(
            f"{CHARTER_FILE} is version {version}, and the log tells of another version "
            f"{version + 1} or later, {told}: adopt it with fedtrace consortium charter adopt "
            f"{next_file(version + 1)}, or restore the newest backup of this home"
        )

    def activate_plan(
        self, envelope: bytes, *, catalogue: bytes, initial_parameters: bytes, now: datetime
    ) -> SignedPlan:
        """Keep a plan that enough schools signed, and log it once.

        Raises:
            Refused: R01, too few members signed it.
            PolicyError: it cannot be read, catalogue or parameters are not the plan's, this home
                was restored and nobody knows yet whether its log is the newest, or as
                `require_told_charter`.
        """
        require_confirmed(self.home)
        self.require_told_charter()
        signed = self.plans.add(
            envelope,
            catalogue=catalogue,
            initial_parameters=initial_parameters,
            charter=self.charter,
        )
        self.publish_staged()
        entry = PlanActivated(
            plan_digest=signed.digest,
            signers=signed.signers,
            trust_mode=signed.plan.privacy.trust_mode,
            epsilon_job=decimal(signed.plan.privacy.epsilon_job),
            delta=decimal(signed.plan.privacy.delta),
        )
        if all(logged.entry != entry for logged in self.log.entries()):
            self.log.append(entry, now=now)
        return signed

    def revocation_of(self, plan_digest: str, *, now: datetime) -> SignedRevocation | None:
        """Whether a plan was taken back; if it was, the log says so when this returns.

        Raises:
            Corrupt: what is kept as its revocation is none.
        """
        signed = self.plans.revocation(plan_digest, self.charters)
        if signed is None:
            return None
        self.publish_staged()
        entry = PlanRevoked(
            plan_digest=plan_digest, signers=signed.signers, reason=signed.revocation.reason
        )
        if plan_digest not in self._told_revocations():
            self.log.append(entry, now=now)
        return signed

    def _told_revocations(self) -> frozenset[str]:
        """The plans whose revocation the log tells of, by whichever version it was agreed to."""
        found = (each.entry for each in self.log.entries() if each.kind is PlanRevoked)
        return frozenset(entry.plan_digest for entry in found if isinstance(entry, PlanRevoked))

    def close(self) -> None:
        """Let database and log go."""
        self.store.close()
        self.log.close()


def initialise_consortium(
    home: Path,
    *,
    name: str,
    members: Sequence[Member],
    threshold: int,
    now: datetime,
    people_per_member: int = 1,
    witness_quorum: int | None = None,
    aggregator_name: str = "aggregator",
    accountant: Accountant = epsilon,
) -> Consortium:
    """Make a consortium's home: new keys, the charter, an empty database, the log's first entry.

    Args:
        home: a directory that does not hold a consortium yet.
        name: the consortium's; its log's origin is ``<name>/log``.
        members: the schools with their public keys.
        threshold: how many of them must agree to a plan.
        now: the time of the first entry.
        people_per_member: how many people of a member must sign for it to agree.
        witness_quorum: how many of them must cosign the log; None: the usual number.
        aggregator_name: who orders rounds.
        accountant: events -> epsilon.

    Raises:
        FileExistsError: there is a consortium already.
        ValueError: the charter's rules are broken.
    """
    if (home / CHARTER_FILE).exists():
        raise FileExistsError(f"{home} holds a consortium already")
    aggregator, log_key = generate_key(), generate_key()
    charter = Charter(
        consortium=name,
        threshold=threshold,
        people_per_member=people_per_member,
        witness_quorum=witness_quorum,
        aggregator=Aggregator(name=aggregator_name, public_key=aggregator.public_key),
        log=LogKey(origin=f"{name}/log", public_key=log_key.public_key),
        members=tuple(members),
    )
    (home / AGGREGATOR_KEY_FILE).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(home / AGGREGATOR_KEY_FILE, aggregator.to_pem(), mode=0o600)
    write_durably(home / LOG_KEY_FILE, log_key.to_pem(), mode=0o600)
    settings = f"student_year_first_month = {Settings().student_year_first_month}\n"
    write_durably(home / SETTINGS_FILE, settings.encode())
    # The charter comes last: a home with one is complete.
    write_durably(home / CHARTER_FILE, charter.to_bytes())
    consortium = open_consortium(home, accountant=accountant)
    consortium.log.append(CharterAdopted(charter_digest=charter.digest()), now=now)
    return consortium


def open_consortium(
    home: Path,
    *,
    accountant: Accountant = epsilon,
    entropy: Callable[[int], bytes] = os.urandom,
    database: str | None = None,
) -> Consortium:
    """Open a consortium's home for running jobs.

    Args:
        home: made by `initialise_consortium`.
        accountant: events -> epsilon.
        entropy: random bytes.
        database: its URL; None for the one that `database_url` names.

    Raises:
        PolicyError: settings or charter cannot be read, or a key is not the charter's.
        Corrupt: database or log contradict themselves or each other.
        OSError: a file is missing, or another process has the log open.
    """
    settings, charters = _settings(home), read_charters(home)
    charter = charters.current
    aggregator = KeySigner(_private_key(home / AGGREGATOR_KEY_FILE))
    if aggregator.public_key != charter.aggregator.public_key:
        raise PolicyError(f"{AGGREGATOR_KEY_FILE} is not the aggregator's key in the charter")
    log_key = _private_key(home / LOG_KEY_FILE)
    if KeySigner(log_key).public_key != charter.log.public_key:
        raise PolicyError(f"{LOG_KEY_FILE} is not the log's key in the charter")
    log = Log.open(home / LOG_FOLDER, origin=charter.log.origin, key=log_key)
    if log.dropped_bytes:
        logger.warning(
            "%d bytes that a crash had left behind the last signed entry of the log were dropped; "
            "what the database staged is appended again",
            log.dropped_bytes,
        )
    try:
        store = ConsortiumStore.open(database or database_url(home))
        try:
            publish(log, store.staged())
        except BaseException:
            store.close()
            raise
    except BaseException:
        log.close()
        raise
    return Consortium(
        home=home,
        charters=charters,
        settings=settings,
        aggregator=aggregator,
        store=store,
        log=log,
        plans=PlanShelf(home / PLANS_FOLDER),
        registry=ModelRegistry(home / MODELS_FOLDER),
        accountant=remembering(accountant),
        entropy=entropy,
    )


def database_url(home: Path) -> str:
    """Where the consortium's database is: the operator's choice, or a file in the home."""
    return os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{home / DATABASE_FILE}"


def find_plan(home: Path, named: str) -> SignedPlan:
    """The activated plan with this digest, or with this name if only one has it.

    Raises:
        PolicyError: there is none, or several have the name.
        Refused: R01, too few members of the charter in force agreed to it: they sign it again.
        Corrupt: a plan is not what its folder says.
        OSError: a file cannot be read.
    """
    shelf, charters = PlanShelf(home / PLANS_FOLDER), read_charters(home)
    plans = [shelf.open_past(digest, charters) for digest in shelf.digests()]
    found = [signed for signed in plans if named in (signed.digest, signed.plan.name)]
    if len(found) == 1:
        return shelf.open(found[0].digest, charters.current)
    there = ", ".join(f"{signed.plan.name} ({signed.digest})" for signed in plans) or "none"
    what = "several plans are" if found else "no active plan is"
    raise PolicyError(f"{what} called {named}; active here: {there}")


def _settings(home: Path) -> Settings:
    try:
        return Settings.model_validate(tomllib.loads((home / SETTINGS_FILE).read_text("utf-8")))
    except ValueError as error:
        raise PolicyError(f"{SETTINGS_FILE}: {error}") from error


def read_charter(home: Path) -> Charter:
    """The version of a consortium's charter that is in force.

    Raises:
        PolicyError, Corrupt, OSError: as `read_charters`.
    """
    return read_charters(home).current


def _private_key(path: Path) -> Ed25519PrivateKey:
    try:
        return read_private_key(path.read_bytes())
    except ValueError as error:
        raise PolicyError(f"{path.name}: {error}") from error
