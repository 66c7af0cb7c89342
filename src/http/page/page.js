"use strict";
// Shows what the API says, and nothing else. Texts are set as text, never as markup.

const STATES = ["pending", "held", "sending", "sent", "failed", "unknown", "suppressed"];
const ROWS_MAX = 20;
// a status reads the whole period: not more often than this
const REFRESH_MS = 30_000;

const at = (id) => document.getElementById(id);
let token = "";

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function table(into, heads, rows) {
  const row = (kind, cells) => {
    const made = element("tr");
    for (const cell of cells) {
      const number = typeof cell === "number";
      const text = number ? cell.toLocaleString("en") : cell ?? "";
      made.append(element(kind, text, number ? "number" : ""));
    }
    return made;
  };
  into.replaceChildren(row("th", heads), ...rows.map((cells) => row("td", cells)));
}

function tile(name, value, alarm) {
  const made = element("div", undefined, alarm ? "tile alarm" : "tile");
  made.append(element("b", value.toLocaleString("en")), name);
  return made;
}

function period(books) {
  const section = element("div");
  section.append(element("h2", `${books.period}, version ${books.version}`));
  const tiles = element("div", undefined, "tiles");
  tiles.append(tile("statements", books.statements), tile("total, won", books.total_won));
  for (const state of STATES) {
    tiles.append(tile(state, books[state], state === "unknown" && books[state] > 0));
  }
  section.append(tiles);
  if (!books.balanced) {
    section.append(element("p", "The books do not balance.", "alarm"));
  }
  if (books.held_until) {
    section.append(element("p", `The next held message goes at ${books.held_until}.`));
  }
  const channels = element("table");
  const rows = Object.entries(books.by_channel)
    .map(([name, is]) => [name, is.sent, is.failed, is.unknown, is.sending]);
  table(channels, ["channel", "sent", "failed", "unknown", "open"], rows);
  section.append(channels);
  if (books.corrections.length) {
    const corrections = element("table");
    table(corrections, ["follow-up", "to version", "due", ...STATES],
      books.corrections.map((it) => [it.kind, it.version, it.due, ...STATES.map((state) => it[state])]));
    section.append(corrections);
  }
  return section;
}

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`api/v1/${path}`, { headers, cache: "no-store" });
  const said = await answer.json();
  if (answer.ok) return said;
  if (answer.status === 401) at("access").hidden = false;
  throw new Error(`${said.error}: ${said.what_to_do}`);
}

async function show() {
  const ready = await fetch("readyz", { cache: "no-store" });
  at("ready").textContent = (await ready.text()).trim();
  const books = await ask("status");
  const nothing = element("p", "No period has been closed.");
  at("periods").replaceChildren(...(books.length ? books.reverse().map(period) : [nothing]));
  const letters = await ask("dead-letters");
  table(at("dead-letters"), ["reason", "stage", "source", "partition", "position"],
    letters.slice(-ROWS_MAX).reverse()
      .map((it) => [it.reason, it.stage, it.source, it.partition, it.position]));
  const commands = await ask("audit");
  table(at("audit"), ["at", "by", "command", "details"],
    commands.slice(-ROWS_MAX).reverse()
      .map((it) => [it.at, it.by, it.command, JSON.stringify(it.details)]));
}

let showing = false;
async function refresh() {
  if (showing || document.hidden) return;
  showing = true;
  try {
    await show();
    at("problem").hidden = true;
  } catch (error) {
    at("problem").textContent = error.message;
    at("problem").hidden = false;
  } finally {
    showing = false;
  }
}

at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  at("token").value = "";
  at("access").hidden = true;
  refresh();
});
at("refresh").addEventListener("click", refresh);
setInterval(refresh, REFRESH_MS);
refresh();
