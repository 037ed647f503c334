"""Who masks with whom, and how many of them must agree: public numbers, the same for everybody."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

SPARSE_NEIGHBOURS = 52
"""In a large group every member masks with so many others."""

COMPLETE_UP_TO = SPARSE_NEIGHBOURS + 1
"""In a group of at most so many, everybody masks with everybody."""


@dataclass(frozen=True)
class Group:
    """The members of one round, known to all of them, in one order.

    Up to 53 members everybody masks with everybody. Above that the members stand in a circle in
    an order that is drawn from a hash of all their keys, and everybody masks with the next k / 2 on
    both sides: the Harary graph of Bell et al. 2020, section 3.2. The colluding are fewer than it
    takes to rebuild a seed wherever they stand. With 20 of them and a fifth of 1,000 members lost,
    a seed lacks holders to rebuild it, and the round is asked again, with probability below 2**-20
    (hypergeometric tails; ``tests/unit/privacy/test_secure_sum.py`` computes it).

    Attributes:
        keys: name -> X25519 public key of the run, 32 bytes.
        colluding: how many members may tell the server all they know.
    """

    keys: Mapping[str, bytes]
    colluding: int

    def __post_init__(self) -> None:
        """Refuse what no threshold fits.

        Raises:
            ValueError: so many colluding that they could rebuild a neighbour's seeds.
        """
        if len(self.keys) > COMPLETE_UP_TO and self.colluding > SPARSE_NEIGHBOURS // 2:
            raise ValueError(
                f"{self.colluding} of {len(self.keys)} schools may collude; in a group of more "
                f"than {COMPLETE_UP_TO} at most {SPARSE_NEIGHBOURS // 2} may"
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All members, sorted."""
        return tuple(sorted(self.keys))

    @cached_property
    def digest(self) -> str:
        """``sha256:<hex>`` over names and keys: what survivors sign that they mean."""
        lines = "".join(f"{name} {self.keys[name].hex()}\n" for name in self.names)
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"

    def point(self, name: str) -> int:
        """A member's place in the sharing of secrets, from 1."""
        return self._points[name]

    @property
    def agreement(self) -> int:
        """How many must sign the list of survivors: no two lists can both be signed by so many.

        More than half of the members and the colluding together: two lists with so many
        signatures each would have an honest member in common, and that signs one.
        """
        return (len(self.keys) + self.colluding) // 2 + 1

    def neighbours(self, name: str) -> tuple[str, ...]:
        """With whom a member masks, sorted."""
        if len(self.keys) <= COMPLETE_UP_TO:
            return tuple(other for other in self.names if other != name)
        place, reach = self._circle.index(name), SPARSE_NEIGHBOURS // 2
        steps = (*range(-reach, 0), *range(1, reach + 1))
        return tuple(sorted(self._circle[(place + step) % len(self._circle)] for step in steps))

    def holders(self, name: str) -> tuple[str, ...]:
        """Who gets a share of a member's seeds: its neighbours and itself, sorted."""
        return tuple(sorted((*self.neighbours(name), name)))

    def threshold(self, name: str) -> int:
        """How many holders can rebuild a member's seeds."""
        holders = len(self.holders(name))
        if len(self.keys) <= COMPLETE_UP_TO:
            return min(holders, self.agreement)
        return max(2 * holders // 5, self.colluding) + 1

    def holds_together(self, survivors: Collection[str]) -> bool:
        """Whether the survivors' masks tie all of them into one sum.

        Who names the lost could otherwise cut the circle in two: pair masks reach 26 places, so
        26 in a row without an honest survivor, at two places, leave two sums that can be unmasked
        one by one. If every 26 in a row hold more than half the colluding, two such stretches
        hold more than all of them, so one has an honest survivor. A complete graph cannot be cut.
        """
        if len(self.keys) <= COMPLETE_UP_TO:
            return True
        reach = SPARSE_NEIGHBOURS // 2
        there = [name in survivors for name in self._circle]
        around = there + there[: reach - 1]
        fewest = min(sum(around[first : first + reach]) for first in range(len(there)))
        return fewest > self.colluding // 2

    @cached_property
    def _points(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names, start=1)}

    @cached_property
    def _circle(self) -> Sequence[str]:
        def place(name: str) -> bytes:
            return hashlib.sha256(f"{self.digest}\n{name}".encode()).digest()

        return sorted(self.names, key=place)
