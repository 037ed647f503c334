"""Attacks on what was released: what is promised is also tried.

Each module is the mathematics of one attack: what the attacker computes, and how sure one may be of
what was measured. A proof bounds every attacker and may have a mistake in it, or in the code that
claims to follow it; an attack shows a mistake and proves nothing by failing, unless the same attack
succeeds where the protection is off.
"""
