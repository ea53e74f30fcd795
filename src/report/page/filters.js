// Filters: by host, by message, by fate, and by any word.

function buildFilters(root, state) {
  const hosts = [...new Set(state.runs.flatMap((run) => run.hosts.map((host) => host.name)))];
  const names = [...new Set(state.runs.flatMap((run) => run.names))].sort();
  const counts = countNames(state);
  const fates = FATES.map((_, fate) => fate).filter((fate) => state.runs.some((run) => run.txFate.includes(fate)));
  root.append(menu("Hosts", hosts.map((host) => ({ key: host, text: host, count: null })), "hosts", state));
  if (names.length) root.append(menu("Messages", names.map((name) => ({ key: name, text: name, count: counts.get(name) ?? 0 })), "names", state));
  const legend = make("div", { className: "fates", role: "group", "aria-label": "Show by fate" });
  for (const fate of fates) legend.append(fateChip(fate, state));
  root.append(legend);
}

/** How many packets there are of each name, without copies and what was sent again. */
function countNames(state) {
  const counts = new Map();
  for (const run of state.runs) {
    for (const { attempt, packet } of run.tx) if (attempt === 0 && !packet.isCopy) counts.set(packet.name, (counts.get(packet.name) ?? 0) + 1);
  }
  return counts;
}

function fateChip(fate, state) {
  const count = state.runs.reduce((sum, run) => sum + run.txFate.reduce((n, at) => n + (at === fate), 0), 0);
  const chip = make("button", { type: "button", className: "chip", "aria-pressed": "true", title: `Show or hide what was ${FATES[fate]}` });
  chip.dataset.fate = FATES[fate];
  const swatch = make("canvas", { className: "swatch", width: 56, height: 20, "aria-hidden": "true" });
  chip.append(swatch, make("span", { textContent: FATES[fate] }), make("span", { className: "chip-count", textContent: number(count) }));
  chip.addEventListener("click", () => state.toggle("fates", fate));
  const draw = () => {
    const pen = swatch.getContext("2d");
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, 28, 10);
    drawArrow(pen, { x0: 1, y0: 5, x1: fate === LOST ? 22 : 27, y1: 5 }, fate, 1.6);
    chip.setAttribute("aria-pressed", String(!state.hidden.fates.has(fate)));
  };
  state.listen((what) => { if (what === "filters" || what === "theme") draw(); });
  draw();
  return chip;
}

/** A menu of things to show or hide. */
function menu(title, entries, kind, state) {
  const box = make("details", { className: "menu" });
  const summary = make("summary", {}, make("span", { textContent: title }), make("span", { className: "menu-count" }));
  const list = make("div", { className: "menu-list", role: "group", "aria-label": title });
  const all = make("div", { className: "menu-all" });
  for (const [text, isHidden] of [["all", false], ["none", true]]) {
    const button = make("button", { type: "button", className: "link", textContent: text });
    button.addEventListener("click", () => {
      state.hidden[kind] = new Set(isHidden ? entries.map((entry) => entry.key) : []);
      state.filtersChanged();
    });
    all.append(button);
  }
  list.append(all);
  const boxes = entries.map(({ key, text, count }) => {
    const input = make("input", { type: "checkbox", checked: true });
    input.dataset.key = key;
    input.addEventListener("change", () => state.toggle(kind, key));
    list.append(make("label", {}, input, make("span", { textContent: text }), make("span", { className: "menu-number", textContent: count === null ? "" : number(count) })));
    return [key, input];
  });
  state.listen((what) => {
    if (what !== "filters") return;
    const hidden = state.hidden[kind];
    for (const [key, input] of boxes) input.checked = !hidden.has(key);
    summary.lastChild.textContent = hidden.size ? `${entries.length - hidden.size} of ${entries.length}` : "";
  });
  document.addEventListener("click", (event) => { if (!box.contains(event.target)) box.open = false; });
  box.append(summary, list);
  return box;
}
