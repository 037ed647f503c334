"""Bytes become a document or an error; one value has one encoding; TOML errors help."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.gate import (
    PLAN_TOML,
    POLICY_TOML,
    charter,
    order_for,
    plan_with,
    policy_with,
    signer,
)

from fedtrace.governance.agreement import add_agreement
from fedtrace.governance.canonical import canonical
from fedtrace.governance.charter import Charter
from fedtrace.governance.document import Document
from fedtrace.governance.errors import PolicyError, Rejected
from fedtrace.governance.manifest import (
    MANIFEST_TYPE,
    REFUSAL_TYPE,
    Manifest,
    RefusalNotice,
    sign_manifest,
    sign_refusal,
)
from fedtrace.governance.orders import open_order, sign_order
from fedtrace.governance.plan import Plan, load_toml
from fedtrace.governance.plan_signing import open_plan, sign_plan
from fedtrace.governance.policy import load_policy_toml, open_policy, sign_policy
from fedtrace.governance.refusals import RefusalCode
from fedtrace.governance.signing import SignatureError, verify_envelope


def manifest() -> Manifest:
    order = order_for(plan_with())
    return Manifest(
        school="school-1",
        plan_digest=order.plan_digest,
        run_id=order.run_id,
        round=order.round,
        kind=order.kind,
        order_digest=order.digest(),
        nonce=order.nonce,
        update_digest="sha256:" + "5" * 64,
        payload_bytes=320,
        schema_fingerprint="sha256:" + "2" * 64,
    )


def refusal() -> RefusalNotice:
    return RefusalNotice(
        school="school-1",
        plan_digest=None,
        run_id=None,
        round=None,
        code=RefusalCode.R09,
        clause="charter.aggregator",
    )


DOCUMENTS: list[Callable[[], Document]] = [
    plan_with,
    policy_with,
    charter,
    manifest,
    refusal,
    lambda: order_for(plan_with()),
]


@pytest.mark.parametrize("make", DOCUMENTS)
def test_a_document_survives_its_bytes(make: Callable[[], Document]) -> None:
    document = make()
    assert type(document).from_bytes(document.to_bytes()) == document


@pytest.mark.parametrize("make", DOCUMENTS)
def test_a_second_encoding_of_the_same_value_is_refused(make: Callable[[], Document]) -> None:
    document = make()
    with pytest.raises(Rejected, match="not in its canonical encoding"):
        type(document).from_bytes(document.to_bytes() + b" ")


@pytest.mark.parametrize("make", DOCUMENTS)
def test_a_field_that_nobody_defined_is_refused(make: Callable[[], Document]) -> None:
    document = make()
    with pytest.raises(Rejected, match="at zz: Extra inputs"):
        type(document).from_bytes(document.to_bytes()[:-1] + b',"zz":1}')


@pytest.mark.parametrize("make", DOCUMENTS)
@pytest.mark.parametrize(
    ("number", "sentence"),
    [(b"/2", r"of a newer fedtrace.*: upgrade fedtrace here"), (b"/0", "at format: Input should")],
)
def test_another_version_of_a_format_says_who_must_upgrade(
    make: Callable[[], Document], number: bytes, sentence: str
) -> None:
    """Also where the newer version has fields that this one does not know."""
    document = make()
    newer = document.to_bytes().replace(b'/1"', number + b'"')[:-1] + b',"zz":1}'
    assert newer.count(number + b'"') >= 1
    with pytest.raises(Rejected, match=sentence):
        type(document).from_bytes(newer)


@pytest.mark.parametrize("make", DOCUMENTS)
def test_more_bytes_than_the_limit_are_not_parsed(make: Callable[[], Document]) -> None:
    kind = type(make())
    with pytest.raises(Rejected, match=f"at most {kind.limit_bytes}"):
        kind.from_bytes(b"x" * (kind.limit_bytes + 1))


@pytest.mark.parametrize("junk", [b"", b"1", b"[" * 60_000, b"\xff", b'{"round":1e999}'])
def test_junk_is_one_error(junk: bytes) -> None:
    with pytest.raises(Rejected):
        RefusalNotice.from_bytes(junk[: RefusalNotice.limit_bytes])


def test_an_error_does_not_repeat_what_came() -> None:
    payload = refusal().to_bytes().replace(b"charter.aggregator", b"pupil Anna Example")
    with pytest.raises(Rejected) as error:
        RefusalNotice.from_bytes(payload)
    assert "Anna" not in str(error.value)


def test_signed_order_manifest_and_refusal_open_again() -> None:
    order = order_for(plan_with())
    opened = open_order(sign_order(order, signer("aggregator")), signer("aggregator").public_key)
    assert (opened.order, opened.digest) == (order, order.digest())
    keys = {"school-1": signer("school-1").public_key}
    sent = verify_envelope(sign_manifest(manifest(), signer("school-1")), MANIFEST_TYPE, keys, 1)
    assert Manifest.from_bytes(sent.payload) == manifest()
    no = verify_envelope(sign_refusal(refusal(), signer("school-1")), REFUSAL_TYPE, keys, 1)
    assert RefusalNotice.from_bytes(no.payload) == refusal()


def test_a_school_joins_a_plan_without_changing_its_digest() -> None:
    plan = plan_with()
    joined = add_agreement(sign_plan(plan, [signer("school-1")]), plan, signer("school-2"))
    opened = open_plan(joined, charter())
    assert opened.signers == ("school-1", "school-2")
    assert opened.digest == plan.digest()


def test_nobody_signs_another_plan_than_the_one_they_read() -> None:
    envelope = sign_plan(plan_with({"rounds.count": 19}), [signer("school-1")])
    with pytest.raises(SignatureError, match=plan_with().digest()):
        add_agreement(envelope, plan_with(), signer("school-2"))


def test_a_policy_counts_only_with_its_own_schools_signature() -> None:
    key = signer("school-1").public_key
    assert open_policy(sign_policy(policy_with(), signer("school-1")), key) == policy_with()
    with pytest.raises(SignatureError, match="0 of the 1"):
        open_policy(sign_policy(policy_with(), signer("aggregator")), key)


def test_equal_moments_have_equal_digests() -> None:
    elsewhere = PLAN_TOML.replace("2026-09-01T00:00:00Z", "2026-09-01T02:00:00+02:00")
    assert load_toml(elsewhere).digest() == load_toml(PLAN_TOML).digest()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("delta = 1e-5", "delta = 2", "privacy.delta: 2 is not allowed: input should be less"),
        ("sampling_rate", "samplig_rate", "privacy.samplig_rate: unknown key; did you mean sam"),
        ("sampling_rate", "samplig_rate", "privacy.sampling_rate: missing"),
        ('{ name = "skill"', '{ nme = "skill"', "data.fields.1.nme: unknown key; did you mean n"),
        ("[app]", "[[app]]", "app: "),
        ("[app]\n", "[app]\nqqqq = 1\n", "app.qqqq: unknown key; known here: fab_digest"),
        ("count = 20", 'count = "20"', 'rounds.count: "20" is not allowed: input should be a val'),
        ("count = 20", "count = 2.5", "rounds.count: 2.5 is not allowed"),
        ("commercial_use = false", "commercial_use = true", "commercial_use: true is not allowed"),
        ("no_redisclosure = true", "", "terms.no_redisclosure: missing"),
        ("2026-09-01T00:00:00Z", "2026-09-01T00:00:00", "input should have timezone info"),
        ("2026-09-01T00:00:00Z", "2026-09-01", "write a moment, 2026-09-01T00:00:00Z"),
        ('"school-3"]', '"school-1"]', "named twice: school-1"),
        ('"school-3"]', '"../../etc"]', "schools.members.2"),
        ('updates = "P0D"', 'updates = "forever"', 'retention.updates: "forever" is not allowed'),
        ("learning_rate = 0.03", "learning_rate = inf", "aggregation.learning_rate"),
        ("learning_rate = 0.03", "learning_rate = nan", "aggregation.learning_rate"),
        ("[app]", "[app", "not TOML"),
    ],
)
def test_a_wrong_plan_says_where_what_and_the_bound(old: str, new: str, sentence: str) -> None:
    assert old in PLAN_TOML
    with pytest.raises(PolicyError) as error:
        load_toml(PLAN_TOML.replace(old, new))
    assert sentence in str(error.value)


def with_step_factors(*parameters: int) -> str:
    stretches = ", ".join(f"{{ parameters = {count}, factors = [2.0] }}" for count in parameters)
    rate = "learning_rate = 0.03"
    assert rate in PLAN_TOML
    return PLAN_TOML.replace(rate, f"{rate}\nstep_factors = [{stretches}]")


def test_a_plan_without_step_factors_does_not_name_them() -> None:
    """So that a plan from before there were any keeps its bytes; null would be a second way."""
    usual = load_toml(PLAN_TOML)
    half, odd = divmod(usual.model.parameters, 2)
    factored = load_toml(with_step_factors(half, half + odd))
    values = json.loads(usual.to_bytes())
    values["aggregation"]["step_factors"] = None

    assert b"step_factors" not in usual.to_bytes()
    assert Plan.from_bytes(factored.to_bytes()) == factored
    with pytest.raises(Rejected, match="not in its canonical encoding"):
        Plan.from_bytes(canonical(values))


def test_step_factors_for_another_model_are_refused() -> None:
    parameters = load_toml(PLAN_TOML).model.parameters

    with pytest.raises(PolicyError, match=f"for {parameters + 1} parameters, the model has"):
        load_toml(with_step_factors(parameters, 1))


def test_step_factors_that_end_in_the_middle_of_a_row_are_refused() -> None:
    parameters = load_toml(PLAN_TOML).model.parameters
    odd = ", ".join(["2.0"] * (parameters - 1))

    with pytest.raises(PolicyError, match=f"{parameters} parameters are no multiple of"):
        load_toml(with_step_factors(parameters).replace("[2.0]", f"[{odd}]"))


def test_all_problems_are_told_at_once() -> None:
    wrong = PLAN_TOML.replace("delta = 1e-5", "delta = 2").replace("count = 20", "count = 0")
    with pytest.raises(PolicyError) as error:
        load_toml(wrong)
    assert len(str(error.value).splitlines()) == 2


def test_a_long_value_is_cut_in_the_error() -> None:
    wrong = PLAN_TOML.replace('name = "fractions-2026"', f'name = "{"x" * 5000}"')
    with pytest.raises(PolicyError) as error:
        load_toml(wrong)
    assert len(str(error.value)) < 300


def test_a_byte_order_mark_is_harmless_and_a_huge_file_is_not_read() -> None:
    assert load_toml("\ufeff" + PLAN_TOML) == load_toml(PLAN_TOML)
    with pytest.raises(PolicyError, match="at most 262144"):
        load_toml("#" * 262_145)


def test_a_policy_says_where_it_is_wrong() -> None:
    with pytest.raises(PolicyError, match=r"privacy\.min_noise_multiplier: 0\.0 is not allowed"):
        load_policy_toml(POLICY_TOML.replace("multiplier = 1.0", "multiplier = 0.0"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"threshold": 4}, "the threshold is 4, there are 3 members"),
        ({"members": charter().members[:1] * 2}, "same name"),
        (
            {
                "aggregator": charter().aggregator.model_copy(
                    update={"public_key": signer("school-2").public_key}
                )
            },
            "one key stands in two places",
        ),
    ],
)
def test_a_charter_gives_every_key_one_role(changes: dict[str, object], sentence: str) -> None:
    values = charter().model_dump() | changes
    with pytest.raises(ValueError, match=sentence):
        Charter(**values)


def test_a_rule_over_the_whole_document_is_told_as_it_is() -> None:
    """From the bytes that a verifier reads, and from the text that a person wrote."""
    written = canonical(json.loads(charter().to_bytes()) | {"threshold": 4})
    with pytest.raises(Rejected) as rejected:
        Charter.from_bytes(written)
    assert rejected.value.sentence == (
        "the charter is not well formed: the threshold is 4, there are 3 members"
    )
    with pytest.raises(PolicyError, match="is not allowed: named twice: school-1"):
        load_toml(PLAN_TOML.replace('"school-3"]', '"school-1"]'))
