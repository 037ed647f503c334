"""The plans that a school has accepted, as files: the signed envelope and the skill catalogue."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from fedtrace.client.files import write_private
from fedtrace.client.ingest.catalogue import Catalogue, load_catalogue
from fedtrace.governance.agreement import merge_agreements
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Corrupt
from fedtrace.governance.plan import PLAN_TYPE
from fedtrace.governance.plan_signing import SignedPlan, open_past_plan, open_plan
from fedtrace.governance.refusals import RefusalCode, Refused
from fedtrace.governance.signing import SignatureError

_PLAN, _CATALOGUE = "plan.dsse.json", "catalogue.json"


class PlanFiles:
    """``plans/sha256-<hex>/plan.dsse.json`` and ``catalogue.json``.

    Args:
        directory: the ``plans`` folder.
        charters: whose members' signatures count, and counted.
    """

    def __init__(self, directory: Path, charters: CharterHistory) -> None:
        self._directory = directory
        self._charters = charters
        self._verified: dict[str, tuple[bytes, SignedPlan]] = {}

    def keep(self, envelope: bytes, catalogue: bytes, *, school: str, now: datetime) -> SignedPlan:
        """Check a plan that this school is about to accept, and write it down.

        Raises:
            Refused: R01, too few members signed it; R03, it has expired.
            Rejected: it is not a plan that this release understands.
            ValueError: the catalogue is not the plan's, or the school is not a member of it.
            OSError: it cannot be written.
        """
        signed = open_plan(envelope, self._charters.current)
        if now >= signed.plan.valid_until:
            raise Refused(RefusalCode.R03)
        data = signed.plan.data
        if school not in signed.plan.schools.members:
            raise ValueError(f"the plan does not name the school {school}")
        if digest(catalogue) != data.skill_catalogue_digest:
            raise ValueError("the skill catalogue is not the one that the plan names")
        if len(load_catalogue(catalogue)) != data.skills:
            raise ValueError(f"the plan has {data.skills} skills, its catalogue another number")
        place = self._place(signed.digest)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(place / _CATALOGUE, catalogue, replace=True)
        write_private(place / _PLAN, self._with_kept(place / _PLAN, envelope), replace=True)
        return signed

    def _with_kept(self, path: Path, envelope: bytes) -> bytes:
        """With the signatures that were here: members of past versions are proven by no others."""
        if not path.exists():
            return envelope
        try:
            return merge_agreements(
                [path.read_bytes(), envelope], PLAN_TYPE, self._charters.current
            )
        except SignatureError:
            return envelope  # what was here is damaged, and this heals it

    def read(self, plan_digest: str) -> SignedPlan:
        """An accepted plan; its signatures are verified again whenever its file has changed.

        Raises:
            Refused: R01, its signatures do not reach the charter's threshold.
            Rejected: the file is not a plan.
            Corrupt: the file is gone or holds another plan.
        """
        envelope = self._envelope(plan_digest)
        before, signed = self._verified.get(plan_digest, (None, None))
        if signed is None or before != envelope:
            signed = open_plan(envelope, self._charters.current)
            self._verified[plan_digest] = (envelope, signed)
        return _named(signed, plan_digest)

    def read_past(self, plan_digest: str) -> SignedPlan:
        """A plan that was accepted, for what happened under it: a later charter undoes nothing.

        Raises:
            Refused: R01, under no version of the charter do its signatures reach the threshold.
            Rejected, Corrupt: as `read`.
        """
        return _named(open_past_plan(self._envelope(plan_digest), self._charters), plan_digest)

    def catalogue(self, plan_digest: str) -> Catalogue:
        """The skill catalogue of an accepted plan.

        Raises:
            FileNotFoundError: the school has not accepted this plan.
            ValueError: the file was changed into something that is no catalogue.
        """
        return load_catalogue((self._place(plan_digest) / _CATALOGUE).read_bytes())

    def _envelope(self, plan_digest: str) -> bytes:
        try:
            return (self._place(plan_digest) / _PLAN).read_bytes()
        except FileNotFoundError as error:
            raise Corrupt(f"the file of the accepted plan {plan_digest} is gone") from error

    def _place(self, plan_digest: str) -> Path:
        return self._directory / plan_digest.replace(":", "-")


def _named(signed: SignedPlan, plan_digest: str) -> SignedPlan:
    if signed.digest != plan_digest:
        raise Corrupt(f"the file of the plan {plan_digest} holds another plan")
    return signed
