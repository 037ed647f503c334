"""The warm worker of one school: claims tasks, checks the bundle, answers with installed code.

Flower starts an interpreter for every message and runs what the server sent. The gate is one
process that has everything imported, never unpacks a bundle, and answers only under the bundle
that this installation stands for. Nothing that goes wrong in it is described to the server: the
text goes to the school's own log, and what leaves is one refusal code.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Message

from fedtrace.client.app import reply_with, request_in, respond
from fedtrace.client.bundle import fab_digest
from fedtrace.client.contribution import is_about_plans, is_for_witness, refuse
from fedtrace.client.flower import SuperNode, SuperNodeUnreachableError, Task
from fedtrace.client.home import open_school
from fedtrace.client.retention import finish_cut_off
from fedtrace.governance.log.heartbeat import Pulse
from fedtrace.governance.refusals import RefusalCode

logger = logging.getLogger(__name__)

READY = "gate ready"
"""The log line that a supervisor waits for."""

_IDLE_SECONDS = 0.2  # between two looks for a task, on loopback
_RETRY_SECONDS = 0.5  # while the SuperNode is not there

Answer = Callable[[Task], Message]
"""What a school makes of one task; may raise anything."""


def serve(
    node: SuperNode,
    answer: Answer,
    *,
    last_resort: Answer,
    is_ending: Callable[[], bool] = lambda: False,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Answer tasks until the process is ended, or is to end and has finished its answer.

    Args:
        node: Where tasks come from.
        answer: The school's answer to a task.
        last_resort: What leaves when ``answer`` raises; says nothing about why.
        is_ending: Whether no other task may be begun.
        between: What else is looked after, between two looks for a task; quick.
    """
    logger.info(READY)
    reachable = True
    while not is_ending():
        between()
        try:
            worked = _serve_one(node, answer, last_resort)
        except SuperNodeUnreachableError as error:
            if reachable:
                logger.warning("the SuperNode does not answer (%s); trying again", error)
            reachable = False
            time.sleep(_RETRY_SECONDS)
            continue
        except Exception:  # one task may be lost, the school's worker may not
            logger.exception("a task was given up")
            worked = False
        reachable = True
        if not worked:
            time.sleep(_IDLE_SECONDS)


def _serve_one(node: SuperNode, answer: Answer, last_resort: Answer) -> bool:
    """Answer one task if there is one; whether there was."""
    with node.claim() as claimed:
        if claimed is None:
            return False
        started = time.monotonic()
        try:
            reply = answer(claimed.task)
        except Exception:  # the border of the school: nothing below may pass as text
            logger.exception("an answer failed; the server is told a refusal code only")
            reply = last_resort(claimed.task)
        claimed.reply(reply)
        logger.info("answered in %.2f s", time.monotonic() - started)
        return True


def main() -> None:
    """Run one school's gate: the entry point of its process."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a poll says nothing
    school = open_school(options.school_home)
    if school.log_problem:
        logger.error("no training: the school's log cannot be opened: %s", school.log_problem)
    finish_cut_off(school, now=datetime.now(UTC))
    own_fab_digest = fab_digest()

    def answer(task: Task) -> Message:
        now = datetime.now(UTC)
        request = request_in(task.message)
        runs_a_plan = not (is_for_witness(request) or is_about_plans(request))
        if task.fab_digest != own_fab_digest and runs_a_plan:
            refusal = refuse(RefusalCode.R07, request, school=school, now=now)
            return reply_with(task.message, refusal)
        return respond(task.message, school, now=now)

    def last_resort(task: Task) -> Message:
        return reply_with(task.message, {"refusal": b""})

    ending = threading.Event()  # an answer that is broken off would have been paid for in vain
    signal.signal(signal.SIGTERM, lambda _number, _frame: ending.set())
    node = SuperNode(options.supernode, options.secret_file)
    pulse = Pulse(school.log_beat)
    serve(node, answer, last_resort=last_resort, is_ending=ending.is_set, between=pulse.look)
    school.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--school-home", type=Path, required=True)
    parser.add_argument("--supernode", required=True, metavar="HOST:PORT")
    parser.add_argument("--secret-file", type=Path, required=True)
    return parser.parse_args()
