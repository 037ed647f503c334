// The charter: whose keys count, version by version, and what the logs tell of it.

const CHARTER_TYPE = "application/vnd.fedtrace.charter+json";
const [MOST_SIGNATURES, MOST_ENVELOPE, MOST_CHARTER] = [4000, 2097152, 1048576];

// securesystemslib's name of a key: the SHA-256 of its canonical description.
async function envelopeKeyId(key) {
  const description = { keytype: "ed25519", keyval: { public: hex(key) }, scheme: "ed25519" };
  return hex(await sha256(utf8.encode(canonical(description))));
}

// DSSE v1: what is signed, and whether a key signed it.
function readEnvelope(bytes, type, check) {
  if (bytes.length > MOST_ENVELOPE) throw new Failed(check, "it is not what it should be");
  const { payload, payloadType, signatures } = JSON.parse(ascii(bytes));
  if (payloadType !== type || signatures.length > MOST_SIGNATURES) throw new Failed(check, "it is not what it should be");
  const content = base64(payload, check);
  const message = join(utf8.encode(`DSSEv1 ${type.length} ${type} ${content.length} `), content);
  const blobs = new Map(signatures.map(({ keyid, sig }) => [keyid, base64(sig, check)]));
  if (blobs.size < signatures.length || ![...blobs.keys()].every((id) => typeof id === "string")) {
    throw new Failed(check, "it has a signature without a key, or two by one key");
  }
  const signedBy = async (key) => {
    const blob = blobs.get(await envelopeKeyId(key));
    return blob?.length === 64 && (await ed25519(key, blob, message));
  };
  return { content, signedBy };
}

// Members agree, by their people or, where they name none, by their machine.
async function agreeing(signedBy, charter) {
  const agreed = [];
  for (const { name, planKeys } of charter.members) {
    let people = 0;
    for (const key of planKeys) people += await signedBy(key);
    if (people >= charter.people) agreed.push(name);
  }
  return agreed;
}

// Every key of a member with whose it is.
function keyPlaces({ members }) {
  return new Map(members.flatMap(({ name, public_key, log_public_key, people }) => [
    [public_key, `the machine of ${name}`], [log_public_key, `the log of ${name}`],
    ...people.map((person) => [person.public_key, `a person of ${name}`]),
  ]));
}

// What docs/formats/charter.md says of every key; whatever else there is makes it no charter.
function requireCharter(value) {
  const must = (holds) => { if (!holds) throw new Error("not a charter"); };
  const only = (object, ...keys) => must(canonical(Object.keys(object).sort()) === canonical(keys.sort()));
  const whole = (number, least, most) => must(Number.isInteger(number) && number >= least && number <= most);
  const text = (string, pattern) => must(typeof string === "string" && pattern.test(string));
  const name = (string) => text(string, /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
  const keys = [];
  const key = (string) => must(keys.push(string) && isKey(base64(string, "input")));
  const { aggregator, consortium, format, log, members, people_per_member, previous, threshold, version, witness_quorum } = value;
  only(value, "aggregator", "consortium", "format", "log", "members", "people_per_member", "previous", "threshold",
    "version", "witness_quorum");
  only(aggregator, "name", "public_key");
  only(log, "origin", "public_key");
  must(format === "fedtrace-charter/1" && Array.isArray(members));
  [consortium, aggregator.name, ...members.map((member) => member.name)].forEach(name);
  text(log.origin, /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/);
  [aggregator.public_key, log.public_key].forEach(key);
  whole(version, 1, 1000);
  must((version === 1) === (previous === null));
  if (previous !== null) text(previous, /^sha256:[0-9a-f]{64}$/);
  whole(members.length, 1, 1000);
  whole(threshold, 1, members.length);
  whole(people_per_member, 1, 10);
  must(threshold * people_per_member <= MOST_SIGNATURES);
  if (witness_quorum !== null) whole(witness_quorum, 1, members.length);
  for (const member of members) {
    only(member, "log_public_key", "name", "people", "public_key");
    [member.public_key, member.log_public_key].forEach(key);
    must(Array.isArray(member.people));
    const least = member.people.length || people_per_member > 1 ? people_per_member : 0;
    whole(member.people.length, least, 20);
    for (const person of member.people) {
      only(person, "public_key", "role");
      must(["privacy_officer", "it", "leadership", "legal", "teaching"].includes(person.role));
      key(person.public_key);
    }
  }
  must(new Set(keys).size === keys.length && new Set(members.map((member) => member.name)).size === members.length);
}

async function parseCharter(bytes) {
  try {
    const value = JSON.parse(ascii(bytes));
    if (bytes.length > MOST_CHARTER || canonical(value) !== ascii(bytes)) throw new Error("not canonical");
    requireCharter(value);
    const members = value.members.map(({ name, public_key, log_public_key, people }) => ({
      name, origin: `${value.consortium}/schools/${name}`, logKey: log_public_key, key: base64(log_public_key, "input"),
      planKeys: (people.length ? people.map((person) => person.public_key) : [public_key]).map((each) => base64(each, "input")),
    }));
    const n = members.length;
    return {
      consortium: value.consortium, version: value.version, previous: value.previous, threshold: value.threshold, people: value.people_per_member, members,
      quorum: value.witness_quorum || Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1,
      log: { origin: value.log.origin, key: base64(value.log.public_key, "input") },
      fixed: canonical({ consortium: value.consortium, aggregator: value.aggregator, log: value.log }),
      places: keyPlaces(value), digest: `sha256:${hex(await sha256(bytes))}`,
    };
  } catch {
    throw new Failed("input", "charter.json is not a charter");
  }
}

async function nextVersion(versions, bytes) {
  const before = versions.at(-1);
  const refuse = (sentence) => { throw new Failed("input", `version ${before.version + 1} of the charter ${sentence}`); };
  let envelope;
  try {
    envelope = readEnvelope(bytes, CHARTER_TYPE, "input");
  } catch {
    refuse("is not a signed charter");
  }
  const after = await parseCharter(envelope.content);
  if (after.version !== before.version + 1 || after.previous !== before.digest) refuse("does not follow the one before");
  if (after.fixed !== before.fixed) refuse("changes the consortium, its aggregator or its log");
  for (const { name, logKey } of after.members) {
    if (versions.some((each) => each.members.some((m) => m.name === name && m.logKey !== logKey))) refuse(`changes the key of the log of ${name}`);
  }
  for (const each of versions) {
    for (const [key, place] of each.places) {
      if ((after.places.get(key) ?? place) !== place) refuse(`gives the key of ${place} to ${after.places.get(key)}`);
    }
  }
  const agreed = await agreeing(envelope.signedBy, before);
  if (agreed.length < before.threshold || (await agreeing(envelope.signedBy, after)).length < after.threshold) {
    refuse("was not agreed to by enough members");
  }
  return { ...after, agreed };
}

async function readVersions(files, home) {
  const present = files.get(`${home}charter.json`);
  if (!present) throw new Failed("input", "a charter.json is missing, so nobody knows whose keys count");
  const current = await parseCharter(present);
  if (current.version === 1) return [current];
  const founding = files.get(`${home}charters/1.json`);
  if (!founding) throw new Failed("input", "the founding charter is missing");
  const versions = [await parseCharter(founding)];
  if (versions[0].version !== 1) throw new Failed("input", "the founding charter is not the first");
  while (versions.length < current.version) {
    const bytes = files.get(`${home}charters/${versions.length + 1}.dsse.json`);
    if (!bytes) throw new Failed("input", `version ${versions.length + 1} of the charter is missing, so nobody can see who agreed to it`);
    versions.push(await nextVersion(versions, bytes));
  }
  if (versions.at(-1).digest !== current.digest) throw new Failed("input", "charter.json is not the version that was agreed to");
  return versions;
}

// The version in force with all before it; a home may not have heard of the last ones.
async function readCharters(files, homes) {
  let longest = [];
  const all = [];
  for (const home of new Set(homes.map((each) => each.home))) all.push(await readVersions(files, home));
  for (const versions of all) if (versions.length > longest.length) longest = versions;
  if (all.some((versions) => versions.some((each, i) => each.digest !== longest[i].digest))) {
    throw new Failed("input", "the homes have different charters");
  }
  const ever = new Map(longest.flatMap((each) => each.members.map((member) => [member.name, member])));
  return { ...longest.at(-1), versions: longest, ever: [...ever.values()] };
}

const versionOf = (charter, digest) => charter.versions.find((each) => each.digest === digest);

// Walks the consortium's log with the version in force at each entry.
function* underCharters(log, charter) {
  let present = charter.versions[0];
  for (const entry of log) {
    if (entry.type === "charter.changed") present = versionOf(charter, entry.charter_digest) ?? present;
    yield [entry, present];
  }
}

function charterAfter(log, charter) {
  let present = charter.versions[0];
  for (const [, version] of underCharters(log, charter)) present = version;
  return present;
}

function checkCharter(found, charter, say) {
  let [problem, question] = [null, null];
  for (const { entries, school } of found) {
    let last = null;
    for (const entry of of(entries, "charter.adopted", "school.initialised", "charter.changed", "charter.accepted")) {
      const known = versionOf(charter, entry.charter_digest);
      if (entry.previous_digest === undefined) {
        if (!known) problem ??= "A log was started under another charter than the one here.";
      } else {
        problem ??= wrongChange(entry, known, last, charter);
        if (!known) question ??= "The logs tell of a version of the charter that is not here.";
      }
      last = entry.charter_digest;
    }
    const copy = found.some((each) => !each.school && each.log.endsWith("consortium-log/"));
    if (!school && !copy && entries.length && charterAfter(entries, charter).digest !== charter.digest) {
      question ??= "A version of the charter is here that the consortium's log does not tell of.";
    }
  }
  if (!problem && question) return say("WARN", "charter", question);
  const versions = charter.version === 1 ? "" : `, version ${charter.version}, each agreed to by the members of the one before`;
  return hold(say, "charter", problem,
    `The keys are those of charter ${charter.digest}${versions}. Compare it with the one that your school has.`);
}

function wrongChange(entry, known, last, charter) {
  if (entry.previous_digest !== last) return "A log leaves out a version of the charter, or tells of one twice.";
  if (!known) return null;
  if (known.previous !== last) return "A log goes on to a version of the charter from another one.";
  if (entry.type === "charter.accepted") return null;
  const before = charter.versions[known.version - 2];
  const signers = [...new Set(entry.signers)];
  const told = entry.version === known.version && signers.every((name) => known.agreed.includes(name));
  return told && signers.length >= before.threshold ? null
    : `The log tells of other members than those who agreed to version ${known.version} of the charter.`;
}
