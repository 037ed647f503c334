// Entries: a CloudEvents 1.0 envelope in RFC 8785 JSON, and a closed list of types.

const DIGEST = /^sha256:[0-9a-f]{64}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const DECIMAL = /^(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?(e-?[0-9]{1,3})?$/;
const BUCKET = /^(0|1-9|10-19|20-49|50-99|100-199|200-499|500-999|1000\+)$/;
const text = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const whole = (least, most) => (value) => Number.isSafeInteger(value) && value >= least && value <= most;
const list = (one) => (value) => Array.isArray(value) && value.every(one);
const digestText = text(DIGEST), nameText = text(NAME), decimalText = text(DECIMAL), bucket = text(BUCKET);
const count = whole(0, 2 ** 53 - 1), roundNumber = whole(1, 1e6);
const orNull = (one) => (value) => value === null || one(value);
const input = (value) =>
  value !== null && typeof value === "object" && Object.keys(value).sort().join() === "digest,school" &&
  digestText(value.digest) && nameText(value.school);

const VALUES = {
  school: nameText, run_id: nameText, schools: list(nameText), signers: list(nameText),
  plan_digest: digestText, charter_digest: digestText, policy_digest: digestText, digest: digestText,
  order_digest: digestText, checkpoint_digest: digestText, output_digest: digestText,
  previous_digest: digestText, version: roundNumber, cohort_root: digestText, token_digest: digestText, request: text(/^[0-9a-f]{32}$/),
  round: roundNumber, kind: text(/^(train|evaluate)$/), inputs: list(input),
  noise_multiplier: decimalText, sampling_rate: decimalText, clipping_norm: decimalText,
  epsilon_job: decimalText, delta: decimalText, trust_mode: text(/^(local|distributed)$/),
  rule: text(/^(sgd|momentum|adam)$/), check: text(/^A[0-9]{2}$/), code: text(/^R(0[1-9]|1[0-9]|2[0-2])$/),
  clause: text(/^[a-z][a-z_.]{0,63}$/), on: (value) => typeof value === "boolean",
  students: bucket, rows_kept: bucket, rows_rejected: bucket, cohort_size: bucket, requested: bucket,
  given: bucket, refused: bucket, withdrawn: bucket, expired: bucket,
  columns_kept: count, columns_dropped: count, answered: count, minimum: count, rounds: count, averaged: count,
  scope: text(/^(student|school)$/), matter: text(/^(litigation|investigation|records_request)$/),
};

const OWN = {
  "access.given": { kind: text(/^(cohort|everything)$/) },
  "run.closed": { reason: text(/^(completed|quorum_not_reached|budget_exhausted|plan_revoked|abandoned)$/) },
  "plan.revoked": { reason: text(/^(mistake|incident|replaced|no_longer_wanted)$/) },
  "order.refused": { plan_digest: orNull(digestText), run_id: orNull(nameText), round: orNull(roundNumber) },
};

const ROUND = "plan_digest run_id round kind";
const SCHOOL_TYPES = {
  "school.initialised": "school charter_digest policy_digest",
  "policy.changed": "policy_digest",
  "charter.accepted": "charter_digest previous_digest",
  "import.completed": "request students rows_kept rows_rejected columns_kept columns_dropped",
  "plan.accepted": "plan_digest signers",
  "round.reserved": `${ROUND} noise_multiplier sampling_rate cohort_size cohort_root`,
  "update.sent": `${ROUND} digest`,
  "shares.revealed": `${ROUND} schools`,
  "order.refused": "code clause plan_digest run_id round",
  "kill_switch.changed": "on",
  "consent.changed": "request students requested given refused withdrawn expired",
  "record.erased": "request token_digest",
  "cohort.removed": "request cohort_root",
  "hold.placed": "request scope matter",
  "hold.lifted": "request",
  "access.given": "request kind",
  "log.heartbeat": "",
};
const CONSORTIUM_TYPES = {
  "charter.adopted": "charter_digest",
  "charter.changed": "charter_digest previous_digest version signers",
  "plan.activated": "plan_digest signers trust_mode epsilon_job delta",
  "plan.revoked": "plan_digest signers reason",
  "run.opened": "plan_digest run_id",
  "round.opened": `${ROUND} order_digest checkpoint_digest schools`,
  "update.received": `${ROUND} school digest`,
  "update.unused": `${ROUND} school digest`,
  "update.rejected": `${ROUND} school check`,
  "school.refused": `${ROUND} school code digest`,
  "school.missing": `${ROUND} school`,
  "round.closed": `${ROUND} inputs output_digest rule clipping_norm noise_multiplier sampling_rate`,
  "round.failed": `${ROUND} answered minimum`,
  "evaluation.closed": `${ROUND} inputs noise_multiplier`,
  "run.closed": "plan_digest run_id reason rounds",
  "model.released": "plan_digest run_id digest averaged",
  "log.heartbeat": "",
};

// RFC 8785 of what entries are made of: ASCII strings, whole numbers, true, false, null.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

function readEntry(bytes, index, origin, isSchool) {
  const fail = (check, sentence) => {
    throw new Failed(check, `entry ${index} ${sentence}`);
  };
  if (bytes.length > 32768) fail("entry.size", "is over 32,768 bytes");
  const line = ascii(bytes);
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    fail("entry.json", "is not JSON");
  }
  // Text beyond ASCII is one of no value that an entry can hold: the rules for values find it.
  if (canonical(value) !== line) fail("entry.canonical", "is not in its one encoding");
  const types = { ...SCHOOL_TYPES, ...CONSORTIUM_TYPES };
  if (value === null || typeof value !== "object" || !Object.hasOwn(types, value.type)) {
    fail("entry.type", "has a type that no log can hold");
  }
  const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/.test(value.time) ? new Date(value.time) : NaN;
  const onCalendar = !isNaN(time) && time.toISOString().slice(0, 19) === value.time.slice(0, 19);
  const keys = "data,datacontenttype,id,source,specversion,time,type";
  if (
    Object.keys(value).sort().join() !== keys || value.specversion !== "1.0" || !onCalendar ||
    value.datacontenttype !== "application/json" || !/^(0|[1-9][0-9]{0,15})$/.test(value.id)
  ) {
    fail("entry.envelope", "is not a CloudEvents 1.0 envelope");
  }
  if (value.id !== String(index)) fail("entry.index", "says that it is another one");
  if (value.source !== origin) fail("entry.origin", "was written for another log");
  const data = value.data;
  const wanted = types[value.type].split(" ").filter(Boolean);
  const rules = { ...VALUES, ...OWN[value.type] };
  if (
    data === null || typeof data !== "object" || Object.keys(data).sort().join() !== [...wanted].sort().join() ||
    !wanted.every((key) => rules[key](data[key]))
  ) {
    fail("entry.schema", "does not hold what its type holds");
  }
  if (!Object.hasOwn(isSchool ? SCHOOL_TYPES : CONSORTIUM_TYPES, value.type)) {
    fail("log.kind", `is ${value.type}, of another kind of log`);
  }
  return { ...data, type: value.type, time: value.time };
}
