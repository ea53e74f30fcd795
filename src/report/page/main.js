// Puts the page together.

const page = {};

function boot() {
  const data = JSON.parse(document.getElementById("data").textContent);
  readPalette();
  const runs = data.runs.map((run, index) => new Run(run, index));
  const state = page.state = new State(runs);
  page.help = document.getElementById("help");
  buildHelp(page.help);
  buildHeads(runs, data);
  buildFilters(document.getElementById("filters"), state);
  buildDiagrams(runs, state);
  page.table = new Table(document.getElementById("table"), state);
  buildStories(runs);
  drawRecord(document.getElementById("record"), state);
  page.table.offer(runs);
  if (data.comparison) buildComparison(document.getElementById("comparison"), data.comparison, runs);
  wire(state);
  page.resize();
  if (!followHash()) page.openAtStart(false);
  document.documentElement.dataset.ready = "true";
}

function buildHeads(runs, data) {
  document.title = data.title;
  const root = document.getElementById("heads");
  for (const run of runs) root.append(headOf(run, runs.length > 1 ? "AB"[run.index] : ""));
  document.body.classList.toggle("comparing", runs.length > 1);
}

function headOf(run, letter) {
  const verdict = run.as_expected ? "pass" : run.verdict === "inconclusive" ? "unsure" : "fail";
  const words = run.verdict === "pass" ? "PASS" : run.as_expected ? `${run.verdict}, as expected` : run.verdict.toUpperCase();
  const head = make("header", { className: "head" });
  const title = make("div", { className: "head-title" });
  if (letter) title.append(make("span", { className: "letter", textContent: letter }));
  title.append(make("h1", { textContent: run.sim }), make("span", { className: "seed", textContent: `seed ${run.seed}` }), make("span", { className: `verdict verdict-${verdict}`, textContent: words }));
  for (const set of run.set) title.append(make("code", { className: "set", textContent: set }));
  head.append(title);
  if (run.about) head.append(make("p", { className: "about", textContent: run.about }));
  if (run.violation) head.append(violationBanner(run));
  else if (run.reason) head.append(make("p", { className: "banner banner-unsure", textContent: run.reason }));
  head.append(make("p", { className: "headline", textContent: headlineOf(run) }));
  head.append(reproduceLine(run));
  return head;
}

function violationBanner(run) {
  const { violation } = run;
  const banner = make("div", { className: "banner banner-fail", role: "alert" });
  banner.append(make("div", { className: "banner-title" }, make("strong", { textContent: violation.invariant }), ` ${violation.message}`, make("span", { className: "when", textContent: ` at ${moment(violation.at_ms)} ` }), link(run.index, violation.record, `record ${number(violation.record)}`)));
  const facts = make("ul");
  for (const fact of violation.facts) facts.append(make("li", {}, make("span", { className: "when", textContent: moment(fact.at_ms) }), link(run.index, fact.record, fact.text)));
  banner.append(facts);
  return banner;
}

function reproduceLine(run) {
  const line = make("div", { className: "reproduce" });
  const copy = make("button", { type: "button", className: "copy", textContent: "Copy", "aria-label": "Copy the command that makes this run again" });
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(run.reproduce); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(line.querySelector("code")); }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  line.append(make("code", { textContent: run.reproduce }), copy, make("span", { className: "facts", textContent: [`${length(run.sim_ms)} simulated`, plural(run.count, "record"), run.hash ? `hash ${run.hash}` : ""].filter(Boolean).join(" · ") }));
  return line;
}

function buildDiagrams(runs, state) {
  const root = document.getElementById("diagrams");
  page.views = runs.map((run) => {
    const overview = make("canvas", { className: "overview", tabIndex: 0, role: "slider", "aria-label": `The moment that is shown, in the run of ${run.sim}` });
    const canvas = make("canvas", { className: "lanes", tabIndex: 0, role: "application", "aria-roledescription": "space-time diagram", "aria-label": `Space-time diagram of ${run.sim}, seed ${run.seed}: ${plural(run.hosts.length, "host")}, ${plural(run.count, "record")}. The arrow keys step along the records.` });
    const box = make("section", { className: "diagram" });
    if (runs.length > 1) box.append(make("div", { className: "diagram-title", textContent: `${"AB"[run.index]}  ${run.sim}  seed ${run.seed}` }));
    box.append(overview, canvas);
    box.style.setProperty("--hosts", run.hosts.length);
    root.append(box);
    const lanes = new Lanes(canvas, run, state);
    attachPointer(lanes, state, document.getElementById("tip"));
    return { run, lanes, overview: new Overview(overview, run, state), syncZoom: attachZoom(lanes, state) };
  });
}

function buildStories(runs) {
  const root = document.getElementById("stories");
  for (const run of runs) {
    if (runs.length > 1) root.append(make("h3", { className: "run-title", textContent: `${"AB"[run.index]}  ${run.sim}` }));
    root.append(storyPanel(run));
  }
}

/** Draws at most once a frame, and only what has changed. */
function wire(state) {
  let isAsked = false;
  page.frames = { drawn: 0, longest: 0 };
  const draw = () => {
    isAsked = false;
    const before = performance.now();
    for (const view of page.views) { view.lanes.draw(); view.overview.draw(); view.syncZoom(); }
    page.frames.drawn++;
    page.frames.longest = Math.max(page.frames.longest, performance.now() - before);
    page.status.textContent = momentWords(state);
  };
  page.status = document.getElementById("moment");
  page.draw = () => { if (!isAsked) { isAsked = true; requestAnimationFrame(draw); } };
  page.resize = () => { for (const view of page.views) { view.lanes.resize(); view.overview.resize(); } page.table.draw(); page.draw(); };
  state.listen((what) => { page.draw(); if (what !== "window") refreshPanels(state, what); });
  new ResizeObserver(() => page.resize()).observe(document.getElementById("diagrams"));
  new ResizeObserver(() => page.table.draw()).observe(document.getElementById("table"));
  document.addEventListener("keydown", onKey);
  addEventListener("popstate", () => { if (!followHash()) state.clear(); });
  addEventListener("hashchange", followHash);
  wireControls(state);
}

function momentWords(state) {
  const [t0, t1] = state.window;
  return `${moment(state.moment, 0.1)} · ${t1 - t0 >= state.end * 0.999 ? "whole run" : `${length(t1 - t0)} shown`}`;
}

let panelsDue = null;
function refreshPanels(state, what) {
  const run = state.runs[state.selected?.run ?? page.table.run.index];
  page.table.show(run.index);
  if (what === "selection") {
    drawRecord(document.getElementById("record"), state);
    if (state.selected) { page.table.reveal(state.selected.n); page.say(`record ${state.selected.n}: ${run.hostName(state.selected.n) ?? ""} ${recordWords(run, state.selected.n)}`); }
    else page.table.draw();
  }
  if (what === "filters") page.table.draw();
  if (panelsDue !== null) return;
  panelsDue = requestAnimationFrame(() => {
    panelsDue = null;
    drawHosts(document.getElementById("hosts"), state, run);
    if (what === "moment" && state.moment > 0) page.table.reveal(Math.max(run.recordsUntil(state.moment) - 1, 0));
  });
}

function wireControls(state) {
  const search = document.getElementById("search");
  let timer = 0;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => { state.search = search.value.trim(); state.filtersChanged(); }, 120); });
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") { clearTimeout(timer); state.search = search.value.trim(); state.filtersChanged(); firstMatch(state); } });
  document.getElementById("zoom-in").addEventListener("click", () => state.zoomBy(1.8));
  document.getElementById("zoom-out").addEventListener("click", () => state.zoomBy(1 / 1.8));
  document.getElementById("zoom-all").addEventListener("click", () => state.setWindow(0, state.end));
  document.getElementById("show-help").addEventListener("click", () => page.help.showModal());
  document.getElementById("theme").addEventListener("click", () => page.switchTheme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.repaint());
}

function firstMatch(state) {
  const run = page.table.run;
  page.table.filter();
  const after = state.selected?.run === run.index ? state.selected.n : -1;
  const n = page.table.list.find((n) => n > after) ?? page.table.list[0];
  if (n !== undefined) go(run.index, n);
}

page.say = (text) => { document.getElementById("said").textContent = text; };
page.repaint = () => { readPalette(); for (const view of page.views) view.overview.picture = null; page.state.tell("theme"); };
page.switchTheme = () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  page.repaint();
};

/** At a violation: there, with the facts in sight. Else the whole run. */
page.openAtStart = (isAsked) => {
  const { state } = page;
  const run = state.runs.find((run) => run.violation);
  if (run) {
    const { violation } = run;
    const first = violation.facts.reduce((least, fact) => Math.min(least, run.t[fact.record]), violation.at_ms);
    const room = Math.max((violation.at_ms - first) * 0.25, run.usualLatency * 20);
    state.setWindow(first - room, violation.at_ms + room);
    state.select(run.index, violation.record);
    return;
  }
  const first = isAsked && document.querySelector(".story li[data-n]");
  if (first) go(0, Number(first.dataset.n), { zoom: true });
  else { state.setWindow(0, state.end); state.setMoment(state.runs[0].partsAt ?? 0); }
};
