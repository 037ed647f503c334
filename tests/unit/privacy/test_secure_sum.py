"""Masks, shares and the sum: exact with everybody, with some lost, and silent about each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom
from support.thoroughness import examples

from fedtrace.privacy.secure_sum.group import COMPLETE_UP_TO, Group
from fedtrace.privacy.secure_sum.masks import derive, mask, pair_secret, seal, unseal
from fedtrace.privacy.secure_sum.protocol import MaskedInput, Member, RevealedShares, unmask
from fedtrace.privacy.secure_sum.sharing import PRIME, combine, split

SIZE = 40


class Run:
    """All members of one round, in one place."""

    def __init__(self, members: int, *, colluding: int = 0, order: str = "order 1") -> None:
        self.keys = {f"s{i:03d}": X25519PrivateKey.generate() for i in range(members)}
        public = {name: key.public_key().public_bytes_raw() for name, key in self.keys.items()}
        self.group = Group(public, colluding)
        self.members = {name: self.member(name, order) for name in self.keys}
        rng = np.random.default_rng(members)
        self.inputs = {name: rng.integers(-(10**6), 10**6, SIZE) for name in self.keys}
        self.sent: dict[str, MaskedInput] = {
            name: member.mask(self.inputs[name]) for name, member in self.members.items()
        }

    def member(self, name: str, order: str) -> Member:
        return Member(name, self.keys[name], self.group, run="plan/run", order=order)

    def reveal(self, name: str, survivors: list[str]) -> dict[str, RevealedShares]:
        sealed = {
            owner: self.sent[owner].sealed[name]
            for owner in survivors
            if name in self.sent[owner].sealed
        }
        return self.members[name].reveal(sealed, survivors)

    def total(
        self, survivors: list[str], revealed: dict[str, dict[str, RevealedShares]]
    ) -> np.ndarray:
        words = np.zeros(SIZE, dtype=np.uint32)
        for name in survivors:
            words = words + self.sent[name].words
        commitments = {name: self.sent[name].commitments for name in survivors}
        return unmask(self.group, words, commitments, revealed)


@pytest.mark.parametrize(
    ("members", "lost", "silent"), [(2, 0, 0), (3, 1, 0), (7, 2, 1), (40, 8, 4), (60, 9, 3)]
)
def test_the_sum_is_exact_whoever_is_lost(members: int, lost: int, silent: int) -> None:
    """``lost`` never send an input; ``silent`` send one and are gone when shares are asked for."""
    run = Run(members)
    survivors = list(run.keys)[lost:]
    revealed = {name: run.reveal(name, survivors) for name in survivors[silent:]}
    wanted = np.sum([run.inputs[name] for name in survivors], axis=0)
    assert (run.total(survivors, revealed) == wanted).all()


def test_a_sum_is_signed_and_wraps_at_the_modulus() -> None:
    run = Run(3)
    run.inputs = {name: np.full(SIZE, -(2**30)) for name in run.keys}
    run.sent = {name: member.mask(run.inputs[name]) for name, member in run.members.items()}
    everybody = list(run.keys)
    revealed = {name: run.reveal(name, everybody) for name in everybody}
    assert (run.total(everybody, revealed) == -3 * 2**30 + 2**32).all()


def test_too_few_shares_unmask_nothing() -> None:
    run = Run(5)
    everybody = list(run.keys)
    revealed = {name: run.reveal(name, everybody) for name in everybody[:2]}
    with pytest.raises(ValueError, match="2 of the 3 shares of s000"):
        run.total(everybody, revealed)


def test_a_wrong_share_is_noticed() -> None:
    run = Run(3)
    everybody = list(run.keys)
    revealed = {name: run.reveal(name, everybody) for name in everybody}
    wrong = revealed["s000"]["s001"]
    changed = RevealedShares(own=bytes(33 - 1) + b"\1", pairs=wrong.pairs)
    revealed["s000"]["s001"] = changed
    with pytest.raises(ValueError, match="the shares of s001 give another seed"):
        run.total(everybody, revealed)


def test_nobody_reveals_both_seeds_of_a_school() -> None:
    run = Run(6)
    survivors = list(run.keys)[:4]
    for name in survivors:
        revealed = run.reveal(name, survivors)
        assert set(revealed) == set(survivors)
        for shares in revealed.values():
            assert set(shares.pairs) == set(run.keys) - set(survivors)


def test_masked_inputs_look_uniform_and_differ_in_every_round() -> None:
    first, second = Run(3), Run(3)
    zeros = np.zeros(100_000, dtype=np.int64)
    words = first.members["s000"].mask(zeros).words
    assert abs(words.astype(np.float64).mean() / 2**32 - 0.5) < 0.005
    assert abs((words & 1).mean() - 0.5) < 0.01
    later = first.member("s000", "order 2").mask(zeros).words
    assert abs(np.corrcoef(words, later)[0, 1]) < 0.02
    assert (words == first.members["s000"].mask(zeros).words).all()
    other = second.members["s000"].mask(zeros).words
    assert abs(np.corrcoef(words, other)[0, 1]) < 0.02


def test_the_sum_of_all_but_one_says_nothing_about_the_one() -> None:
    """Everybody else's inputs and masks together do not take the mask off one input."""
    run = Run(3)
    others = np.sum([run.sent[name].words for name in ("s001", "s002")], axis=0, dtype=np.uint32)
    left = (run.sent["s000"].words + others).view(np.int32).astype(np.int64)
    wanted = np.sum(list(run.inputs.values()), axis=0)
    assert (left != wanted).mean() > 0.9


def test_shares_for_another_holder_or_round_cannot_be_opened() -> None:
    run = Run(3)
    sealed = {"s000": run.sent["s000"].sealed["s002"]}
    assert "s000" not in run.members["s001"].reveal(sealed, list(run.keys))
    later = run.member("s001", "order 2")
    sealed = {"s000": run.sent["s000"].sealed["s001"]}
    assert "s000" not in later.reveal(sealed, list(run.keys))


def test_a_group_with_another_key_is_refused() -> None:
    run = Run(3)
    with pytest.raises(ValueError, match="does not hold the key that s000"):
        Member("s000", X25519PrivateKey.generate(), run.group, run="plan/run", order="o")
    small_order = Group({**run.group.keys, "s001": bytes(32)}, 0)
    with pytest.raises(ValueError):
        Member("s000", run.keys["s000"], small_order, run="plan/run", order="o")


# --- groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "colluding", "agreement"), [(2, 0, 2), (3, 0, 2), (3, 1, 3), (4, 1, 3), (17, 2, 10)]
)
def test_two_lists_cannot_both_be_agreed_on(members: int, colluding: int, agreement: int) -> None:
    group = Group({f"s{i}": bytes(32) for i in range(members)}, colluding)
    assert group.agreement == agreement
    assert 2 * group.agreement - members > colluding
    assert group.threshold("s0") == min(members, agreement)


def test_a_large_group_is_a_regular_graph_that_all_draw_alike() -> None:
    keys = {f"s{i:03d}": bytes([i % 251, i // 251]) * 16 for i in range(200)}
    group, again = Group(keys, 20), Group(dict(reversed(keys.items())), 20)
    assert group.digest == again.digest
    for name in group.names:
        neighbours = group.neighbours(name)
        assert neighbours == again.neighbours(name)
        assert len(neighbours) == len(set(neighbours)) == 52
        assert name not in neighbours
        assert all(name in group.neighbours(other) for other in neighbours)
    other = Group({**keys, "s000": bytes(31) + b"\1"}, 20)
    assert other.neighbours("s001") != group.neighbours("s001")
    assert len(Group(dict(list(keys.items())[:COMPLETE_UP_TO]), 0).neighbours("s000")) == 52


def test_the_sparse_graph_is_as_safe_as_its_docstring_says() -> None:
    group = Group({f"s{i}": bytes(32) for i in range(1000)}, 20)
    neighbours, needed = len(group.neighbours("s0")), group.threshold("s0")

    def some_neighbourhood(members: int, marked: int, more_than: int) -> float:
        tail = hypergeom.sf(more_than, members - 1, marked, neighbours)
        return float(members * tail)

    assert needed > 20  # no neighbourhood can be broken, however the colluding stand
    assert some_neighbourhood(200, 40, neighbours + 1 - needed) < 2**-20
    assert some_neighbourhood(1000, 200, neighbours + 1 - needed) < 2**-20


def test_a_circle_cannot_be_cut_into_two_sums() -> None:
    """The aggregator names as lost whoever stands between two arcs of a large group."""
    group = Group({f"s{i:03d}": bytes([i]) * 32 for i in range(120)}, 0)
    circle = list(group._circle)
    lost = {*circle[22:48], *circle[94:120]}
    survivors = [name for name in group.names if name not in lost]
    assert len(survivors) >= group.agreement
    assert not group.holds_together(survivors)
    one_between = [*survivors, circle[30]]
    assert not group.holds_together(one_between)
    assert group.holds_together([*one_between, circle[100]])
    assert group.holds_together(group.names)
    assert group.holds_together([name for i, name in enumerate(group.names) if i % 5])
    colluding = Group(group.keys, 4)
    assert not colluding.holds_together([*survivors, *circle[30:32], *circle[100:102]])
    assert colluding.holds_together([*survivors, *circle[30:33], *circle[100:103]])


def test_the_colluding_can_never_rebuild_a_seed() -> None:
    for members, colluding in ((5, 3), (53, 40), (54, 26), (200, 26)):
        group = Group({f"s{i:03d}": bytes([i]) * 32 for i in range(members)}, colluding)
        assert group.threshold("s000") > colluding
    with pytest.raises(ValueError, match="27 of 54 schools may collude"):
        Group({f"s{i:03d}": bytes([i]) * 32 for i in range(54)}, 27)


# --- sharing --------------------------------------------------------------------------------------


def test_the_prime_is_one() -> None:
    """Miller and Rabin with forty bases; and no smaller number above 2**256 passes with one."""

    def passes(number: int, base: int) -> bool:
        odd, twos = number - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        power = pow(base, odd, number)
        if power in (1, number - 1):
            return True
        return any((power := power * power % number) == number - 1 for _ in range(twos - 1))

    assert all(passes(PRIME, base) for base in range(2, 42))
    assert not any(passes(number, 3) for number in range(2**256 + 1, PRIME))


@examples(30)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 7), st.integers(0, 5), st.randoms())
def test_any_threshold_of_shares_gives_the_secret(
    secret: bytes, threshold: int, more: int, random: object
) -> None:
    points = tuple(range(1, threshold + more + 1))
    randomness = np.random.default_rng(threshold).bytes(64 * (threshold - 1))
    shares = split(secret, threshold=threshold, points=points, randomness=randomness)
    chosen = list(points)
    random.shuffle(chosen)  # type: ignore[attr-defined]
    assert combine({point: shares[point] for point in chosen[:threshold]}) == secret


def test_fewer_shares_say_nothing() -> None:
    """For every other secret there is a polynomial through the same shares."""
    first = split(b"\1" * 32, threshold=2, points=(1, 2), randomness=bytes(64))
    value, other = int.from_bytes(first[1]), 12345
    slope = ((value - other) % PRIME).to_bytes(64)
    second = split(other.to_bytes(32), threshold=2, points=(1, 2), randomness=slope)
    assert first[1] == second[1]
    assert combine({1: first[1]}) != b"\1" * 32 or int.from_bytes(first[1]) == value


@pytest.mark.parametrize(
    "call",
    [
        lambda: split(b"short", threshold=1, points=(1,), randomness=b""),
        lambda: split(bytes(32), threshold=2, points=(1, 2), randomness=bytes(63)),
        lambda: split(bytes(32), threshold=0, points=(1,), randomness=b""),
        lambda: split(bytes(32), threshold=1, points=(0,), randomness=b""),
        lambda: split(bytes(32), threshold=1, points=(1, 1), randomness=b""),
        lambda: combine({}),
        lambda: combine({1: bytes(32)}),
    ],
)
def test_what_cannot_be_shared_or_combined(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError):
        call()


# --- masks ----------------------------------------------------------------------------------------


def test_pair_secrets_are_shared_and_bound() -> None:
    a, b = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    names = frozenset(("a", "b"))

    def secret(own: X25519PrivateKey, other: X25519PrivateKey, run: str = "r") -> bytes:
        public = other.public_key().public_bytes_raw()
        return pair_secret(own, public, run=run, members=names)

    assert secret(a, b) == secret(b, a)
    assert secret(a, b) != secret(a, b, run="r2")
    assert secret(a, b) != pair_secret(
        a, b.public_key().public_bytes_raw(), run="r", members=frozenset(("a", "c"))
    )


def test_derived_bytes_follow_rfc_5869() -> None:
    """Test case 1 of the RFC's appendix, whose info is bytes that no label of ours has."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    info = b"fedtrace/secure-sum/test\na\nb"
    wanted = HKDFExpand(SHA256(), 100, info).derive(b"\7" * 32)
    assert derive(b"\7" * 32, "test", "a", "b", size=100) == wanted


def test_sealed_bytes_open_only_in_their_context() -> None:
    sealed = seal(b"k" * 32, b"message", b"context")
    assert unseal(b"k" * 32, sealed, b"context") == b"message"
    for key, context in ((b"l" * 32, b"context"), (b"k" * 32, b"other")):
        with pytest.raises(InvalidTag):
            unseal(key, sealed, context)


def test_a_mask_is_a_function_of_its_seed() -> None:
    assert (mask(b"s" * 32, 9) == mask(b"s" * 32, 9)).all()
    assert math.isclose(mask(b"s" * 32, 10**5).astype(float).mean(), 2**31, rel_tol=0.01)
