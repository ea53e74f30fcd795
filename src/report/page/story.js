// What happened, in words: faults, lives and changes of role, each with what led to it; what repeats is told once.

/** The story's items, in order: `{ n, t, icon, tone, text, why, more }`; `why` may be a function, for what is long to tell. */
function storyOf(run) {
  const items = [];
  for (const fault of run.faults) items.push(faultItem(run, fault));
  for (let host = 0; host < run.hosts.length; host++) {
    for (const { n, life } of run.lives[host]) if (n >= 0) lifeItem(run, host, n, life, items);
    changeItems(run, host, items);
  }
  slowItems(run, items);
  if (run.violation) items.push({ ...violationItem(run), t: run.violation.at_ms });
  items.sort((a, b) => a.n - b.n);
  return fold(items);
}

function violationItem(run) {
  const { record, invariant, message } = run.violation;
  return { n: record, icon: "✕", tone: "bad", text: `${invariant}: ${message}`, why: [] };
}

function faultItem(run, fault) {
  const words = faultWords(fault, fault.action);
  const until = !fault.isSpan ? "" : fault.t1 === NEVER ? ", until the end" : `, for ${length(fault.t1 - fault.t0)}`;
  const lost = fault.groups.length ? lossesIn(run, fault) : "";
  const isLast = fault.verb === "heal";
  return { n: fault.begin, t: fault.t0, icon: isLast ? "◇" : "◆", tone: "fault", text: `${isLast ? "all faults end" : words}${until}${lost}`, why: [], step: fault.step, sign: `fault ${fault.action}` };
}

function lossesIn(run, fault) {
  let lost = 0;
  for (const i of run.lostBetween(fault.t0 - run.usualLatency * 4, fault.t1)) {
    if (run.tx[i].end >= fault.begin && run.field(run.tx[i].end, "reason") === "partition") lost++;
  }
  return lost ? `; ${plural(lost, "packet is", "packets are")} lost to it` : "";
}

function lifeItem(run, host, n, life, items) {
  const kind = run.kind(n);
  const isFirstStart = kind === "started" && !run.field(n, "incarnation");
  if (isFirstStart || kind === "finished") return;
  const name = run.hosts[host].name;
  const words = { started: "starts again", resumed: "goes on", paused: "stands still", killed: "is killed", "power-lost": "loses power", failed: `ends with an error: ${run.field(n, "message")}`, panicked: `panics: ${run.field(n, "message")}` };
  items.push({ n, t: run.t[n], icon: life === "alive" ? "▲" : "▼", tone: life === "alive" ? "calm" : "down", text: `${name} ${words[kind] || life}`, why: [], sign: `${kind}` });
}

/** Changes that matter to the whole system: who leads, and who is out. */
function changeItems(run, host, items) {
  const name = run.hosts[host].name;
  run.stateOf[host].forEach((entry, i, list) => {
    const before = list[i - 1];
    if (before && before.state === entry.state && before.detail === entry.detail) return;
    const tone = toneOf(entry.state), was = before ? toneOf(before.state) : "calm";
    const isNews = tone === "lead" ? was !== "lead" || before.detail !== entry.detail : tone === "down" || was === "lead" || (was === "down" && before);
    if (!isNews) return;
    const why = reasons(run, entry.n);
    const text = was === "lead" && tone !== "lead" ? `${name} is ${entry.state} again, no longer ${before.state}` : `${name} becomes ${stateWords(entry)}`;
    items.push({ n: entry.n, t: entry.t, icon: tone === "lead" ? "★" : was === "lead" ? "☆" : tone === "down" ? "▽" : "△", tone, text, why, sign: `${entry.state}<${why.map((step) => step.sign).join("<")}`, host });
  });
}

/** The chain of causes of a record, one line a step of it, nearest first: what arrived, and what set it off. */
function reasons(run, n) {
  const chain = [n, ...run.causesOf(n)];
  const timed = chain.findIndex((at) => run.byTimer[at]);
  const lines = [];
  for (const at of chain.slice(1, timed < 0 ? undefined : timed + 1)) {
    if (run.kind(at) !== "delivered") continue;
    const tx = run.tx[run.txOf[at]];
    if (!tx) continue;
    const detail = run.field(tx.packet.sent, "detail");
    lines.push({ n: at, sign: tx.packet.name, text: `${tx.packet.name} from ${run.hosts[tx.packet.from].name}${detail ? ` (${detail})` : ""}` });
    if (lines.length === 3) return lines;
  }
  const root = chain[timed < 0 ? chain.length - 1 : timed];
  const silence = silenceBefore(run, root, root === n);
  if (silence) lines.push(silence);
  return lines;
}

/** Why a host may have acted of itself: what was meant for it meanwhile and did not arrive. */
function silenceBefore(run, root, isSource) {
  const host = run.host[root];
  if (host < 0 || run.kind(root) === "delivered") return null;
  const was = run.stateOf[host].findLast((entry) => entry.n < root);
  const isLeading = was && toneOf(was.state) === "lead";
  const since = run.t[root];
  const missed = new Map();
  for (let i = lowerBound(run.tx0, since) - 1; i >= 0 && run.tx0[i] > since - 2000; i--) {
    if (run.txTo[i] !== host) continue;
    if (run.txFate[i] !== LOST) { if (missed.size && !missed.has(run.txFrom[i])) continue; if (missed.has(run.txFrom[i])) break; continue; }
    if (run.tx[i].end > root) continue;
    const key = run.txFrom[i];
    const seen = missed.get(key) || { count: 0, name: run.tx[i].packet.name, reason: run.field(run.tx[i].end, "reason"), n: run.tx[i].end };
    seen.count++;
    missed.set(key, seen);
  }
  const most = [...missed].sort((a, b) => b[1].count - a[1].count)[0];
  const name = run.hosts[host].name;
  if (!most || isLeading) return isSource ? null : { n: root, sign: "timer", text: `${name} acts of itself at ${moment(since)}` };
  const [from, { count, name: message, reason, n }] = most;
  return { n, sign: `timer:${reason}`, text: `${name} acts of itself at ${moment(since)}: the last ${count === 1 ? message : `${count} ${message}`} from ${run.hosts[from].name} did not arrive (${LOSSES[reason] || reason})` };
}

/** The slowest and the failed requests, with what was lost meanwhile; those that waited together are one item. */
function slowItems(run, items) {
  const usual = typical(run);
  const slow = run.spans.filter((span) => span.end >= 0 && span.t1 - span.t0 > usual * 4).sort((a, b) => b.t1 - b.t0 - (a.t1 - a.t0));
  const groups = [];
  for (const span of slow) {
    const group = groups.find(([first]) => first.host === span.host && Math.abs(first.t1 - span.t1) < usual && first.t0 < span.t1 && span.t0 < first.t1);
    if (group) group.push(span);
    else if (groups.length < 5) groups.push([span]);
  }
  for (const group of groups) {
    const [span] = group;
    const took = span.t1 - span.t0;
    const others = group.length > 1 ? `, and ${plural(group.length - 1, "other")} with it` : "";
    items.push({ n: span.begin, t: span.t0, icon: "◔", tone: "late", text: `${run.hosts[span.host].name}: ${span.name} takes ${length(took)}, ${Math.round(took / usual)} times the usual ${length(usual)}${others}`, why: () => lossesDuring(run, span) });
  }
  for (const span of run.spans) {
    if (span.end >= 0 && span.failure === null) continue;
    const n = span.end < 0 ? span.begin : span.end;
    items.push({ n, t: run.t[n], icon: "✕", tone: "lost", text: `${run.hosts[span.host].name}: ${span.name} ${span.end < 0 ? "is still open at the end" : `fails: ${span.failure}`}`, why: () => lossesDuring(run, span), sign: `request ${span.end < 0 ? "open" : span.failure}` });
  }
}

/** What a host missed or could not send while it waited for an answer, packet by packet. */
function lossesDuring(run, span) {
  const lost = new Map();
  for (const i of run.lostBetween(span.t0, span.t1)) {
    if (run.txFrom[i] !== span.host && run.txTo[i] !== span.host) continue;
    const { packet, end } = run.tx[i];
    const seen = lost.get(packet.id) || { n: end, count: 0 };
    seen.count++;
    lost.set(packet.id, seen);
  }
  const most = [...lost.values()].sort((a, b) => b.count - a.count || a.n - b.n).slice(0, 3);
  return most.map(({ n, count }) => ({ n, sign: "lost", text: `${packetWords(run, n)} was lost ${count === 1 ? "" : `${count} times `}(${LOSSES[run.field(n, "reason")]})` }));
}

/** Tells what repeats twice, and then how often it came again. */
function fold(items) {
  const seen = new Map();
  const out = [];
  for (const item of items) {
    const sign = item.sign ?? "";
    if (!sign) { out.push(item); continue; }
    const times = (seen.get(sign) || 0) + 1;
    seen.set(sign, times);
    const last = out[out.length - 1];
    if (times <= 3) out.push(item);
    else if (last?.more) last.more.push(item);
    else out.push({ n: item.n, t: item.t, icon: "…", tone: "calm", more: [item], why: [] });
  }
  return out;
}

/** One sentence that says what it came to. */
function headlineOf(run) {
  const parts = [];
  const changes = [];
  run.stateOf.forEach((list, host) => list.forEach((entry, i) => {
    const before = list[i - 1];
    if (toneOf(entry.state) === "lead" && (!before || toneOf(before.state) !== "lead")) changes.push({ t: entry.t, host, state: entry.state });
  }));
  changes.sort((a, b) => a.t - b.t);
  if (changes.length === 1) parts.push(`One ${changes[0].state}, ${run.hosts[changes[0].host].name}, from ${moment(changes[0].t)} on`);
  if (changes.length > 1) {
    const hosts = [...new Set(changes.map((change) => run.hosts[change.host].name))];
    const every = (changes[changes.length - 1].t - changes[0].t) / (changes.length - 1);
    parts.push(`The lead changes ${plural(changes.length - 1, "time")} in ${length(run.end)}, about every ${length(every)}, among ${hosts.join(", ")}`);
  }
  if (run.spans.length) {
    const done = run.spans.filter((span) => span.end >= 0 && span.failure === null);
    const times = done.map((span) => span.t1 - span.t0).sort((a, b) => a - b);
    const failed = run.spans.filter((span) => span.failure !== null).length;
    parts.push(`${number(done.length)} of ${plural(run.spans.length, "request")} answered${failed ? `, ${number(failed)} failed` : ""}` + (times.length ? `, half within ${length(times[times.length >> 1])}, the slowest in ${length(times[times.length - 1])}` : ""));
  }
  if (run.tx.length) {
    const lost = run.txFate.reduce((sum, fate) => sum + (fate === LOST), 0), again = run.tx.reduce((sum, tx) => sum + (tx.attempt > 0), 0);
    parts.push((lost ? `${number(lost)} of ${plural(run.tx.length, "transmission")} lost` : `${plural(run.tx.length, "packet")}, none lost`) + (again ? `, ${number(again)} sent again` : ""));
  }
  return parts.join(". ") + (parts.length ? "." : "");
}
