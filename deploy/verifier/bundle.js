// A bundle: files by path, as somebody was given them. Nothing in them is believed before it is shown.

const NOT_CHECKED = [
  "ML-DSA-44 cosignatures: a browser cannot verify them; Ed25519 cosignatures are.",
  "Epsilon exactly: here it is a simple upper bound; the installed program computes a tighter one.",
  "The hashes in an export's tiles: they are computed again from the entries instead.",
];

const LONGEST_SILENCE = 25 * 3600 * 1000;

const splitLines = (bytes) => {
  const lines = [];
  let from = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
    lines.push(bytes.subarray(from, at));
    from = at + 1;
  }
  return { lines, torn: bytes.length - from };
};

function tileName(number, width) {
  let name = String(number % 1000).padStart(3, "0");
  for (let rest = Math.floor(number / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    name = `x${String(rest % 1000).padStart(3, "0")}/${name}`;
  }
  return width < 256 ? `${name}.p/${width}` : name;
}

function readTiles(files, folder, size) {
  const lines = [];
  for (let number = 0; lines.length < size; number++) {
    const width = Math.min(256, size - lines.length);
    const bytes = files.get(`${folder}tile/entries/${tileName(number, width)}`);
    if (!bytes) throw new Failed("input", `a tile of ${folder || "the log"} is missing`);
    let at = 0;
    for (let i = 0; i < width; i++) {
      const length = at + 2 <= bytes.length ? bytes[at] * 256 + bytes[at + 1] : 65536;
      if (at + 2 + length > bytes.length) throw new Failed("input", "a tile is cut short");
      lines.push(bytes.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    if (at !== bytes.length) throw new Failed("input", "a tile is longer than its entries");
  }
  return { lines, torn: 0 };
}

function readStored(files, folder, size) {
  const tiled = [...files.keys()].some((path) => path.startsWith(`${folder}tile/`));
  return tiled ? readTiles(files, folder, size) : splitLines(files.get(`${folder}entries.jsonl`) ?? new Uint8Array());
}

function findHomes(files) {
  const paths = [...files.keys()];
  const together = paths.some((path) => /^(consortium|schools)\//.test(path));
  if (together) {
    const schools = new Set(paths.map((path) => /^schools\/[^/]+\//.exec(path)?.[0]).filter(Boolean));
    return { together, homes: ["consortium/", ...[...schools].sort()].map((home) => ({ home, log: `${home}log/` })) };
  }
  const logs = ["consortium-log/", "log/", ""].filter((log) => files.has(`${log}checkpoint`));
  if (!logs.length) throw new Failed("input", "there is no log here: open the folder that you were given");
  return { together, homes: logs.map((log) => ({ home: "", log })) };
}

async function verifyLog(files, place, charter, say) {
  const bytes = files.get(`${place.log}checkpoint`);
  if (!bytes) throw new Failed("input", `there is no ${place.log}checkpoint`);
  const claimed = readCheckpoint(bytes);
  const member = charter.ever.find((each) => each.origin === claimed.origin);
  if (!member && claimed.origin !== charter.log.origin) {
    throw new Failed("checkpoint.origin", `the log in ${place.log} is of nobody that the charter names`);
  }
  const { origin, key } = member ?? charter.log;
  const name = member ? `the log of ${member.name}` : "the consortium's log";
  const owner = { ...place, school: member?.name ?? null, origin, entries: [], lines: [], whole: false };
  try {
    const note = await openCheckpoint(bytes, origin, key);
    const stored = readStored(files, place.log, note.size);
    const extra = stored.lines.length - note.size;
    if (extra < 0) throw new Failed("log.size", `${-extra} signed entries are missing from ${name}`);
    if (extra || stored.torn) say("WARN", "log.tail", `${name} goes on after its last signed entry; that was not checked.`);
    const signed = stored.lines.slice(0, note.size);
    if (!same(await rootOf(signed), note.root)) throw new Failed("log.root", `${name} was changed: its entries are not the ones that were signed`);
    owner.entries = signed.map((line, index) => readEntry(line, index, origin, Boolean(member)));
    owner.lines = signed;
    owner.whole = true;
    say("PASS", "log.whole", `${name}: its key signed it, and all ${note.size} entries are as they were then.`);
    const times = owner.entries.map((entry) => entry.time);
    if (times.some((time, i) => i > 0 && time < times[i - 1])) say("WARN", "log.time", `Time runs backwards in ${name}.`);
    const moments = times.map((time) => Date.parse(time));
    const gap = moments.findIndex((moment, i) => i > 0 && moment - moments[i - 1] > LONGEST_SILENCE);
    if (gap > 0) say("WARN", "log.silence", `${name} is silent from ${times[gap - 1]} to ${times[gap]}, where it should say something every day.`);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    say("FAIL", error.check, `${name}: ${error.message}.`);
  }
  return owner;
}
