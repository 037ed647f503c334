"""Making, opening and changing a school's home folder; what works in it is `School`.

::

    <home>/
      school.toml    retention of student records
      policy.dsse.json  the upper bounds that this school accepts, signed by it
      charter.json   the consortium's members and keys
      keys/          secrets, readable by their owner alone (fedtrace.client.keys)
      vault/         students' records and consents, encrypted (fedtrace.client.vault)
      school.db      privacy ledger, rounds, plans, kill switch (fedtrace.client.store)
      log/           what happened here, signed (fedtrace.governance.log)
      consortium-log/, evidence/  a copy of the consortium's log (fedtrace.client.mirror)
      plans/<sha256-...>/plan.dsse.json, catalogue.json
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import tomli_w
from pydantic import ValidationError

from fedtrace.client.files import write_private
from fedtrace.client.keys import SchoolKeys, load_keys
from fedtrace.client.memory import erase_again
from fedtrace.client.mirror import ConsortiumMirror
from fedtrace.client.plans import PlanFiles
from fedtrace.client.school import School, SchoolSettings
from fedtrace.client.store import SchoolStore
from fedtrace.client.vault import Vault
from fedtrace.governance.charter import Charter
from fedtrace.governance.charter_history import CHARTER_FILE, CharterHistory, read_charters
from fedtrace.governance.document import reason_of
from fedtrace.governance.errors import Corrupt, PolicyError, Rejected
from fedtrace.governance.facts import Rules
from fedtrace.governance.ledger import may_move_the_year
from fedtrace.governance.log.charters import told_other
from fedtrace.governance.log.entries import PolicyChanged, SchoolInitialised
from fedtrace.governance.log.log import Log
from fedtrace.governance.policy import SchoolPolicy, open_policy, sign_policy
from fedtrace.governance.signing import SignatureError, Signer
from fedtrace.governance.witnessing import school_origin

logger = logging.getLogger(__name__)

_SETTINGS, POLICY_FILE = "school.toml", "policy.dsse.json"


def initialise_school(
    home: Path,
    *,
    charters: CharterHistory,
    policy: SchoolPolicy,
    settings: SchoolSettings | None = None,
    now: datetime,
) -> School:
    """Make a home around keys that are there already, and open it.

    ``fedtrace.client.keys.create_keys(home / "keys")`` comes first, because the charter holds the
    public halves. A call that was cut off can be repeated.

    Raises:
        FileExistsError: this home was made before.
        PolicyError: the charter does not name this school with these keys.
        OSError: a key is missing or others can read it, or the folder cannot be written.
    """
    keys, charter = load_keys(home / "keys"), charters.current
    _require_member(charter, policy, keys)
    if (home / _SETTINGS).exists():
        raise FileExistsError(f"{home} is a school's home already")
    keep_charters(home, charters)
    write_private(home / POLICY_FILE, sign_policy(policy, keys.signer), replace=True)
    log = Log.open(home / "log", origin=school_origin(charter, policy.school), key=keys.log_key)
    try:
        if not len(log):
            entry = SchoolInitialised(
                school=policy.school,
                charter_digest=charter.digest(),
                policy_digest=policy.digest(),
            )
            log.append(entry, now=now)
    finally:
        log.close()
    chosen = settings or SchoolSettings()
    write_private(home / _SETTINGS, tomli_w.dumps(chosen.model_dump()).encode())
    return open_school(home)


def keep_charters(home: Path, charters: CharterHistory) -> None:
    """Write every version that is not here yet; the one in force comes last.

    Raises:
        OSError: a file cannot be written; the version before stays in force.
    """
    for name, content in charters.files():
        path = home / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path, content, replace=True)


def change_policy(home: Path, policy: SchoolPolicy, *, now: datetime) -> None:
    """Replace a school's policy, signed and logged; works where the old one is damaged.

    Raises:
        PolicyError: the home has not been made, the policy is another school's, or a new start of
            the student-year would give this year's budget a second time.
        BlockingIOError: another process, as the gate, has the log open.
        Corrupt: the log is damaged.
        OSError: a file cannot be written; the old policy is in force.
    """
    require_home(home)
    keys = load_keys(home / "keys")
    charter = read_charters(home).current
    _require_member(charter, policy, keys)
    _require_same_year(home, policy, keys, now)
    log = Log.open(home / "log", origin=school_origin(charter, policy.school), key=keys.log_key)
    try:
        log.append(PolicyChanged(policy_digest=policy.digest()), now=now)
    finally:
        log.close()
    write_private(home / POLICY_FILE, sign_policy(policy, keys.signer), replace=True)


def open_school(home: Path) -> School:
    """Open a school's home.

    A log that is damaged or held by another process does not keep the home closed: one can still
    look, and every order is refused. Records that the log says were erased, and that came back with
    older files, are erased again.

    Raises:
        PolicyError: the home has not been made, or its documents contradict each other.
        Rejected: the policy is damaged.
        Corrupt: the database or the vault is damaged.
        OSError: a file cannot be read.
    """
    require_home(home)
    settings = _read_settings(home / _SETTINGS)
    charters = read_charters(home)
    charter = charters.current
    keys = load_keys(home / "keys")
    policy = policy_signed_by(home / POLICY_FILE, [keys.signer])
    _require_member(charter, policy, keys)
    store = SchoolStore(home / "school.db")
    vault = Vault(home / "vault", keys.vault_key)
    log: Log | None = None
    log_problem: str | None = None
    log_in_use = False
    try:
        log = Log.open(home / "log", origin=school_origin(charter, policy.school), key=keys.log_key)
    except BlockingIOError as error:
        log_in_use = True
        log_problem = str(error.strerror)
    except Corrupt as error:
        log_problem = str(error)
    except OSError as error:
        log_problem = f"{error.strerror} ({error.filename or home / 'log'})"
    if log is not None and log.dropped_bytes:
        logger.warning(
            "%d bytes that a crash had left behind the last signed entry of the log were dropped; "
            "nobody had been told that they were written",
            log.dropped_bytes,
        )
    if log is not None and (told := told_other(log.entries(), charter)) is not None:
        log.close()
        log, log_problem = None, told_of_another(home, charter, told)
    try:
        if log is not None:
            erase_again(vault, log)
    except BaseException:
        vault.close()
        store.close()
        if log is not None:
            log.close()
        raise
    return School(
        home=home,
        settings=settings,
        rules=Rules(charter=charter, policy=policy),
        signer=keys.signer,
        vault=vault,
        store=store,
        plans=PlanFiles(home / "plans", charters),
        mirror=ConsortiumMirror(home, charter=charter, school=policy.school, key=keys.log_key),
        opened_log=log,
        log_problem=log_problem,
        log_in_use=log_in_use,
    )


def told_of_another(home: Path, charter: Charter, told: str) -> str:
    """What a person reads where the school's log tells of another charter than lies here."""
    return (
        f"{home / CHARTER_FILE} is version {charter.version}, and this school's log tells that it "
        f"accepted another one since, {told}: accept that one with fedtrace school charter accept, "
        "or restore the newest backup"
    )


def own_policy(home: Path) -> SchoolPolicy:
    """The bounds of the school whose home it is.

    Raises:
        PolicyError: the home has not been made, or its policy is not its own.
        Rejected: the policy is damaged.
        OSError: a file cannot be read.
    """
    require_home(home)
    return policy_signed_by(home / POLICY_FILE, [load_keys(home / "keys").signer])


def school_name(home: Path) -> str:
    """Whose home it is.

    Raises:
        PolicyError, Rejected, OSError: as `own_policy`.
    """
    return own_policy(home).school


def is_home(home: Path) -> bool:
    """Whether a school's home has been made here."""
    return (home / _SETTINGS).exists()


def require_home(home: Path) -> None:
    """Refuse a folder that is no school's home.

    Raises:
        PolicyError: it has not been made.
    """
    if not is_home(home):
        raise PolicyError(
            f"{home} is not a school's home: there is no {_SETTINGS} in it. Check the path, or "
            "join a consortium with `fedtrace school join INVITE`."
        )


def _require_same_year(home: Path, policy: SchoolPolicy, keys: SchoolKeys, now: datetime) -> None:
    """Refuse a policy under which what was spent in this student-year would not count."""
    after = policy.student_year_first_month
    try:
        before = policy_signed_by(home / POLICY_FILE, [keys.signer]).student_year_first_month
    except (PolicyError, Rejected, OSError):
        before = None  # it is damaged, and being replaced
    store = SchoolStore(home / "school.db")
    try:
        if not may_move_the_year(store.ledger(), now, before=before, after=after):
            raise PolicyError(
                f"student_year_first_month cannot become {after} now: students of this year have "
                "taken part in rounds that would not count any more. Change it in the first days "
                "of a new student-year, before its first round."
            )
    finally:
        store.close()


def policy_signed_by(path: Path, signers: Sequence[Signer]) -> SchoolPolicy:
    """The bounds as this school signed them; anybody can write a file, only it can sign.

    Args:
        path: the policy's file.
        signers: the school's keys, one of which signed it; at least one.

    Raises:
        PolicyError: none of them did.
        Rejected: the bounds are damaged.
        OSError: the file cannot be read.
    """
    *others, last = signers
    envelope = path.read_bytes()
    for signer in others:
        with suppress(SignatureError):
            return open_policy(envelope, signer.public_key)
    try:
        return open_policy(envelope, last.public_key)
    except SignatureError as error:
        raise PolicyError(
            f"{path.name} does not carry this school's signature ({error}): somebody changed it. "
            "Find out who, then set the policy again with `fedtrace school policy`."
        ) from error


def _read_settings(path: Path) -> SchoolSettings:
    try:
        return SchoolSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} is not text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{path.name} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PolicyError(f"{path.name}: {where}: {reason_of(first)}") from error


def _require_member(charter: Charter, policy: SchoolPolicy, keys: SchoolKeys) -> None:
    for member in charter.members:
        if member.name == policy.school:
            if (member.public_key, member.log_public_key) != (keys.public_key, keys.log_public_key):
                raise PolicyError(
                    f"the charter has other keys for {policy.school} than this home: check the "
                    "path, or send the consortium this home's public keys"
                )
            return
    raise PolicyError(
        f"the charter does not name {policy.school}: correct `school` in the policy, or ask the "
        "consortium"
    )
