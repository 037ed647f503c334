"""Which jobs a consortium's service runs: one small file a plan below ``<home>/network/jobs``.

``fedtrace consortium start`` writes a file, the service carries it out. A run that fails (its
process was killed, the disk was full) is started again after a pause, because the job goes on at
the round where it was; the pause doubles while one run after the other fails and no round comes
to its end. A job that ended, for whatever reason, stays ended.
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

LOST_AFTER = timedelta(seconds=4)
"""A run that has no process for so long, at two looks or more, is lost; Flower takes a minute."""


class Job(BaseModel):
    """One plan's job, as its file says.

    Attributes:
        plan_digest: which.
        state: to be started, handed to Flower, or over.
        run_id: Flower's number of the latest run.
        failures: how many runs in a row failed, without a round that came to its end.
        rounds_over: how many rounds of the job were over when the latest run failed.
        due_at: before this time no run is started.
        says: Flower's sentence about the latest failure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    state: Literal["waiting", "running", "over"] = "waiting"
    run_id: int | None = None
    failures: Annotated[int, Field(ge=0)] = 0
    rounds_over: Annotated[int, Field(ge=0)] = 0
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

    def stop_run(self, run_id: int) -> None:
        """End a run."""
        ...


class Home(Protocol):
    """What is known on this machine; `fedtrace.deploy.network.working.Working`."""

    def has_serverapp(self) -> bool:
        """Whether a process is there that works on a run."""
        ...

    def rounds_over(self, plan_digest: str) -> int:
        """How many rounds of a plan's job have come to their end."""
        ...


class Jobs:
    """The jobs of one consortium.

    Args:
        folder: of the files; made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idle_since: dict[int, datetime] = {}  # run -> since when no process worked on it

    def ask(self, plan_digest: str) -> None:
        """Have a job started; one that runs is left alone.

        Raises:
            OSError: the file cannot be written.
        """
        if any(job.plan_digest == plan_digest and job.state == "running" for job in self.all()):
            return
        self._write(Job(plan_digest=plan_digest))

    def end(self, plan_digest: str) -> None:
        """Have a job asked for no more; one that was never asked for is left alone.

        Raises:
            NetworkError: a file is damaged.
            OSError: the file cannot be written.
        """
        for job in self.all():
            if job.plan_digest == plan_digest:
                self._over(job)

    def all(self) -> tuple[Job, ...]:
        """Every job that was ever asked for, by digest.

        Raises:
            NetworkError: a file is damaged.
        """
        return tuple(self._read(path) for path in sorted(self._folder.glob("*.json")))

    def tick(self, runs: Runs, home: Home, *, fab: Callable[[], bytes], now: datetime) -> None:
        """Start what waits and is due, look after what runs.

        Args:
            runs: the SuperLink.
            home: what works here, and how far it has come.
            fab: the bundle that runs are started with.
            now: the time.

        Raises:
            NetworkError: the SuperLink does not answer; every job stays as it was.
        """
        for job in self.all():
            if job.state == "waiting" and (job.due_at is None or job.due_at <= now):
                run_id = runs.start_run(fab(), {PLAN_DIGEST_KEY: job.plan_digest})
                self._write(job.model_copy(update={"state": "running", "run_id": run_id}))
                logger.info("run %d of plan %s was started", run_id, job.plan_digest)
            elif job.state == "running" and job.run_id is not None:
                self._look_after(job, job.run_id, runs, home, now)

    def _look_after(self, job: Job, run_id: int, runs: Runs, home: Home, now: datetime) -> None:
        status = runs.status(run_id)  # asked before the processes are: it ends before they do
        if status.is_finished and status.outcome in ("completed", "stopped"):
            self._over(job)
            logger.info("run %d of plan %s is over", run_id, job.plan_digest)
        elif status.is_finished:
            self._again(job, home, status.details, now)
        elif status.phase == "running" and self._is_lost(run_id, home, now):
            # Written first: who finds a stopped run after a crash takes its job for over.
            self._again(job, home, "the process of its ServerApp was killed", now)
            runs.stop_run(run_id)

    def _over(self, job: Job) -> None:
        self._write(job.model_copy(update={"state": "over", "failures": 0, "says": ""}))

    def _is_lost(self, run_id: int, home: Home, now: datetime) -> bool:
        """Whether nobody has worked on a run for too long."""
        if home.has_serverapp():
            self._idle_since.pop(run_id, None)
            return False
        return now - self._idle_since.setdefault(run_id, now) >= LOST_AFTER

    def _again(self, job: Job, home: Home, says: str, now: datetime) -> None:
        """Have a run that failed started again after a pause."""
        rounds_over = home.rounds_over(job.plan_digest)
        failures = job.failures if rounds_over <= job.rounds_over else 0
        pause = min(FIRST_PAUSE * 2 ** min(failures, 20), LONGEST_PAUSE)
        again = {
            "state": "waiting",
            "failures": failures + 1,
            "rounds_over": max(rounds_over, job.rounds_over),
            "due_at": now + pause,
            "says": says,
        }
        self._write(job.model_copy(update=again))
        logger.warning(
            "run %s of plan %s failed and is started again in %s: %s",
            job.run_id,
            job.plan_digest,
            pause,
            says,
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
