"use strict";
// Signed notes, checkpoints, cosignatures and RFC 6962 trees, after docs/formats/log.md.

class Failed extends Error {
  constructor(check, sentence) {
    super(sentence);
    this.check = check;
  }
}

const NOTE_LIMIT = 131072;
const utf8 = new TextEncoder();
const ascii = (bytes) => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
};
const join = (...parts) => {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

function base64(text, check) {
  let [raw, again] = [null, null];
  try {
    raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    again = btoa(Array.from(raw, (byte) => String.fromCharCode(byte)).join(""));
  } catch {
    throw new Failed(check, "a line is not base64");
  }
  if (again !== text) {
    throw new Failed(check, "a line is base64, but not in its canonical form");
  }
  return raw;
}

function readNote(bytes) {
  if (bytes.length > NOTE_LIMIT) throw new Failed("input", "a checkpoint is over 131,072 bytes");
  const text = ascii(bytes);
  const cut = text === null ? -1 : text.lastIndexOf("\n\n");
  if (cut < 0 || /[\x00-\x09\x0b-\x1f]/.test(text) || !text.endsWith("\n")) {
    throw new Failed("checkpoint.format", "it is not a signed note");
  }
  const signatures = text.slice(cut + 2, -1).split("\n").map((line) => {
    const parts = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/=]+)$/.exec(line);
    if (!parts) throw new Failed("checkpoint.format", "a signature line is not one");
    const blob = base64(parts[2], "checkpoint.format");
    if (blob.length < 5) throw new Failed("checkpoint.format", "a signature is too short");
    return { name: parts[1], id: blob.slice(0, 4), blob: blob.slice(4) };
  });
  return { text: text.slice(0, cut + 1), signatures };
}

function readCheckpoint(bytes) {
  const note = readNote(bytes);
  const lines = note.text.split("\n").slice(0, -1);
  if (lines.length < 3 || lines.includes("") || !/^(0|[1-9][0-9]{0,18})$/.test(lines[1])) {
    throw new Failed("checkpoint.format", "it does not say origin, size and root");
  }
  const root = base64(lines[2], "checkpoint.format");
  if (root.length !== 32) throw new Failed("checkpoint.format", "its root is not 32 bytes");
  return { ...note, origin: lines[0], size: Number(lines[1]), root };
}

const keyId = async (name, kind, key) =>
  (await sha256(join(utf8.encode(name + "\n"), Uint8Array.of(kind), key))).slice(0, 4);

// 32 bytes, and none of edwards25519's points of order 1, 2, 4 or 8, in any encoding: anybody can sign for those.
const FIELD = 2n ** 255n - 19n, OF_ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const OF_SMALL_ORDER = [0n, 1n, FIELD - 1n, OF_ORDER_8, FIELD - OF_ORDER_8];

function isKey(bytes) {
  const number = bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return bytes.length === 32 && !OF_SMALL_ORDER.includes((number & (2n ** 255n - 1n)) % FIELD);
}

async function ed25519(key, signature, message) {
  const imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, signature, message);
}

async function mine(note, name, kind, key) {
  const id = await keyId(name, kind, key);
  return note.signatures.filter((each) => each.name === name && same(each.id, id));
}

async function openCheckpoint(bytes, origin, key) {
  const note = readCheckpoint(bytes);
  if (note.origin !== origin) throw new Failed("checkpoint.origin", "it is another log's");
  const ours = await mine(note, origin, 1, key);
  if (!ours.length) throw new Failed("checkpoint.key", "the log's key did not sign it");
  for (const { blob } of ours) {
    if (blob.length !== 64 || !(await ed25519(key, blob, utf8.encode(note.text)))) {
      throw new Failed("checkpoint.signature", "its signature is not valid");
    }
  }
  return note;
}

async function cosigners(note, witnesses) {
  const found = [];
  for (const [name, key] of witnesses) {
    for (const { blob } of await mine(note, name, 4, key)) {
      const time = blob.length === 72 ? new DataView(blob.buffer, blob.byteOffset).getBigUint64(0) : -1n;
      const message = utf8.encode(`cosignature/v1\ntime ${time}\n${note.text}`);
      if (time < 0n || time > 2n ** 63n - 1n || !(await ed25519(key, blob.slice(8), message))) {
        throw new Failed("checkpoint.cosignature", `the cosignature of ${name} is not valid`);
      }
      if (time > 0n && !found.includes(name)) found.push(name);
    }
  }
  return found;
}

const leaf = (line) => sha256(join(Uint8Array.of(0), line));
const node = (left, right) => sha256(join(Uint8Array.of(1), left, right));

async function rootOf(lines) {
  if (!lines.length) return sha256(new Uint8Array());
  let row = await Promise.all(lines.map(leaf));
  while (row.length > 1) {
    const next = [];
    for (let i = 0; i < row.length; i += 2) {
      next.push(i + 1 < row.length ? node(row[i], row[i + 1]) : row[i]);
    }
    row = await Promise.all(next);
  }
  return row[0];
}

// RFC 9162, 2.1.4.2: does the tree (m, first) continue to the tree (n, second)?
async function consistent(m, first, n, second, proof) {
  if (m === n) return proof.length === 0 && same(first, second);
  let path = [...proof];
  let [f, s] = [m - 1, n - 1];
  if ((m & (m - 1)) === 0) path = [first, ...path];
  if (!path.length || m < 1 || m > n) return false;
  while (f & 1) [f, s] = [f >> 1, s >> 1];
  let [fr, sr] = [path[0], path[0]];
  for (const hash of path.slice(1)) {
    if (s === 0) return false;
    if (f & 1 || f === s) {
      fr = await node(hash, fr);
      sr = await node(hash, sr);
      while (!(f & 1) && f !== 0) [f, s] = [f >> 1, s >> 1];
    } else {
      sr = await node(sr, hash);
    }
    [f, s] = [f >> 1, s >> 1];
  }
  return s === 0 && same(fr, first) && same(sr, second);
}
