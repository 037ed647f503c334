"""The consortium's plans: one folder a plan, named by its digest, written once.

``plans/<64 hex digits>/{plan.dsse.json, catalogue.json, initial.safetensors}``, and beside them
``revocation.dsse.json`` once the plan was taken back. The folder's name is the digest without
``sha256:``, because some file systems have no colon.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedtrace.governance.agreement import merge_agreements
from fedtrace.governance.canonical import digest
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CharterHistory
from fedtrace.governance.errors import Corrupt, PolicyError, Rejected
from fedtrace.governance.plan import PLAN_TYPE
from fedtrace.governance.plan_signing import SignedPlan, open_past_plan, open_plan
from fedtrace.governance.revocation import (
    SignedRevocation,
    open_past_revocation,
    open_revocation,
)
from fedtrace.governance.signing import SignatureError
from fedtrace.server.codec import checkpoint_spec, decode
from fedtrace.server.files import write_durably

PLAN_FILE = "plan.dsse.json"
CATALOGUE_FILE = "catalogue.json"
PARAMETERS_FILE = "initial.safetensors"
REVOCATION_FILE = "revocation.dsse.json"


class PlanShelf:
    """The plans folder of a consortium."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(
        self, envelope: bytes, *, catalogue: bytes, initial_parameters: bytes, charter: Charter
    ) -> SignedPlan:
        """Keep a plan that enough members signed, with what it names.

        Adding a plan again adds its signatures to those that are here, which is how later ones
        arrive. None is lost: the log names who signed, and a verifier looks for every one.

        Raises:
            Refused: R01, too few members signed it.
            PolicyError: catalogue or parameters are not those that the plan names, or what is
                kept of the plan is damaged.
        """
        try:
            signed = open_plan(envelope, charter)
            envelope = self._with_kept(signed.digest, envelope, charter)
            signed = open_plan(envelope, charter)
        except (Rejected, SignatureError) as error:
            raise PolicyError(f"the plan cannot be read: {error}") from error
        plan = signed.plan
        if digest(catalogue) != plan.data.skill_catalogue_digest:
            raise PolicyError("plan.data.skill_catalogue_digest: the catalogue is another one")
        if digest(initial_parameters) != plan.model.initial_parameters_digest:
            raise PolicyError(
                "plan.model.initial_parameters_digest: the initial parameters are others"
            )
        try:
            decode(initial_parameters, checkpoint_spec(plan.model.parameters))
        except ValueError as error:
            raise PolicyError(f"plan.model.parameters: {error}") from error
        strangers = set(plan.schools.members) - set(charter.member_keys())
        if strangers:
            raise PolicyError(
                f"plan.schools.members: not in the charter: {', '.join(sorted(strangers))}"
            )
        folder = self._folder(signed.digest)
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / CATALOGUE_FILE, catalogue)
        write_durably(folder / PARAMETERS_FILE, initial_parameters)
        write_durably(folder / PLAN_FILE, envelope)
        return signed

    def _with_kept(self, plan_digest: str, envelope: bytes, charter: Charter) -> bytes:
        path = self._folder(plan_digest) / PLAN_FILE
        if not path.exists() or (kept := path.read_bytes()) == envelope:
            return envelope
        try:
            return merge_agreements([kept, envelope], PLAN_TYPE, charter)
        except SignatureError as error:
            raise PolicyError(
                f"{path} is damaged ({error}): move it away, and activate the plan again with "
                "every signature that it had"
            ) from error

    def revoke(self, envelope: bytes, charters: CharterHistory) -> SignedRevocation:
        """Keep the revocation of a plan that is here; the first one is kept.

        The members of now agree to it, whichever version of the charter had the plan agreed to.

        Raises:
            PolicyError: it cannot be read, too few members signed it, or the plan is not here.
        """
        try:
            signed = open_revocation(envelope, charters.current)
        except (Rejected, SignatureError) as error:
            raise PolicyError(f"the revocation is not in force: {error}") from error
        self.open_past(signed.revocation.plan_digest, charters)
        path = self._folder(signed.revocation.plan_digest) / REVOCATION_FILE
        if not path.exists():
            write_durably(path, envelope)
        return signed

    def revocation(self, plan_digest: str, charters: CharterHistory) -> SignedRevocation | None:
        """The revocation of a plan, its signatures verified anew; None where there is none.

        What was taken back stays so, whoever the members are later.

        Raises:
            Corrupt: the file is there and does not hold one: nobody may go on as if there were
                none.
        """
        path = self._folder(plan_digest) / REVOCATION_FILE
        if not path.exists():
            return None
        try:
            signed = open_past_revocation(path.read_bytes(), charters)
        except (Rejected, SignatureError) as error:
            raise Corrupt(f"{path} is not the revocation that was kept there") from error
        if signed.revocation.plan_digest != plan_digest:
            raise Corrupt(f"{path} is the revocation of another plan")
        return signed

    def digests(self) -> tuple[str, ...]:
        """The plans that are here, sorted."""
        if not self._directory.is_dir():
            return ()
        found = (path.name for path in self._directory.iterdir() if (path / PLAN_FILE).is_file())
        return tuple(sorted(f"sha256:{name}" for name in found))

    def open(self, plan_digest: str, charter: Charter) -> SignedPlan:
        """A plan, its signatures verified anew.

        Raises:
            PolicyError: there is no such plan here.
            Refused: R01, too few members signed it.
            Corrupt: the file holds another plan than its folder says.
        """
        return self._open(plan_digest, lambda envelope: open_plan(envelope, charter))

    def open_past(self, plan_digest: str, charters: CharterHistory) -> SignedPlan:
        """A plan for what happened under it: a later charter undoes nothing.

        Raises:
            PolicyError, Corrupt: as `open`.
            Refused: R01, under no version of the charter did enough members sign it.
        """
        return self._open(plan_digest, lambda envelope: open_past_plan(envelope, charters))

    def _open(self, plan_digest: str, verify: Callable[[bytes], SignedPlan]) -> SignedPlan:
        path = self._folder(plan_digest) / PLAN_FILE
        if not path.is_file():
            raise PolicyError(f"no plan {plan_digest} was activated here")
        try:
            signed = verify(path.read_bytes())
        except Rejected as error:
            raise Corrupt(f"the plan {plan_digest} cannot be read") from error
        if signed.digest != plan_digest:
            raise Corrupt(f"the folder of plan {plan_digest} holds another plan")
        return signed

    def envelope(self, plan_digest: str) -> bytes:
        """The signed plan as bytes, for schools that fetch it."""
        return (self._folder(plan_digest) / PLAN_FILE).read_bytes()

    def catalogue(self, plan_digest: str) -> bytes:
        """The skill catalogue that the plan names."""
        return (self._folder(plan_digest) / CATALOGUE_FILE).read_bytes()

    def initial_parameters(self, plan_digest: str) -> bytes:
        """The parameters that round 1 starts from, safetensors bytes."""
        return (self._folder(plan_digest) / PARAMETERS_FILE).read_bytes()

    def _folder(self, plan_digest: str) -> Path:
        return self._directory / plan_digest.removeprefix("sha256:")
