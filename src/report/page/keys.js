// The keyboard, and links to a moment.

const KEYS = [
  ["← →", "the record before, the next one that is shown"],
  ["↑ ↓", "the same at the same host"],
  ["[ ]", "to its cause, to its first effect"],
  ["+ −", "closer, further away"],
  ["0", "the whole run"],
  ["Shift ← →", "move the window"],
  ["v", "to the violation, or to what the story begins with"],
  ["/", "search: every word must be found, and \"a phrase\" or a-name as it stands; a number is a record's"],
  ["n N", "to the next match, to the one before"],
  ["PageDown PageUp", "scroll the lanes, where they have no room"],
  ["t", "light or dark"],
  ["h", "fold the head, unfold it"],
  ["Esc", "choose nothing; close"],
  ["?", "this help"],
];

/** Goes to a record, so that the browser's way back leads here again. */
function go(runIndex, n, options = {}) {
  const hash = runIndex === 0 ? `#record=${n}` : `#record=${n}&run=b`;
  if (location.hash !== hash) history.pushState(options, "", hash);
  page.state.select(runIndex, n, options);
}

/** What the address asks for; whether it asked for something that is there. */
function followHash() {
  const match = location.hash.match(/^#record=(\d+)(?:&run=(a|b))?$/);
  if (!match) return false;
  const run = match[2] === "b" ? 1 : 0, n = Number(match[1]);
  if (!page.state.runs[run] || n >= page.state.runs[run].count) {
    page.say(`There is no record ${match[1]}: the last one is ${page.state.runs[0].count - 1}.`);
    return false;
  }
  page.state.select(run, n, { zoom: true });
  return true;
}

function stepRecord(state, direction, sameHost) {
  const chosen = state.selected ?? { run: 0, n: state.runs[0].recordsUntil(state.moment) - (direction > 0 ? 1 : 0) };
  const run = state.runs[chosen.run];
  const host = state.selected ? run.host[chosen.n] : -1;
  for (let n = chosen.n + direction; n >= 0 && n < run.count; n += direction) {
    if (sameHost && host >= 0 && run.host[n] !== host) continue;
    if (state.showsRecord(run, n)) { replace(chosen.run, n); return; }
  }
}

/** Steps replace the address, so that the way back is not every one of them. */
function replace(runIndex, n) {
  history.replaceState({}, "", runIndex === 0 ? `#record=${n}` : `#record=${n}&run=b`);
  page.state.select(runIndex, n);
}

function follow(state, isEffect) {
  if (!state.selected) return;
  const run = state.runs[state.selected.run], { n } = state.selected;
  const to = isEffect ? run.effectsOf(n)[0] : run.cause[n];
  if (to !== undefined && to >= 0) go(run.index, to);
}

function onKey(event) {
  const { state } = page;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
  if (event.key === "Escape") {
    if (page.help.open) page.help.close();
    else if (isTyping) event.target.blur();
    else state.clear();
    return;
  }
  if (isTyping || page.help.open) return;
  const [t0, t1] = state.window;
  const shift = (t1 - t0) / 8;
  const actions = {
    ArrowRight: () => (event.shiftKey ? state.setWindow(t0 + shift, t1 + shift) : stepRecord(state, 1, false)),
    ArrowLeft: () => (event.shiftKey ? state.setWindow(t0 - shift, t1 - shift) : stepRecord(state, -1, false)),
    ArrowDown: () => stepRecord(state, 1, true),
    ArrowUp: () => stepRecord(state, -1, true),
    "[": () => follow(state, false),
    "]": () => follow(state, true),
    "+": () => state.zoomBy(1.6),
    "=": () => state.zoomBy(1.6),
    "-": () => state.zoomBy(1 / 1.6),
    _: () => state.zoomBy(1 / 1.6),
    0: () => state.setWindow(0, state.end),
    v: () => page.openAtStart(true),
    t: () => page.switchTheme(),
    h: () => document.getElementById("fold").click(),
    n: () => page.stepFound(1),
    N: () => page.stepFound(-1),
    "/": () => document.getElementById("search").focus(),
    "?": () => page.help.showModal(),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function buildHelp(dialog) {
  const list = dialog.querySelector("dl");
  for (const [keys, does] of KEYS) {
    const names = make("dt");
    for (const key of keys.split(" ")) names.append(make("kbd", { textContent: key }));
    list.append(names, make("dd", { textContent: does }));
  }
}
