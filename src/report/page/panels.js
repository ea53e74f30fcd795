// What stands beside the diagram: what happened, every host at the moment, and the chosen record with its causes.

/** A button that goes to a record. */
function link(runIndex, n, text, className = "link") {
  const button = make("button", { type: "button", className, textContent: text });
  button.addEventListener("click", () => go(runIndex, n, { zoom: true }));
  return button;
}

function storyPanel(run) {
  const list = make("ol", { className: "story" });
  list.dataset.run = run.index;
  for (const item of storyOf(run)) list.append(item.more ? moreItem(run, item.more) : storyItem(run, item));
  if (!list.children.length) list.append(make("li", { className: "empty", textContent: "Nothing but the workload: no fault, no change of role." }));
  return list;
}

function storyItem(run, item) {
  const entry = make("li", { className: `tone-${item.tone}` });
  const head = make("button", { type: "button", className: "story-head" });
  head.append(make("span", { className: "icon", textContent: item.icon, "aria-hidden": "true" }),
    make("span", { className: "when", textContent: moment(item.t) }), make("span", { className: "what", textContent: item.text }));
  head.addEventListener("click", () => go(run.index, item.n, { zoom: true }));
  entry.dataset.n = item.n;
  entry.dataset.t = item.t;
  entry.append(head);
  const steps = typeof item.why === "function" ? item.why() : item.why;
  if (steps?.length) {
    const why = make("ul", { className: "why" });
    for (const step of steps) why.append(make("li", {}, make("span", { textContent: "←" }), link(run.index, step.n, step.text)));
    entry.append(why);
  }
  return entry;
}

/** What came again: how often, from when to when, and at whom; it unfolds. */
function moreItem(run, items) {
  const entry = make("li", { className: "more" });
  const changes = items.filter((item) => item.tone === "lead");
  const takers = new Map();
  for (const item of changes) takers.set(item.host, (takers.get(item.host) || 0) + 1);
  const who = [...takers].map(([host, count]) => `${run.hosts[host].name} ${plural(count, "time")}`).join(", ");
  const what = changes.length ? `the same again until ${moment(items[items.length - 1].t)}: ${who} in the lead` : `${plural(items.length, "more event")} of these kinds, until ${moment(items[items.length - 1].t)}`;
  const button = make("button", { type: "button", className: "unfold", textContent: `… ${what}. Show all` });
  button.addEventListener("click", () => { entry.replaceWith(...unfolded(run, items)); page.followStory(); });
  entry.dataset.t = items[0].t;
  entry.append(button);
  return entry;
}

const UNFOLDED_MOST = 200;

/** The items, as many as one wants to have at a time, and what is left behind them. */
function unfolded(run, items) {
  const entries = items.slice(0, UNFOLDED_MOST).map((item) => storyItem(run, item));
  return items.length > UNFOLDED_MOST ? [...entries, moreItem(run, items.slice(UNFOLDED_MOST))] : entries;
}

/** Marks the entry that the cursor stands at or has passed last, and brings it into sight. */
function followStory(state) {
  const root = document.getElementById("stories");
  root.querySelector(".is-now")?.classList.remove("is-now");
  const list = root.querySelector(`.story[data-run="${page.table.run.index}"]`);
  const entries = [...list.children].filter((entry) => entry.dataset.t !== undefined);
  const { run } = page.table;
  const isChosen = state.selected?.run === run.index && run.t[state.selected.n] === state.moment;
  const chosen = isChosen && entries.find((entry) => entry.dataset.n === String(state.selected.n));
  const now = chosen || entries[placeWhere(entries.length, (at) => Number(entries[at].dataset.t) > state.moment) - 1];
  if (!now) { root.scrollTop = 0; return; }
  now.classList.add("is-now");
  const box = root.getBoundingClientRect(), its = now.getBoundingClientRect();
  if (its.top < box.top) root.scrollTop -= box.top - its.top + 4;
  else if (its.bottom > box.bottom) root.scrollTop += Math.min(its.bottom - box.bottom + 4, its.top - box.top - 4);
}

/** Every host at the moment of the cursor, or at the edge of the window where the cursor is out of sight. */
function drawHosts(root, state, run) {
  const t = state.shownMoment;
  const edge = t === state.moment ? "" : `, at the ${t > state.moment ? "left" : "right"} edge of what is shown`;
  document.getElementById("hosts-title").textContent = `Hosts at ${moment(t)}${edge}`;
  const rows = run.hosts.map((host, i) => {
    const now = hostAt(run, i, t);
    const last = run.lastOf(i, t);
    const tone = now.life !== "alive" ? toneOfLife(now.life) : now.state ? toneOf(now.state.state) : "calm";
    const row = make("div", { className: "host-row", role: "listitem" });
    row.append(
      make("span", { className: "host-name", textContent: host.name, title: host.addr }),
      make("span", { className: `badge badge-${tone}`, textContent: [now.life === "alive" && now.state ? "" : now.life, now.state ? now.state.state : ""].filter(Boolean).join(", ") }),
      make("span", { className: "host-detail", textContent: now.state?.detail ?? "" }),
    );
    if (last >= 0) {
      const doing = link(run.index, last, recordWords(run, last), "link doing");
      doing.title = `record ${last}, at ${moment(run.t[last])}`;
      row.append(doing);
    }
    return row;
  });
  root.replaceChildren(...rows);
}

/** The chosen record: its fields, and the way that led to it. */
function drawRecord(root, state) {
  if (!state.selected) {
    root.replaceChildren(make("p", { className: "empty", textContent: "Click on anything in the diagram, or step along the records with the arrow keys." }));
    return;
  }
  const run = state.runs[state.selected.run], { n } = state.selected;
  const title = make("div", { className: "record-title" },
    make("span", { className: "record-number", textContent: `record ${number(n)}` }),
    make("span", { className: "record-time", textContent: `${moment(run.t[n], 0.1)}${run.hostName(n) ? ` · ${run.hostName(n)}` : ""}` }));
  const words = make("p", { className: `record-words ${toneOfRecord(run, n)}` }, ...markFound(state.search.query, recordWords(run, n)));
  root.replaceChildren(title, words, causesOf(run, n), effectsOf(run, n), fieldsOf(run, n));
}

function causesOf(run, n) {
  const causes = run.causesOf(n);
  const box = make("section", { className: "chain chain-cause" }, make("h3", { textContent: "Why" }));
  if (!causes.length) {
    const isRoot = run.host[n] >= 0 ? "No record is known to have caused this: its cause is not traced." : "The testbed did this.";
    box.append(make("p", { className: "empty", textContent: isRoot }));
    return box;
  }
  const list = make("ol");
  causes.slice(0, 12).forEach((cause, place) => list.append(chainStep(run, cause, place ? causes[place - 1] : n)));
  if (causes.length > 12) list.append(make("li", { className: "empty", textContent: `and ${causes.length - 12} more before it` }), chainStep(run, causes[causes.length - 1]));
  box.append(list);
  return box;
}

function effectsOf(run, n) {
  const effects = run.effectsOf(n);
  const box = make("section", { className: "chain chain-effect" }, make("h3", { textContent: "Led to" }));
  if (!effects.length) { box.append(make("p", { className: "empty", textContent: "Nothing that is traced." })); return box; }
  const list = make("ol");
  for (const effect of effects.subarray(0, 10)) list.append(chainStep(run, effect));
  if (effects.length > 10) list.append(make("li", { className: "empty", textContent: `and ${effects.length - 10} more` }));
  box.append(list);
  return box;
}

/** One record of a chain; `effect` is the record that it led to, where the chain goes back. */
function chainStep(run, n, effect) {
  const step = make("li", {}, make("span", { className: "when", textContent: moment(run.t[n]) }));
  const host = run.hostName(n);
  const words = make("span", {}, link(run.index, n, `${host ? `${host} ` : ""}${recordWords(run, n)}`));
  if (effect !== undefined && run.byTimer[effect]) words.append(make("span", { className: "empty", textContent: ` (a timer, for ${length(run.t[effect] - run.t[n])})` }));
  step.append(words);
  return step;
}

const PLAIN_FIELDS = ["label", "detail", "packet", "transport", "segment", "src", "dst", "len", "attempt", "attempts", "reason", "copy", "bit", "step", "action", "incarnation", "why", "message", "invariant", "verdict"];

const FIELD_NAMES = { action: "in the script", src: "from", dst: "to", len: "bytes" };

function fieldsOf(run, n) {
  const list = make("dl", { className: "fields" });
  const add = (key, value) => { if (value !== undefined && value !== null && value !== "") list.append(make("dt", { textContent: key }), make("dd", { textContent: String(value) })); };
  for (const [key, value] of run.eventFields(n)) { const [name, words] = eventFieldWords(key, value); add(name, words || "yes"); }
  for (const key of PLAIN_FIELDS) add(FIELD_NAMES[key] ?? key, run.field(n, key));
  for (const [key, value] of run.fieldsUnder(n, "tcp.")) add(`TCP ${key}`, value);
  const tx = run.tx[run.txOf[n]];
  if (tx && run.kind(n) !== "sent") {
    add("packet sent in", `record ${tx.packet.sent}`);
  }
  if (tx) {
    add("fate", FATES[tx.fate] + (tx.fate === LOST ? `: ${LOSSES[run.field(tx.end, "reason")]}` : ""));
    if (tx.end >= 0 && tx.fate !== LOST) add("took", length(run.t[tx.end] - run.t[tx.begin]));
    if (tx.packet.tries > 1) add("transmissions", tx.packet.tries);
    const payload = run.field(tx.packet.sent, "payload_hex");
    if (payload) list.append(make("dt", { textContent: "payload" }), make("dd", {}, make("pre", { textContent: dump(payload, run.field(tx.packet.sent, "len")) })));
  }
  return list;
}

/** Bytes in hexadecimal and as text, sixteen a line. */
function dump(hex, total) {
  const bytes = hex.match(/../g).map((pair) => parseInt(pair, 16));
  const lines = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const part = bytes.slice(at, at + 8);
    const digits = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${digits.padEnd(23)}  ${text}`);
  }
  if (bytes.length < total) lines.push(`the first ${bytes.length} of ${plural(total, "byte")}`);
  return lines.join("\n");
}
