// Two runs beside each other: where they part, and what each came to.

function buildComparison(root, comparison, runs) {
  root.hidden = false;
  const [a, b] = runs;
  const body = make("div", { className: "panel-body", tabIndex: 0 });
  root.append(make("h2", { textContent: "Where they part" }), body);
  body.append(make("p", { className: "headline", textContent: partingWords(comparison, a, b) }));
  if (comparison.parts_at !== null) {
    for (const run of runs) {
      body.append(partingSide(run, comparison.parts_at));
      run.partsAt = run.t[Math.min(comparison.parts_at, run.count - 1)];
    }
  }
  for (const table of [differences("In the script", comparison.settings), differences("What each came to", countsApart(a, b))]) if (table) body.append(table);
}

/** What each run came to, in numbers: of the first, and of the second. */
function countsApart(a, b) {
  const left = countsOf(a), right = countsOf(b);
  return [...new Set([...left.keys(), ...right.keys()])].map((key) => [key, left.get(key) ?? null, right.get(key) ?? null]);
}

function countsOf(run) {
  const counts = new Map([["verdict", run.verdict], ["simulated", length(run.sim_ms)], ["records", number(run.count)]]);
  for (const list of run.stateOf) list.forEach((entry, i) => {
    if (i && list[i - 1].state !== entry.state) counts.set(`became ${entry.state}`, (counts.get(`became ${entry.state}`) || 0) + 1);
  });
  for (const [key, value] of packetCounts(run)) counts.set(key, value);
  const done = run.spans.filter((span) => span.end >= 0 && span.failure === null);
  if (run.spans.length) {
    const times = done.map((span) => span.t1 - span.t0).sort((x, y) => x - y);
    counts.set("requests answered", `${number(done.length)} of ${number(run.spans.length)}`);
    if (times.length) counts.set("half of them within", length(times[times.length >> 1])).set("the slowest", length(times[times.length - 1]));
  }
  for (const [key, value] of counts) if (typeof value === "number") counts.set(key, number(value));
  return counts;
}

function packetCounts(run) {
  const counts = new Map();
  const add = (key) => counts.set(key, (counts.get(key) || 0) + 1);
  for (const tx of run.tx) {
    if (tx.fate === LOST) add("transmissions lost");
    if (tx.attempt > 0) add("sent again");
    if (tx.attempt === 0 && !tx.packet.isCopy) add(`${tx.packet.name} sent`);
  }
  return new Map([...counts].sort());
}

function partingWords(comparison, a, b) {
  if (comparison.parts_at === null) return `They are the same run: ${plural(a.count, "record")}, all equal.`;
  const n = comparison.parts_at;
  if (n >= a.count || n >= b.count) {
    const [short, long] = n >= a.count ? ["A", "B"] : ["B", "A"];
    return `${short} ends after ${plural(n, "record")}, all of them equal to ${long}'s, which goes on.`;
  }
  const before = n === 0 ? "They differ from the very first record" : `The first ${plural(n, "record")} ${n === 1 ? "is" : "are"} the same, until ${moment(a.t[n])}`;
  const role = firstStateApart(a, b);
  const become = a.states.length + b.states.length ? "What the hosts become is the same in both." : "";
  return `${before}. ${role || become}`.trim();
}

/** The first change of role that only one of them has, however early other records differ: of who leads, if that differs. */
function firstStateApart(a, b) {
  const changes = (run, isLead) => run.states.map(([n, host, state, detail]) => ({ n, t: run.t[n], state, words: `${run.hosts[host].name} becomes ${stateWords({ state, detail })}` }))
    .filter(({ state }) => !isLead || toneOf(state) === "lead");
  for (const isLead of [true, false]) {
    const left = changes(a, isLead), right = changes(b, isLead);
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      if (left[i]?.words === right[i]?.words) continue;
      const say = (name, change) => (change ? `in ${name}, ${change.words} at ${moment(change.t)}` : `in ${name}, none does`);
      return `${isLead ? "Who leads" : "What hosts are"} parts later: ${say("A", left[i])}; ${say("B", right[i])}.`;
    }
  }
  return "";
}

const BEFORE = 1, AFTER = 4;

function partingSide(run, n) {
  const list = make("ol", { className: "side" });
  for (let at = Math.max(n - BEFORE, 0); at < Math.min(n + AFTER, run.count); at++) {
    const row = make("li", { className: at < n ? "same" : at === n ? "differs" : "" });
    row.append(make("span", { textContent: `${"AB"[run.index]} ${number(at)}` }), make("span", { className: "when", textContent: moment(run.t[at]) }),
      make("span", { textContent: run.hostName(at) ?? "–" }), link(run.index, at, recordWords(run, at)));
    list.append(row);
  }
  return list;
}

function differences(title, rows) {
  const differing = rows.filter(([, left, right]) => left !== right);
  if (!differing.length) return null;
  const table = make("table", { className: "differences" });
  table.append(make("thead", {}, make("tr", {}, ...[title, "A", "B"].map((textContent) => make("th", { textContent, scope: "col" })))));
  const body = make("tbody");
  for (const [key, left, right] of differing) body.append(make("tr", {}, make("th", { textContent: key, scope: "row" }), make("td", { textContent: left ?? "–" }), make("td", { textContent: right ?? "–" })));
  table.append(body);
  return table;
}
