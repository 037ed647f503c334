// The signed plans (DSSE) that the logs name by digest, and the consortium's log held against them.

const PLAN_TYPE = "application/vnd.fedtrace.plan+json";
async function openPlan(bytes, digest, charter) {
  const { content, signedBy } = readEnvelope(bytes, PLAN_TYPE, "plans.signed");
  const agreed = new Map();
  for (const version of charter.versions) agreed.set(version.digest, await agreeing(signedBy, version));
  if (!charter.versions.some((version) => agreed.get(version.digest).length >= version.threshold)) {
    throw new Failed("plans.signed", `${agreed.get(charter.digest).length} of ${charter.threshold} members signed it`);
  }
  if (`sha256:${hex(await sha256(content))}` !== digest) throw new Failed("plans.signed", "it is another plan");
  return { plan: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content)), signedBy };
}

// A plan must have been agreed to under every version of the charter under which it was used, and by
// everybody whom the log names. A school's copy of a plan may be older than the last signature.
async function notSignedAsTold(log, charter, signatures, copied) {
  const looked = new Map();
  for (const [entry, version] of underCharters(log, charter)) {
    const copies = signatures.get(entry.plan_digest);
    if (!["plan.activated", "round.opened"].includes(entry.type) || !copies) continue;
    const key = `${entry.plan_digest} ${version.digest}`;
    if (!looked.has(key)) {
      looked.set(key, await agreeing(async (one) => {
        for (const each of copies) if (await each(one)) return true;
        return false;
      }, version));
    }
    const agreed = looked.get(key);
    if (agreed.length < version.threshold) {
      return `The plan ${entry.plan_digest} was used under version ${version.version} of the charter, whose members did not agree to it.`;
    }
    const unproven = entry.type === "plan.activated" && !copied && entry.signers.find((name) => !agreed.includes(name));
    if (unproven) return `The log says that ${unproven} signed the plan ${entry.plan_digest}, and no copy here shows it.`;
  }
  return null;
}

// The same of a revocation. Missing ones are counted with the missing plans.
const REVOCATION_TYPE = "application/vnd.fedtrace.plan-revocation+json";
async function notRevokedAsTold(log, charter, copiesOf) {
  for (const [entry, version] of underCharters(log, charter)) {
    const copies = entry.type === "plan.revoked" ? copiesOf(entry.plan_digest) : [];
    const agreed = new Set();
    for (const bytes of copies) {
      try {
        const { content, signedBy } = readEnvelope(bytes, REVOCATION_TYPE, "plans.signed");
        const { consortium, plan_digest, reason } = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
        if (consortium !== version.consortium || plan_digest !== entry.plan_digest || reason !== entry.reason) throw new Error("it is another one");
        for (const name of await agreeing(signedBy, version)) agreed.add(name);
      } catch (error) {
        return `The revocation of plan ${entry.plan_digest} here is not what the log tells of: ${error.message}.`;
      }
    }
    const unproven = copies.length && entry.signers.find((name) => !agreed.has(name));
    if (unproven) return `The log says that ${unproven} took back the plan ${entry.plan_digest}, and no copy here shows it.`;
  }
  return null;
}

function planCopies(files, found, digest, file = "plan.dsse.json") {
  const name = digest.replace("sha256:", "");
  return found.flatMap(({ home }) => [name, `sha256-${name}`].map((folder) => files.get(`${home}plans/${folder}/${file}`)))
    .filter(Boolean);
}

async function checkPlans(files, found, charter, together, say) {
  const naming = (logs) => new Set(logs.flatMap((each) => of(each.entries, "plan.activated", "plan.accepted")).map((e) => e.plan_digest));
  const own = naming(found.filter((each) => each.school));
  // A school has the plans that it takes part in, and a copy of the log of all.
  const copied = found.some((each) => !each.school && each.log.endsWith("consortium-log/"));
  const named = [...naming(found)].filter((digest) => !copied || own.has(digest) || planCopies(files, found, digest).length);
  const consortium = found.find((each) => !each.school);
  const revocations = (digest) => planCopies(files, found, digest, "revocation.dsse.json");
  const revoked = copied || !consortium ? [] : [...new Set(of(consortium.entries, "plan.revoked").map((e) => e.plan_digest))];
  if (!named.length && !revoked.length) return;
  const [plans, signatures, missing] = [new Map(), new Map(), []];
  let problem = null;
  for (const digest of named) {
    const copies = planCopies(files, found, digest);
    if (!copies.length) missing.push(digest);
    for (const bytes of copies) {
      try {
        const { plan, signedBy } = await openPlan(bytes, digest, charter);
        plans.set(digest, plan);
        signatures.set(digest, [...(signatures.get(digest) ?? []), signedBy]);
      } catch (error) {
        problem ??= `The plan ${digest} here is not the one that the schools signed: ${error.message}.`;
      }
    }
  }
  if (consortium) problem ??= await notSignedAsTold(consortium.entries, charter, signatures, copied);
  if (revoked.length) problem ??= await notRevokedAsTold(consortium.entries, charter, revocations);
  missing.push(...revoked.filter((digest) => !revocations(digest).length && !missing.includes(digest)));
  if (!problem && missing.length) {
    say(together ? "FAIL" : "WARN", "plans.signed", `Signed plans or their revocations are missing, so the log cannot be held against them: ${missing.slice(0, 3).join(", ")}.`);
  } else {
    hold(say, "plans.signed", problem, `All ${named.length} plans that the logs name are here, each signed by as many members as the charter asks for.`);
  }
  if (consortium && plans.size) {
    hold(say, "plans.terms", brokenTerm(consortium.entries, plans),
      "Privacy, members and rounds in the consortium's log are those of the signed plans.");
  }
}

function brokenTerm(log, plans) {
  const [inputs, rounds] = [new Map(), new Map()];
  const grow = (map, key, values) => map.set(key, new Set([...(map.get(key) ?? []), ...values])).get(key);
  for (const entry of of(log, "plan.activated", "round.opened", "round.closed", "evaluation.closed")) {
    const plan = plans.get(entry.plan_digest);
    if (!plan) continue;
    if (brokenBy(entry, plan)) return brokenBy(entry, plan);
    if (entry.type.endsWith(".closed")) {
      const schools = entry.inputs.map((one) => one.school);
      inputs.set(which(entry), { least: plan.schools.minimum_per_round, round: entry.round,
        schools: new Set([...(inputs.get(which(entry))?.schools ?? []), ...schools]) });
    }
    if (entry.type === "round.closed") {
      const closed = grow(rounds, `${entry.plan_digest} ${entry.run_id}`, [entry.round]);
      if (closed.size > plan.rounds.count) return `Run ${entry.run_id} closed more rounds than the plan allows, ${plan.rounds.count}.`;
    }
  }
  for (const { least, round, schools } of inputs.values()) {
    if (!(schools.size >= least)) return `Round ${round} was closed with fewer schools than the plan asks for, ${least}.`;
  }
  return null;
}

function brokenBy(entry, { privacy, schools, evaluation }) {
  if (entry.type === "plan.activated") {
    const told = [Number(entry.epsilon_job), Number(entry.delta), entry.trust_mode];
    const agreed = [privacy.epsilon_job, privacy.delta, privacy.trust_mode];
    return told.every((each, i) => each === agreed[i]) ? null
      : `The log says epsilon, delta and trust mode ${told.join(", ")}; the schools signed ${agreed.join(", ")}.`;
  }
  if (entry.type === "round.opened") {
    return entry.schools.every((name) => schools.members.includes(name)) ? null
      : `Round ${entry.round} asked a school that the plan does not name.`;
  }
  const training = entry.type === "round.closed";
  const noisy = Number(entry.noise_multiplier) >= (training ? privacy : evaluation).noise_multiplier;
  const bounded = !training || (Number(entry.sampling_rate) <= privacy.sampling_rate && Number(entry.clipping_norm) === privacy.clipping_norm);
  return noisy && bounded ? null : `Round ${entry.round} tells of other noise, sampling or clipping than the schools signed.`;
}
