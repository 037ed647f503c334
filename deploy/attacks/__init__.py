"""``fedtrace audit attack``: the attacks of ``fedtrace.privacy.attacks`` on real releases.

Students are simulated (``fedtrace.models.simulator``), so that anybody may attack them; models,
plans and noise are those of a deployment. Every attack has a control in which differential
privacy is off: an attack that fails there too says nothing.
"""
