"""Which jobs a consortium's service runs: one small file a plan below ``<home>/network/jobs``.

``fedtrace consortium start`` writes a file, the service carries it out. A run that fails (its
process was killed, the disk was full) is started again after a pause that doubles, because the
job goes on at the round where it was; a job that ended, for whatever reason, stays ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from fedtrace.client.bundle import PLAN_DIGEST_KEY
from fedtrace.client.files import write_private
from fedtrace.deploy.network.control import RunStatus
from fedtrace.deploy.network.errors import NetworkError
from fedtrace.deploy.network.provisioning import private_directory

logger = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)


class Job(BaseModel):
    """One plan's job, as its file says.

    Attributes:
        plan_digest: which.
        state: to be started, handed to Flower, or over.
        run_id: Flower's number of the latest run.
        failures: how many runs in a row failed.
        due_at: before this time no run is started.
        says: Flower's sentence about the latest failure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    state: Literal["waiting", "running", "over"] = "waiting"
    run_id: int | None = None
    failures: Annotated[int, Field(ge=0)] = 0
    due_at: AwareDatetime | None = None
    says: str = ""


class Runs(Protocol):
    """What starts and watches runs; `fedtrace.deploy.network.control.Control`."""

    def start_run(self, fab: bytes, settings: dict[str, str]) -> int:
        """Start a run of a bundle; returns its number."""
        ...

    def status(self, run_id: int) -> RunStatus:
        """How far a run is."""
        ...


class Jobs:
    """The jobs of one consortium.

    Args:
        folder: of the files; made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, plan_digest: str) -> None:
        """Have a job started; one that runs is left alone.

        Raises:
            OSError: the file cannot be written.
        """
        if any(job.plan_digest == plan_digest and job.state == "running" for job in self.all()):
            return
        self._write(Job(plan_digest=plan_digest))

    def all(self) -> tuple[Job, ...]:
        """Every job that was ever asked for, by digest.

        Raises:
            NetworkError: a file is damaged.
        """
        return tuple(self._read(path) for path in sorted(self._folder.glob("*.json")))

    def tick(self, runs: Runs, *, fab: Callable[[], bytes], now: datetime) -> None:
        """Start what waits and is due, look after what runs.

        Raises:
            NetworkError: the SuperLink does not answer; every job stays as it was.
        """
        for job in self.all():
            if job.state == "waiting" and (job.due_at is None or job.due_at <= now):
                run_id = runs.start_run(fab(), {PLAN_DIGEST_KEY: job.plan_digest})
                self._write(job.model_copy(update={"state": "running", "run_id": run_id}))
                logger.info("run %d of plan %s was started", run_id, job.plan_digest)
            elif job.state == "running" and job.run_id is not None:
                self._look_after(job, runs.status(job.run_id), now)

    def _look_after(self, job: Job, status: RunStatus, now: datetime) -> None:
        if not status.is_finished:
            return
        if status.outcome in ("completed", "stopped"):
            self._write(job.model_copy(update={"state": "over", "failures": 0, "says": ""}))
            logger.info("run %s of plan %s is over", job.run_id, job.plan_digest)
            return
        pause = min(FIRST_PAUSE * 2 ** min(job.failures, 20), LONGEST_PAUSE)
        again = {
            "state": "waiting",
            "failures": job.failures + 1,
            "due_at": now + pause,
            "says": status.details,
        }
        self._write(job.model_copy(update=again))
        logger.warning(
            "run %s of plan %s failed and is started again in %s: %s",
            job.run_id,
            job.plan_digest,
            pause,
            status.details,
        )

    def _write(self, job: Job) -> None:
        private_directory(self._folder)
        path = self._folder / f"{job.plan_digest.removeprefix('sha256:')}.json"
        write_private(path, job.model_dump_json(indent=2).encode(), replace=True)

    def _read(self, path: Path) -> Job:
        try:
            return Job.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise NetworkError(
                f"{path} is damaged: remove it and start the job again with `fedtrace consortium "
                "start`; nothing of the job itself is lost"
            ) from error
