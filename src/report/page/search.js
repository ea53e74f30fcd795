// The search: which records say what is asked for. It goes through them in slices, so that the page stays at hand, and says
// how far it has come. What it looks through is a record's words as the page has them and as the terminal prints them.

const SLICE_MS = 16, PROGRESS_MS = 250;
const BETWEEN = "[^\\p{L}\\p{N}]+";

/**
 * What is asked for: every word must be found, in any order; what stands in quotation marks, and what is joined as
 * `became-leader` or `term=2`, is found only together. A number is found only whole. `#2650` is the record of that number.
 */
function parseQuery(text) {
  const only = text.match(/^(?:#|record\s+)([\d,]+)$/i);
  const asNumber = (only?.[1] ?? text).replace(/^(\d{1,3})(,\d{3})+$/, (digits) => digits.replaceAll(",", ""));
  const parts = [...text.matchAll(/"([^"]*)"?|(\S+)/g)].map((match) => match[1] ?? match[2]);
  const patterns = parts.map(patternOf).filter(Boolean);
  return {
    text, patterns, only: only ? Number(asNumber) : null, record: /^\d+$/.test(asNumber) ? Number(asNumber) : null,
    isEmpty: !only && !patterns.length, marked: patterns.length ? new RegExp(patterns.map((pattern) => pattern.source).join("|"), "giu") : null,
  };
}

function patternOf(part) {
  const words = part.replace(/(\d),(?=\d{3})/g, "$1").split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (!words.length) return null;
  const source = words.join(BETWEEN);
  return new RegExp(`${/^\p{N}/u.test(source) ? "(?<!\\p{N})" : ""}${source}${/\p{N}$/u.test(source) ? "(?!\\p{N})" : ""}`, "iu");
}

class Search {
  constructor(state) {
    this.state = state;
    this.query = parseQuery("");
    this.found = [];
    this.isDone = true;
    this.turn = 0;
  }

  get isOn() { return !this.query.isEmpty; }

  /** Begins anew; `told` is called now and then, and at the end. */
  start(text) {
    this.query = parseQuery(text);
    this.again();
  }

  again() {
    const turn = ++this.turn;
    const { runs } = this.state;
    this.found = runs.map((run) => ({ is: new Uint8Array(this.isOn ? run.count : 0), list: [], byHost: run.hosts.map(() => []) }));
    this.isDone = !this.isOn;
    const work = this.isOn ? this.look() : [].values();
    let told = performance.now();
    const slice = () => {
      if (turn !== this.turn) return;
      const until = performance.now() + SLICE_MS;
      while (!this.isDone && performance.now() < until) this.isDone = work.next().done;
      if (this.isDone || performance.now() - told > PROGRESS_MS) { told = performance.now(); this.state.tell("search"); }
      if (!this.isDone) setTimeout(slice);
    };
    slice();
  }

  /** Looks at every record; yields now and then. */
  *look() {
    for (const run of this.state.runs) {
      const { is, list, byHost } = this.found[run.index];
      for (let n = 0; n < run.count; n++) {
        if (n % 512 === 511) yield;
        if (!this.state.showsRecord(run, n) || !this.matches(run, n)) continue;
        is[n] = 1;
        list.push(n);
        if (run.host[n] >= 0) byHost[run.host[n]].push(n);
      }
    }
  }

  matches(run, n) {
    const { query } = this;
    if (query.only !== null || query.record === n) return n === (query.only ?? n);
    const words = wordsToSearch(run, n);
    return query.patterns.every((pattern) => pattern.test(words));
  }

  has(run, n) { return this.found[run.index]?.is[n] === 1; }
  listOf(run, host) { return this.found[run.index].byHost[host]; }
  countOf(run) { return this.found[run.index]?.list.length ?? 0; }

  /** Which of the found ones a record is, from 1; 0: none. */
  placeOf(run, n) { return this.has(run, n) ? lowerBound(this.found[run.index].list, n) + 1 : 0; }

  /** The next found one after a record, or before it; from the other end if there is none. */
  next(run, n, direction) {
    const { list } = this.found[run.index];
    if (!list.length) return undefined;
    const at = direction > 0 ? upperBound(list, n) : lowerBound(list, n) - 1;
    return list.at(at >= list.length ? 0 : at);
  }
}

/** All that can be found of a record: its host, its words, and what the terminal prints of it. */
function wordsToSearch(run, n) {
  const kind = run.kind(n), packet = run.field(n, "packet");
  const words = `${run.hostName(n) ?? ""} ${recordWords(run, n)} | ${kind}${packet === undefined ? "" : ` packet ${packet}`}`;
  if (kind === "event") {
    const fields = run.eventFields(n).map(([key, value]) => `${key}=${value}`).join(" ");
    const become = run.becomes.get(n);
    return `${words} | ${fields}${become ? ` | ${become}` : ""}`;
  }
  if (kind === "fault" || kind === "fault-ended") return `${words} | ${run.field(n, "action")}`;
  return kind === "lost" ? `${words} | ${run.field(n, "reason")}` : words;
}

/** A text with what was found in it marked. */
function markFound(query, text) {
  if (!query.marked) return [text];
  const pieces = [];
  let from = 0;
  for (const match of text.matchAll(query.marked)) {
    pieces.push(text.slice(from, match.index), make("mark", { textContent: match[0] }));
    from = match.index + match[0].length;
  }
  return [...pieces, text.slice(from)];
}

/** The field, how many it found, the ways to the next and the one before, and whether the list shows only those. */
function wireSearch(state) {
  const field = document.getElementById("search"), count = document.getElementById("found");
  const only = document.getElementById("found-only");
  let timer = 0;
  const start = () => {
    clearTimeout(timer);
    const text = field.value.trim();
    if (text !== state.search.query.text) state.search.start(text);
  };
  const step = (direction) => {
    start();
    const { run } = page.table, { search } = state;
    const { record } = search.query;
    const from = state.selected?.run === run.index ? state.selected.n : direction > 0 ? -1 : run.count;
    const isNew = record !== null && record < run.count && state.selected?.n !== record && search.wasStepped !== search.turn;
    search.wasStepped = search.turn;
    const n = isNew ? record : search.next(run, from, direction);
    if (n !== undefined) go(run.index, n);
    else if (!search.isDone) search.wanted = direction;
  };
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(start, 120); });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") step(event.shiftKey ? -1 : 1); });
  document.getElementById("found-next").addEventListener("click", () => step(1));
  document.getElementById("found-before").addEventListener("click", () => step(-1));
  only.addEventListener("click", () => { state.onlyFound = !state.onlyFound; state.tell("search"); });
  page.stepFound = step;
  state.listen((what) => {
    if (what === "filters" && state.search.isOn) state.search.again();
    if (!["search", "selection", "moment"].includes(what)) return;
    const { search } = state, { run } = page.table;
    document.body.classList.toggle("searching", search.isOn);
    only.setAttribute("aria-pressed", String(state.onlyFound));
    count.textContent = foundWords(state, run);
    count.classList.toggle("is-none", search.isOn && search.isDone && !search.countOf(run));
    if (what !== "search") return;
    if (search.wanted && search.countOf(run)) { const direction = search.wanted; search.wanted = 0; step(direction); }
    if (search.isDone && search.isOn) page.say(count.textContent);
  });
}

/** `3 of 17`; while it looks, how many there are so far. */
function foundWords(state, run) {
  const { search } = state;
  if (!search.isOn) return "";
  const all = search.countOf(run), so = search.isDone ? "" : " so far…";
  if (!all) {
    if (!search.isDone) return "searching…";
    const { only } = search.query;
    return only !== null && only >= run.count ? `no record ${number(only)}: the last is ${number(run.count - 1)}` : "no record says that";
  }
  const place = state.selected?.run === run.index ? search.placeOf(run, state.selected.n) : 0;
  return place ? `${number(place)} of ${number(all)}${so}` : `${number(all)} found${so}`;
}
