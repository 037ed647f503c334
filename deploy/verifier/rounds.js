// What the logs say, held against itself and against each other.

const of = (entries, ...types) => entries.filter((entry) => types.includes(entry.type));
const which = (entry) => `${entry.plan_digest} ${entry.run_id} ${entry.round}`;

function plannedRounds(log, charter) {
  const [active, revoked] = [new Set(), new Set()];
  for (const [entry, { members, threshold }] of underCharters(log, charter)) {
    if (entry.type === "plan.activated" || entry.type === "plan.revoked") {
      const signers = members.filter(({ name }) => entry.signers.includes(name)).length;
      if (signers < threshold) return `Only ${signers} members signed ${entry.type} of ${entry.plan_digest}.`;
      (entry.type === "plan.activated" ? active : revoked).add(entry.plan_digest);
    } else if (entry.type === "round.opened") {
      if (revoked.has(entry.plan_digest)) return `Round ${entry.round} was opened under a revoked plan.`;
      if (!active.has(entry.plan_digest)) return `Round ${entry.round} was opened under a plan that nobody activated.`;
    }
  }
  return null;
}

function chainOfModels(log) {
  const [opened, closed, left, judged] = [new Set(), new Map(), new Map(), new Map()];
  for (const entry of log) {
    if (entry.type === "round.opened") {
      opened.add(which(entry));
      if (entry.kind === "evaluate") judged.set(entry.run_id, entry.checkpoint_digest);
      else if (left.has(entry.run_id) && left.get(entry.run_id) !== entry.checkpoint_digest) {
        return `Round ${entry.round} did not start from what the round before it left.`;
      }
    } else if (entry.type === "round.closed" || entry.type === "evaluation.closed") {
      if (!opened.has(which(entry))) return `Round ${entry.round} was closed and never opened.`;
      if (entry.type === "round.closed") {
        const before = closed.get(which(entry)) ?? entry.output_digest;
        if (before !== entry.output_digest) return `Round ${entry.round} was closed twice, differently.`;
        closed.set(which(entry), entry.output_digest);
        left.set(entry.run_id, entry.output_digest);
      }
    } else if (entry.type === "model.released" && judged.has(entry.run_id) && judged.get(entry.run_id) !== entry.digest) {
      return `The model that ${entry.run_id} released is not the one that was judged.`;
    }
  }
  return null;
}

function sums(log, charter) {
  const received = new Map();
  const summed = new Map();
  for (const [entry, { members }] of underCharters(log, charter)) {
    const key = which(entry);
    if (entry.type === "update.received") {
      if (!members.some(({ name }) => name === entry.school)) return `Round ${entry.round} counts an update of ${entry.school}, which the charter does not name.`;
      received.set(key, (received.get(key) ?? new Set()).add(`${entry.school} ${entry.digest}`));
    } else if (entry.type === "round.closed" || entry.type === "evaluation.closed") {
      summed.set(key, [...(summed.get(key) ?? []), ...entry.inputs.map((one) => `${one.school} ${one.digest}`)]);
    }
  }
  for (const [key, inputs] of summed) {
    const set = new Set(inputs);
    const got = received.get(key) ?? new Set();
    if (set.size !== inputs.length) return "A round summed an update twice.";
    if (set.size !== got.size || [...set].some((each) => !got.has(each))) return "A round summed other updates than it had received.";
  }
  return null;
}

function unaccepted(schools) {
  for (const [school, log] of schools) {
    const accepted = new Set();
    for (const entry of log) {
      if (entry.type === "plan.accepted") accepted.add(entry.plan_digest);
      else if (entry.type === "round.reserved" && !accepted.has(entry.plan_digest)) {
        return `${school} answered round ${entry.round} of a plan that it never accepted.`;
      }
    }
  }
  return null;
}

function unreserved(schools) {
  for (const [school, log] of schools) {
    const reserved = new Set();
    for (const entry of log) {
      if (entry.type === "round.reserved") reserved.add(which(entry));
      else if (entry.type === "update.sent" && !reserved.has(which(entry))) {
        return `${school} sent an update in round ${entry.round} without reserving for it.`;
      }
    }
  }
  return null;
}

function otherPrivacy(log, schools) {
  const words = (entry) => `${entry.noise_multiplier} ${entry.sampling_rate ?? "1"}`;
  const told = new Map(of(log, "round.closed", "evaluation.closed").map((entry) => [which(entry), words(entry)]));
  for (const [school, theirs] of schools) {
    for (const entry of of(theirs, "round.reserved")) {
      if ((told.get(which(entry)) ?? words(entry)) !== words(entry)) {
        return `The consortium tells of another noise or sampling in round ${entry.round} than ${school} reserved for.`;
      }
    }
  }
  return null;
}

function invented(log, schools) {
  for (const entry of of(log, "update.received")) {
    const theirs = schools.get(entry.school);
    if (theirs && !of(theirs, "update.sent").some((sent) => which(sent) === which(entry) && sent.digest === entry.digest)) {
      return `The consortium counts an update of ${entry.school} in round ${entry.round} that its log does not know.`;
    }
  }
  return null;
}

function orphans(log, schools) {
  const key = (entry) => `${which(entry)} ${entry.digest}`;
  const used = new Set(of(log, "update.received").map(key));
  for (const entry of of(log, "update.unused")) used.delete(key(entry));
  const closed = new Set(of(log, "round.closed", "evaluation.closed").map(which));
  const lost = [...schools].flatMap(([school, theirs]) =>
    of(theirs, "update.sent").filter((sent) => !used.has(key(sent)) || !closed.has(which(sent))).map((sent) => `${school}, round ${sent.round}`));
  return lost.length ? `Updates were sent that no round summed: ${lost.slice(0, 5).join("; ")}.` : null;
}

// Rényi DP of the Poisson-sampled Gaussian at whole orders (Mironov et al. 2019, 3.3), converted as
// in Canonne et al. 2020, proposition 12. Always an upper bound, looser than the installed program's.
function epsilonBound(releases, delta) {
  let best = Infinity;
  for (let order = 2; order <= 512; order++) {
    let total = 0;
    for (const { noise, rate } of releases) total += renyi(order, noise, rate);
    best = Math.min(best, total + Math.log1p(-1 / order) - Math.log(delta * order) / (order - 1));
  }
  return releases.length ? Math.max(0, best) : 0;
}

function renyi(order, noise, rate) {
  if (!(noise > 0)) return Infinity;
  if (rate >= 1) return order / (2 * noise * noise);
  const logs = [];
  let binomial = 0;
  for (let k = 0; k <= order; k++) {
    logs.push(binomial + (order - k) * Math.log1p(-rate) + k * Math.log(rate) + (k * (k - 1)) / (2 * noise * noise));
    binomial += Math.log(order - k) - Math.log(k + 1);
  }
  const top = Math.max(...logs);
  return (top + Math.log(logs.reduce((sum, each) => sum + Math.exp(each - top), 0))) / (order - 1);
}
