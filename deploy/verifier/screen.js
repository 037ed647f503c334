const VERDICTS = [
  "Every check passes.",
  "No check fails, and a person should look at what is marked WARN.",
  "A check FAILS. Keep the folder as it is, and tell the privacy officer.",
];

// A dragged or opened folder has its own name before every path.
function withoutTop(pairs) {
  const top = pairs.length && pairs[0][0].includes("/") ? pairs[0][0].split("/", 1)[0] + "/" : "";
  const shared = top && !/^(consortium|schools|log|consortium-log)\/$/.test(top) && pairs.every(([path]) => path.startsWith(top));
  return new Map(pairs.map(([path, bytes]) => [shared ? path.slice(top.length) : path, bytes]));
}

const bytesOf = async (file) => new Uint8Array(await file.arrayBuffer());

async function show(pairs) {
  const verdict = document.getElementById("verdict");
  const table = document.getElementById("checks");
  verdict.textContent = "Checking ...";
  verdict.className = "";
  let result;
  try {
    result = await verifyBundle(withoutTop(pairs));
  } catch (error) {
    verdict.className = "FAIL";
    verdict.textContent = `The check could not be finished, so nothing is shown to be right: ${error.message}`;
    table.hidden = true;
    return;
  }
  const rows = result.lines.map(({ status, check, sentence }) => {
    const row = document.createElement("tr");
    for (const [cell, style] of [[status, `status ${status}`], [check, ""], [sentence, ""]]) {
      const field = document.createElement("td");
      field.textContent = cell;
      field.className = style;
      row.append(field);
    }
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
  table.hidden = false;
  verdict.className = ["PASS", "WARN", "FAIL"][result.exitCode];
  verdict.textContent = VERDICTS[result.exitCode];
}

async function dropped(entry, path = "") {
  const name = path + entry.name;
  if (entry.isFile) {
    return [[name, await bytesOf(await new Promise((done, failed) => entry.file(done, failed)))]];
  }
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return all;
    for (const each of some) all.push(...(await dropped(each, `${name}/`)));
  }
}

document.getElementById("files").addEventListener("change", async (event) => {
  const files = [...event.target.files];
  await show(await Promise.all(files.map(async (file) => [file.webkitRelativePath || file.name, await bytesOf(file)])));
});
const drop = document.getElementById("drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
drop.addEventListener("drop", async (event) => {
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  await show((await Promise.all(entries.map((entry) => dropped(entry)))).flat());
});
document.querySelector("#limits ul").append(...NOT_CHECKED.map((text) => {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}));
