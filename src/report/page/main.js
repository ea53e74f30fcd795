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
  buildLegend(document.getElementById("legend"), runs, state);
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

function buildDiagrams(runs, state) {
  const root = document.getElementById("diagrams");
  page.views = runs.map((run) => {
    const overview = make("canvas", { className: "overview", tabIndex: 0, role: "slider", "aria-label": `The moment that is shown, in the run of ${run.sim}` });
    const canvas = make("canvas", { className: "lanes", tabIndex: 0, role: "application", "aria-roledescription": "space-time diagram", "aria-label": `Space-time diagram of ${run.sim}, seed ${run.seed}: ${plural(run.hosts.length, "host")}, ${plural(run.count, "record")}. The arrow keys step along the records.` });
    const box = make("section", { className: "diagram" });
    if (runs.length > 1) box.append(make("div", { className: "diagram-title", textContent: `${"AB"[run.index]}  ${run.sim}  seed ${run.seed}` }));
    const lanesBox = make("div", { className: "lanes-box" }, canvas);
    box.append(overview, lanesBox);
    box.style.setProperty("--hosts", run.hosts.length);
    root.append(box);
    const lanes = new Lanes(lanesBox, canvas, run, state);
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
  page.frames = { drawn: 0, times: [] };
  page.status = document.getElementById("moment");
  page.drawNow = () => {
    isAsked = false;
    const before = performance.now();
    for (const view of page.views) { view.lanes.draw(); view.overview.draw(); view.syncZoom(); }
    page.status.textContent = momentWords(state);
    page.frames.drawn++;
    page.frames.times.push(performance.now() - before);
    if (page.frames.times.length > 2000) page.frames.times.shift();
  };
  page.draw = () => { if (!isAsked) { isAsked = true; requestAnimationFrame(page.drawNow); } };
  page.resize = () => { for (const view of page.views) { view.lanes.resize(); view.overview.resize(); } page.table.draw(); page.draw(); };
  state.listen((what) => { page.draw(); refreshPanels(state, what); });
  const resized = new ResizeObserver(() => page.resize());
  resized.observe(document.getElementById("diagrams"));
  for (const view of page.views) resized.observe(view.lanes.canvas);
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
    if (state.selected) {
      page.table.reveal(state.selected.n);
      page.views[run.index].lanes.reveal(run.host[state.selected.n]);
      page.say(`record ${state.selected.n}: ${run.hostName(state.selected.n) ?? ""} ${recordWords(run, state.selected.n)}`);
    } else page.table.draw();
  }
  if (what === "filters" || what === "search") page.table.reveal(here(state, run));
  panelsDue ??= requestAnimationFrame(() => {
    const { follows } = page;
    panelsDue = null;
    page.follows = false;
    drawHosts(document.getElementById("hosts"), state, run);
    if (!follows) return;
    followStory(state);
    if (!state.selected && state.moment > 0) page.table.reveal(here(state, run));
  });
  if (what === "moment" || what === "selection") page.follows = true;
}

page.followStory = () => followStory(page.state);

/** The record that the reader is at: the chosen one, or the last one before the cursor. */
function here(state, run) {
  return state.selected?.run === run.index ? state.selected.n : Math.max(run.recordsUntil(state.moment) - 1, 0);
}

function wireControls(state) {
  wireSearch(state);
  document.getElementById("zoom-in").addEventListener("click", () => state.zoomBy(1.8));
  document.getElementById("zoom-out").addEventListener("click", () => state.zoomBy(1 / 1.8));
  document.getElementById("zoom-all").addEventListener("click", () => state.setWindow(0, state.end));
  document.getElementById("show-help").addEventListener("click", () => page.help.showModal());
  document.getElementById("theme").addEventListener("click", () => page.switchTheme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.repaint());
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
