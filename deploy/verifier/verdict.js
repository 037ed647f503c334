async function witnesses(files, owner, charter, say) {
  const note = files.get(`${owner.log}cosigned`);
  if (!note) {
    const rounds = owner.entries.some((entry) => entry.type === "round.opened");
    say(rounds ? "WARN" : "PASS", "log.witnesses", "No witness has cosigned the consortium's log yet.");
    return;
  }
  try {
    const seen = await openCheckpoint(note, charter.log.origin, charter.log.key);
    const { members, quorum: k } = charterAfter(owner.entries.slice(0, seen.size), charter);
    const names = await cosigners(seen, members.map((member) => [member.origin, member.key]));
    if (seen.size > owner.lines.length || !same(await rootOf(owner.lines.slice(0, seen.size)), seen.root)) {
      say("FAIL", "log.witnesses", "Witnesses cosigned another history of the consortium's log than is here.");
      return;
    }
    const n = members.length;
    const enough = names.length >= k && 2 * k - n - 1 >= 0;
    say(enough ? "PASS" : "WARN", "log.witnesses",
      `${names.length} of ${n} members cosigned ${seen.size} of ${owner.lines.length} entries, where ${k} are needed` +
      (enough ? `; it stays safe while at most ${2 * k - n - 1} of them lie together.` : ": too few."));
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    say("FAIL", "log.witnesses", `The cosigned checkpoint cannot be believed: ${error.message}.`);
  }
}

function copies(files, found, consortium, say) {
  let whole = 0;
  for (const { school, home } of found) {
    const folder = `${home}consortium-log/`;
    if (!school || ![...files.keys()].some((path) => path.startsWith(folder))) continue;
    let lines;
    try {
      const note = files.get(`${folder}checkpoint`);
      lines = readStored(files, folder, note ? readCheckpoint(note).size : 0).lines;
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      say("FAIL", "log.mirrors", `The copy of the consortium's log in ${school} cannot be read: ${error.message}.`);
      continue;
    }
    if (lines.length > consortium.lines.length || lines.some((line, i) => !same(line, consortium.lines[i]))) {
      say("FAIL", "log.mirrors", `The copy of the consortium's log in ${school} is another log.`);
    } else whole += 1;
  }
  if (whole) say("PASS", "log.mirrors", `The copies in ${whole} schools agree with the consortium's log.`);
}

async function forks(files, charter, say) {
  for (const [path, bytes] of files) {
    if (!/(^|\/)evidence\/fork-[^/]*\.json$/.test(path)) continue;
    let proven = false;
    try {
      const paper = JSON.parse(ascii(bytes));
      const open = (note) => openCheckpoint(utf8.encode(note), charter.log.origin, charter.log.key);
      const [ours, theirs] = [await open(paper.ours), await open(paper.theirs)];
      const root = base64(paper.root, "log.fork");
      const proof = paper.proof.map((hash) => base64(hash, "log.fork"));
      proven = theirs.size > 0 && theirs.size <= ours.size && !same(root, theirs.root) &&
        (await consistent(theirs.size, root, ours.size, ours.root, proof));
    } catch {
      proven = false;
    }
    if (proven) say("FAIL", "log.fork", `${path} proves that the log's key signed two histories.`);
    else say("WARN", "log.fork", `${path} should prove a fork and does not.`);
  }
}

function spent(log, schools, say) {
  const release = (entry) => ({
    noise: Number(entry.noise_multiplier), rate: Number(entry.sampling_rate ?? "1"), round: which(entry),
  });
  for (const plan of of(log, "plan.activated")) {
    const ofPlan = (entry) => entry.plan_digest === plan.plan_digest;
    const closed = new Map(of(log, "round.closed", "evaluation.closed").filter(ofPlan).map((e) => [which(e), release(e)]));
    const sides = [["the consortium", [...closed.values()]]];
    for (const [school, theirs] of schools) sides.push([school, of(theirs, "round.reserved").filter(ofPlan).map(release)]);
    const worst = sides.map(([who, releases]) => [who, epsilonBound(releases, Number(plan.delta)), releases.length])
      .reduce((a, b) => (b[1] > a[1] || Number.isNaN(b[1]) ? b : a));
    const [who, bound, releases] = worst;
    const allowed = Number(plan.epsilon_job);
    const status = bound <= allowed ? "PASS" : bound <= 1.25 * allowed ? "WARN" : "FAIL";
    say(status, "epsilon.recomputed",
      `By the log of ${who}, ${releases} releases about one student come to at most epsilon ${bound.toFixed(3)} at delta ` +
      `${plan.delta}; the plan allows ${plan.epsilon_job}.` +
      (status === "WARN" ? " This bound is loose: let the installed program compute it." : ""));
  }
}

function hold(say, check, problem, sentence, status = "FAIL") {
  say(problem ? status : "PASS", check, problem ?? sentence);
}

async function verifyBundle(files) {
  const lines = [];
  const say = (status, check, sentence) => lines.push({ status, check, sentence });
  const verdict = () => ({
    lines,
    notChecked: NOT_CHECKED,
    exitCode: lines.some((l) => l.status === "FAIL") ? 2 : lines.some((l) => l.status === "WARN") ? 1 : 0,
  });
  try {
    const { together, homes } = findHomes(files);
    const charter = await readCharters(files, homes);
    const found = [];
    for (const place of homes) {
      try {
        found.push(await verifyLog(files, place, charter, say));
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        say("FAIL", error.check, `${error.message}.`);
      }
    }
    checkCharter(found, charter, say);
    const here = found.filter((each) => each.school).map((each) => each.school);
    if (together) {
      if (new Set(here).size !== here.length) say("FAIL", "members", "A member's log is here twice.");
      if (found.length - here.length !== 1) say("FAIL", "members", "There is not one log of the consortium here.");
      if (charter.members.some((member) => !here.includes(member.name))) {
        say("WARN", "members", "Logs of members are missing, so what they sent was not compared.");
      }
    }
    if (lines.some((line) => line.status === "FAIL")) {
      say("FAIL", "crosscheck", "The logs were not compared, because of what is said above.");
      return verdict();
    }
    const consortium = found.find((each) => !each.school);
    const schools = new Map(found.filter((each) => each.school).map((each) => [each.school, each.entries]));
    await forks(files, charter, say);
    if (schools.size) {
      hold(say, "plans.accepted", unaccepted(schools), "Every round that a school answered was of a plan that it had accepted.");
      hold(say, "updates.reserved", unreserved(schools), "No update left a school before its privacy cost was written down.");
    }
    await checkPlans(files, found, charter, together, say);
    if (!consortium) return verdict();
    if (consortium.log !== "consortium-log/") await witnesses(files, consortium, charter, say);
    copies(files, found, consortium, say);
    const log = consortium.entries;
    hold(say, "rounds.plan", plannedRounds(log, charter), "Every round was opened under a plan that enough schools had signed.");
    hold(say, "rounds.checkpoint", chainOfModels(log), "Every round started from what the round before it left.");
    hold(say, "rounds.inputs", sums(log, charter), "Every round summed each update that it had received from a member once, and no other.");
    if (schools.size) {
      hold(say, "rounds.privacy", otherPrivacy(log, schools), "Consortium and schools tell of the same noise and sampling.");
      hold(say, "updates.sent", invented(log, schools), "Every update that the consortium counts was sent by that school.");
      hold(say, "updates.received", orphans(log, schools), "Every update that a school sent was received and summed.", "WARN");
    }
    spent(log, schools, say);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    say("FAIL", error.check, `${error.message}.`);
  }
  return verdict();
}
