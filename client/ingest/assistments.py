"""ASSISTments exports in the style of 2009-10: one row an answer *and* skill.

The data's own documentation: an answer to a problem with several skills appears once a skill, all
with one ``order_id``; scored one by one, the repeats leak the answer into the model (a DKT goes
from .74 to .83 AUC on this data). They are merged into the skill that comes first in the catalogue.
"""

from __future__ import annotations

from fedtrace.client.ingest.mapping import Columns, Mapping

ASSISTMENTS_2009 = Mapping(
    columns=Columns(student="user_id", skill="skill_name", correct="correct", order="order_id"),
)
"""Reads four of about thirty columns; teacher, class, school and answer text stay unread."""
