"""What a training run leaves behind for people: ``report.json`` and one self-contained page."""

from fedtrace.deploy.report.model import (
    CONDITIONS,
    Condition,
    ConditionScores,
    LogSize,
    Released,
    Report,
    RoundRecord,
    Scores,
    VerificationLine,
)
from fedtrace.deploy.report.write import write_report

__all__ = [
    "CONDITIONS",
    "Condition",
    "ConditionScores",
    "LogSize",
    "Released",
    "Report",
    "RoundRecord",
    "Scores",
    "VerificationLine",
    "write_report",
]
