"""What both sides show: their processes, their disk, their log.

Names and units follow Prometheus's conventions. Nothing here is about students: no number of
students, records or answers, exact or in buckets, is a metric.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from cryptography import x509
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from fedtrace.deploy.network.keeping import Observation
from fedtrace.governance.log.storage import ENTRIES

HANGS_AFTER_SECONDS = 60.0
"""A service looks after its processes every second; a restart of one may take some."""


def gauge(name: str, says: str, value: float) -> Metric:
    """One number."""
    return GaugeMetricFamily(f"fedtrace_{name}", says, value=value)


def gauges(name: str, says: str, label: str, values: Mapping[str, float]) -> Metric:
    """A number for each of several."""
    family = GaugeMetricFamily(f"fedtrace_{name}", says, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def counters(
    name: str, says: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """Numbers that only grow."""
    family = CounterMetricFamily(f"fedtrace_{name}", says, labels=list(labels))
    for of, value in values:
        family.add_metric(list(of), value)
    return family


def is_alive(observed: Observation) -> bool:
    """Whether the service has looked after its processes lately."""
    return time.monotonic() - observed.at < HANGS_AFTER_SECONDS


def ended(observed: Observation) -> tuple[str, ...]:
    """The processes that do not run, in words."""
    return tuple(f"{name} does not run" for name, runs in observed.processes.items() if not runs)


def of_processes(observed: Observation) -> Iterator[Metric]:
    """Which processes run, and how often each was started again."""
    up = {name: float(runs) for name, runs in observed.processes.items()}
    yield gauges("process_up", "1 while the process runs.", "process", up)
    yield counters(
        "process_restarts",
        "How often the process was started again since the service began.",
        ("process",),
        (((name,), number) for name, number in observed.restarts.items()),
    )


def of_home(home: Path, certificate: Path, *, now: datetime) -> Iterator[Metric]:
    """Disk, log and certificate of a home."""
    free = shutil.disk_usage(home).free
    yield gauge("disk_free_bytes", "Free on the disk of the home.", free)
    log = home / "log" / ENTRIES
    size = log.stat().st_size if log.exists() else 0
    yield gauge("log_bytes", "Size of the audit log.", size)
    if certificate.exists():
        shown = x509.load_pem_x509_certificate(certificate.read_bytes())
        left = (shown.not_valid_after_utc - now).total_seconds() / 86_400
        yield gauge("certificate_days_left", f"Until {certificate.name} ends.", left)
