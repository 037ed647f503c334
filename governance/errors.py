"""What can go wrong, named by who must act.

==================  ==========================================================================
`Refused`           the school says no (``fedtrace.governance.refusals``)
`Rejected`          the bytes that came are bad: whoever sent them must send others
`BudgetExhausted`   the privacy budget is spent: nobody can act before the next student-year
`PolicyError`       a plan, charter or policy is wrong: whoever wrote it must change it
`Corrupt`           stored state contradicts itself: stop, do not repair, call a person
==================  ==========================================================================

Sentences name the value and the bound. They never hold anything about a student.
"""

from __future__ import annotations


class Rejected(Exception):  # noqa: N818 - the glossary's word
    """Something that came from outside failed a check.

    Args:
        check: the check's short name or number, fit for a log.
        sentence: what was found and what is allowed.
    """

    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(f"{check}: {sentence}")
        self.check = check
        self.sentence = sentence


class BudgetExhausted(Exception):  # noqa: N818 - says what happened
    """The next release would cost more privacy than was allowed; the job ends here, in order."""


class PolicyError(ValueError):
    """A document that people write breaks a rule; each line names the path, value and bound."""


class Corrupt(Exception):  # noqa: N818 - says what is
    """Stored state contradicts itself. Nothing repairs this by a guess."""
