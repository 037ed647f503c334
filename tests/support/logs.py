"""A small consortium's logs, written without training: a job of some rounds, all in order."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.gate import plan_with

from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import CHARTER_TYPE, Aggregator, Charter, LogKey, Member
from fedtrace.governance.charter_history import FOUNDING_FILE, next_file
from fedtrace.governance.log.checkpoint import LogCheckpoint, sign_checkpoint
from fedtrace.governance.log.cosignature import Ed25519Cosigner, cosigned
from fedtrace.governance.log.entries import (
    CharterAccepted,
    CharterAdopted,
    CharterChanged,
    Entry,
    EvaluationClosed,
    ImportCompleted,
    Input,
    ModelReleased,
    PlanAccepted,
    PlanActivated,
    PlanRevoked,
    RoundClosed,
    RoundOpened,
    RoundReserved,
    RunClosed,
    RunOpened,
    SchoolInitialised,
    UpdateReceived,
    UpdateSent,
    encode_entry,
)
from fedtrace.governance.log.merkle import MerkleTree, leaf_hash
from fedtrace.governance.log.note import parse_note
from fedtrace.governance.log.storage import CHECKPOINT, COSIGNED, ENTRIES
from fedtrace.governance.log.verify import LogBytes
from fedtrace.governance.plan import Plan, RoundKind
from fedtrace.governance.plan_signing import sign_plan
from fedtrace.governance.revocation import REVOCATION_TYPE, Revocation
from fedtrace.governance.signing import KeySigner, sign_envelope

NOW = datetime(2026, 9, 1, 8, tzinfo=UTC)
RUN = "run-1"


def plan_of(schools: Sequence[str], noise: str = "2.5", epsilon_job: str = "8") -> Plan:
    """The plan under which a story's job runs."""
    return plan_with(
        {
            "schools.members": tuple(schools),
            "schools.minimum_per_round": 1,
            "rounds.count": 1000,
            "privacy.clipping_norm": 1.0,
            "privacy.noise_multiplier": float(noise),
            "privacy.sampling_rate": 0.5,
            "privacy.epsilon_job": float(epsilon_job),
            "evaluation.noise_multiplier": float(noise),
        }
    )


PLAN = plan_of(("school-1", "school-2", "school-3")).digest()
"""The plan of a story that is told without changes."""


def key_of(name: str) -> Ed25519PrivateKey:
    """The same key for the same name, every time."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public(key: Ed25519PrivateKey) -> str:
    """As charters hold it."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def charter_of(schools: Sequence[str], threshold: int = 2) -> Charter:
    """A charter of county."""
    return Charter(
        consortium="county",
        threshold=threshold,
        aggregator=Aggregator(name="aggregator", public_key=public(key_of("aggregator"))),
        log=LogKey(origin="county/log", public_key=public(key_of("county/log"))),
        members=tuple(
            Member(
                name=school,
                public_key=public(key_of(school)),
                log_public_key=public(key_of(f"county/schools/{school}")),
            )
            for school in schools
        ),
    )


@dataclass(kw_only=True)
class Story:
    """What each log says; a test changes it before it is written."""

    charter: Charter
    consortium: list[Entry] = field(default_factory=list)
    schools: dict[str, list[Entry]] = field(default_factory=dict)
    plan: Plan
    plan_signers: Sequence[str] | None = None
    revocation_signers: Sequence[str] | None = None
    next_charter: Charter | None = None
    next_signers: Sequence[str] = ()

    def log_bytes(self) -> LogBytes:
        """The consortium's log as the verifier gets it."""
        lines = encode(self.consortium, "county/log")
        return LogBytes(
            name="the consortium's log",
            kind="consortium",
            origin="county/log",
            public_key=self.charter.log.public_key,
            lines=lines,
            torn=0,
            checkpoint=note_over(lines, "county/log"),
        )

    def write(self, root: Path) -> Path:
        """Write every home, each log signed by its own key."""
        signers = self.schools if self.plan_signers is None else self.plan_signers
        envelope = sign_plan(self.plan, [KeySigner(key_of(school)) for school in signers])
        homes = {root / "consortium": ("county/log", self.consortium)}
        for school, entries in self.schools.items():
            homes[root / "schools" / school] = (f"county/schools/{school}", entries)
        for home, (origin, entries) in homes.items():
            (home / "log").mkdir(parents=True)
            (home / "charter.json").write_bytes(self.charter.to_bytes())
            self.keep_next_charter(home)
            write_lines(home / "log", encode(entries, origin), origin)
            self.keep_plan(home, envelope)
        self.keep_revocation(root / "consortium")
        self.cosign(root / "consortium" / "log")
        return root

    def keep_next_charter(self, home: Path) -> None:
        """Put the next version of the charter in place, if there is one."""
        if self.next_charter is None:
            return
        signers = [KeySigner(key_of(name)) for name in self.next_signers]
        envelope = sign_envelope(self.next_charter.to_bytes(), CHARTER_TYPE, signers)
        (home / "charters").mkdir()
        (home / FOUNDING_FILE).write_bytes(self.charter.to_bytes())
        (home / next_file(2)).write_bytes(envelope)
        (home / "charter.json").write_bytes(self.next_charter.to_bytes())

    def change_charter(self, *, signers: Sequence[str] | None = None, **changes: Any) -> None:
        """Go on to a next version after the first round."""
        before = self.charter.digest()
        after = self.charter.model_copy(update={"version": 2, "previous": before, **changes})
        self.next_charter = after
        self.next_signers = tuple(self.schools) if signers is None else signers
        changed = CharterChanged(
            charter_digest=after.digest(),
            previous_digest=before,
            version=2,
            signers=tuple(self.next_signers),
        )
        at = next(i for i, each in enumerate(self.consortium) if isinstance(each, RoundClosed))
        self.consortium.insert(at + 1, changed)
        for entries in self.schools.values():
            sent = next(i for i, each in enumerate(entries) if isinstance(each, UpdateSent))
            accepted = CharterAccepted(charter_digest=after.digest(), previous_digest=before)
            entries.insert(sent + 1, accepted)

    def keep_plan(self, home: Path, envelope: bytes) -> None:
        """Put a signed plan where a consortium, or a school, keeps it."""
        name = self.plan.digest().removeprefix("sha256:")
        folder = home / "plans" / (name if home.name == "consortium" else f"sha256-{name}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.dsse.json").write_bytes(envelope)

    def keep_revocation(self, home: Path) -> None:
        """Put the revocation of which the consortium's log tells, if any, beside the plan."""
        told = next((each for each in self.consortium if isinstance(each, PlanRevoked)), None)
        if told is None:
            return
        names = told.signers if self.revocation_signers is None else self.revocation_signers
        revocation = Revocation(
            consortium=self.charter.consortium, plan_digest=told.plan_digest, reason=told.reason
        )
        signers = [KeySigner(key_of(name)) for name in names]
        envelope = sign_envelope(revocation.to_bytes(), REVOCATION_TYPE, signers)
        folder = home / "plans" / told.plan_digest.removeprefix("sha256:")
        (folder / "revocation.dsse.json").write_bytes(envelope)

    def cosign(self, log: Path) -> None:
        """Every school has seen the consortium's log as it lies there."""
        note = (log / CHECKPOINT).read_bytes()
        origins = [f"county/schools/{school}" for school in self.schools]
        lines = [
            Ed25519Cosigner(origin, key_of(origin)).cosign(parse_note(note)[0], now=NOW)
            for origin in origins
        ]
        (log / COSIGNED).write_bytes(cosigned(note, lines))


def encode(entries: Sequence[Entry], origin: str) -> list[bytes]:
    """Entries as lines, a second apart."""
    return [
        encode_entry(entry, index=index, origin=origin, now=NOW + timedelta(seconds=index))
        for index, entry in enumerate(entries)
    ]


def note_over(lines: Sequence[bytes], origin: str, key: Ed25519PrivateKey | None = None) -> bytes:
    """A checkpoint over any lines, also those that an honest log would refuse."""
    root = MerkleTree(leaf_hash(line) for line in lines).root()
    return sign_checkpoint(
        LogCheckpoint(origin=origin, size=len(lines), root=root), key or key_of(origin)
    )


def write_lines(directory: Path, lines: Sequence[bytes], origin: str) -> None:
    """A log's files over any lines, signed by its key: what a dishonest owner can do."""
    (directory / ENTRIES).write_bytes(b"".join(line + b"\n" for line in lines))
    (directory / CHECKPOINT).write_bytes(note_over(lines, origin))


def tell_story(
    *, schools: int = 3, rounds: int = 2, noise: str = "2.5", epsilon_job: str = "8"
) -> Story:
    """A job that every school answered in every round, and its evaluation."""
    names = [f"school-{number}" for number in range(1, schools + 1)]
    charter = charter_of(names)
    plan = plan_of(names, noise, epsilon_job)
    plan_digest = plan.digest()
    story = Story(charter=charter, plan=plan)
    story.consortium = [
        CharterAdopted(charter_digest=charter.digest()),
        PlanActivated(
            plan_digest=plan_digest,
            signers=tuple(names),
            trust_mode="local",
            epsilon_job=epsilon_job,
            delta="1e-05",
        ),
        RunOpened(plan_digest=plan_digest, run_id=RUN),
    ]
    for name in names:
        story.schools[name] = [
            SchoolInitialised(
                school=name, charter_digest=charter.digest(), policy_digest=digest(b"policy")
            ),
            ImportCompleted(
                request="0" * 32,
                students="20-49",
                rows_kept="500-999",
                rows_rejected="0",
                columns_kept=4,
                columns_dropped=9,
            ),
            PlanAccepted(plan_digest=plan_digest, signers=tuple(names)),
        ]
    for number in range(1, rounds + 1):
        _tell_round(story, names, number, "train", noise)
    _tell_round(story, names, rounds + 1, "evaluate", noise)
    story.consortium += [
        RunClosed(plan_digest=plan_digest, run_id=RUN, reason="completed", rounds=rounds),
        ModelReleased(plan_digest=plan_digest, run_id=RUN, digest=_left(rounds), averaged=1),
    ]
    return story


def _left(number: int) -> str:
    return digest(f"checkpoint {number}".encode())


def _tell_round(
    story: Story, names: Sequence[str], number: int, kind: RoundKind, noise: str
) -> None:
    plan_digest = story.plan.digest()
    sampling = "0.5" if kind == "train" else "1"
    updates = {name: digest(f"{name} {number}".encode()) for name in names}
    story.consortium.append(
        RoundOpened(
            plan_digest=plan_digest,
            run_id=RUN,
            round=number,
            kind=kind,
            order_digest=digest(f"order {number}".encode()),
            checkpoint_digest=_left(number - 1),
            schools=tuple(names),
        )
    )
    for name, update in updates.items():
        story.schools[name] += [
            RoundReserved(
                plan_digest=plan_digest,
                run_id=RUN,
                round=number,
                kind=kind,
                noise_multiplier=noise,
                sampling_rate=sampling,
                cohort_size="20-49",
                cohort_root=digest(b"cohort"),
            ),
            UpdateSent(plan_digest=plan_digest, run_id=RUN, round=number, kind=kind, digest=update),
        ]
        story.consortium.append(
            UpdateReceived(
                plan_digest=plan_digest,
                run_id=RUN,
                round=number,
                kind=kind,
                school=name,
                digest=update,
            )
        )
    inputs = tuple(Input(school=name, digest=update) for name, update in updates.items())
    if kind == "evaluate":
        story.consortium.append(
            EvaluationClosed(
                plan_digest=plan_digest,
                run_id=RUN,
                round=number,
                kind=kind,
                inputs=inputs,
                noise_multiplier=noise,
            )
        )
    else:
        story.consortium.append(
            RoundClosed(
                plan_digest=plan_digest,
                run_id=RUN,
                round=number,
                kind=kind,
                inputs=inputs,
                output_digest=_left(number),
                rule="adam",
                clipping_norm="1",
                noise_multiplier=noise,
                sampling_rate=sampling,
            )
        )
