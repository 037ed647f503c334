"""Flower messages to and from the bytes that a school answers; nothing else.

One record named ``fedtrace`` travels each way, a mapping of names to bytes. Whatever is wrong with
a message, the school's answer is a refusal in our closed vocabulary: Flower itself would send the
text of an exception to the server, and such a text can hold a student's data.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedtrace.client.contribution import answer
from fedtrace.client.home import open_school
from fedtrace.client.school import School

RECORD = "fedtrace"
SCHOOL_HOME_VARIABLE = "FEDTRACE_SCHOOL_HOME"

app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]  # Flower is not followed by mypy
def train(message: Message, context: Context) -> Message:
    """Answer one round order, whichever kind it is, where Flower itself runs the ClientApp."""
    del context
    return respond(message, _school(os.environ[SCHOOL_HOME_VARIABLE]), now=datetime.now(UTC))


def respond(message: Message, school: School, *, now: datetime) -> Message:
    """The school's answer to a message, as a message."""
    return reply_with(message, answer(request_in(message), school=school, now=now))


def request_in(message: Message) -> Mapping[str, bytes]:
    """The bytes that a message carries; empty where it carries anything else."""
    if not message.has_content() or set(message.content) != {RECORD}:
        return {}
    record = message.content[RECORD]
    if not isinstance(record, ConfigRecord):
        return {}
    return {name: value for name, value in record.items() if isinstance(value, bytes)}


def reply_with(message: Message, answer: Mapping[str, bytes]) -> Message:
    """A reply to ``message`` that carries exactly these bytes."""
    return Message(RecordDict({RECORD: ConfigRecord(dict(answer))}), reply_to=message)


@cache
def _school(home: str) -> School:
    return open_school(Path(home))
