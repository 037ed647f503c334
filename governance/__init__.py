"""Pure decisions: what may be trained, who said so, what a school refuses, what has been spent.

Words that client and server share live here (plan, round order, manifest, refusal codes), because
what may cross the boundary is a governance question and both sides then share one definition.

Nothing in this folder opens a file, a socket or a clock (except ``governance.log``, which keeps
the log on disk): bytes and the time come in as arguments, a value or a refusal comes out.
"""
