// The records as a table. Only the rows in sight are in the document.

const ROW = 25;
/** Browsers do not make an element higher than some 17 million pixels; what is higher is scrolled through faster. */
const HEIGHT_MOST = 12e6;

class Table {
  constructor(root, state) {
    this.state = state;
    this.body = root.querySelector(".rows");
    this.scroller = root.querySelector(".scroller");
    this.spacer = root.querySelector(".spacer");
    this.count = root.querySelector(".table-count");
    this.none = root.querySelector(".table-none");
    this.run = state.runs[0];
    this.version = "";
    this.scroller.addEventListener("scroll", () => this.draw());
    this.scroller.addEventListener("click", (event) => {
      const row = event.target.closest("[data-n]");
      if (row) go(this.run.index, Number(row.dataset.n));
    });
  }

  show(runIndex) {
    if (this.run.index === runIndex) return;
    this.run = this.state.runs[runIndex];
    this.version = "";
  }

  /** With two runs, a button for each. */
  offer(runs) {
    if (runs.length < 2) return;
    this.buttons = runs.map((run) => {
      const button = make("button", { type: "button", textContent: "AB"[run.index], title: run.sim });
      button.addEventListener("click", () => { this.show(run.index); this.draw(); });
      return button;
    });
    document.querySelector(".table-runs").append(...this.buttons);
  }

  /** The records that the filters let through; only the found ones, if that is asked for. Null: all of them. */
  filter() {
    const { run, state } = this;
    const isFound = state.onlyFound && state.search.isOn;
    const version = `${state.filterVersion} ${isFound ? `${state.search.turn} ${state.search.countOf(run)}` : ""}`;
    if (this.version === version) return;
    this.version = version;
    this.list = isFound ? state.search.found[run.index].list : state.isFiltered ? this.shown() : null;
    this.rows = this.list ? this.list.length : run.count;
    this.height = Math.min(this.rows * ROW, HEIGHT_MOST);
    this.spacer.style.height = `${this.height}px`;
    this.count.textContent = this.list ? `${number(this.rows)} of ${plural(run.count, "record")}` : plural(run.count, "record");
    this.none.textContent = this.rows ? "" : isFound ? foundWords(state, run) : "The filters hide every record.";
  }

  shown() {
    const { run, state } = this;
    const list = new Int32Array(run.count);
    let rows = 0;
    for (let n = 0; n < run.count; n++) if (state.showsRecord(run, n)) list[rows++] = n;
    return list.subarray(0, rows);
  }

  at(place) { return this.list ? this.list[place] : place; }

  /** Where a record is in the list, or where it would be. */
  placeOf(n) {
    this.filter();
    return this.list ? lowerBound(this.list, n) : n;
  }

  /** How many pixels of the list one pixel of the scroller is: 1 but for very long lists. */
  get pace() {
    const seen = this.scroller.clientHeight;
    return Math.max((this.rows * ROW - seen) / Math.max(this.height - seen, 1), 1);
  }

  reveal(n) {
    const top = this.placeOf(n) * ROW, height = this.scroller.clientHeight;
    const from = this.scroller.scrollTop * this.pace;
    if (top < from || top > from + height - ROW * 2) this.scroller.scrollTop = Math.max(top - height / 2 + ROW, 0) / this.pace;
    this.draw();
  }

  draw() {
    this.filter();
    this.buttons?.forEach((button, i) => button.setAttribute("aria-pressed", String(i === this.run.index)));
    const { scrollTop, clientHeight } = this.scroller;
    if (!clientHeight) return;
    const from = scrollTop * this.pace;
    const first = Math.max(Math.floor(from / ROW) - 4, 0);
    const last = Math.min(first + Math.ceil(clientHeight / ROW) + 10, this.rows);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.row(this.at(i)));
    this.body.style.transform = `translateY(${scrollTop + first * ROW - from}px)`;
    this.body.replaceChildren(...rows);
  }

  row(n) {
    const { run, state } = this;
    const isHere = state.lit?.run === run.index;
    const mark = state.selected?.run === run.index && state.selected.n === n ? "selected"
      : isHere && state.lit.causes.has(n) ? "cause" : isHere && state.lit.effects.has(n) ? "effect" : "";
    const { search } = state;
    const row = make("div", { className: `row ${mark} ${toneOfRecord(run, n)}${search.has(run, n) ? " is-found" : ""}`, role: "row" });
    row.dataset.n = n;
    row.setAttribute("aria-rowindex", n + 1);
    const cells = [number(n), seconds(run.t[n], 6), run.hostName(n) ?? "–", recordWords(run, n), run.cause[n] < 0 ? "" : `← ${number(run.cause[n])}`];
    cells.forEach((text, i) => row.append(make("span", { className: `cell c${i}`, role: "cell" }, ...(i === 2 || i === 3 ? markFound(search.query, text) : [text]))));
    row.querySelector(".c0").classList.toggle("is-asked", search.query.record === n || search.query.only === n);
    if (mark === "selected") row.setAttribute("aria-selected", "true");
    return row;
  }
}

function toneOfRecord(run, n) {
  const kind = run.kind(n);
  if (kind === "violated" || kind === "panicked" || kind === "failed") return "is-bad";
  if (kind === "lost" || kind === "given-up") return "is-lost";
  if (kind === "fault" || kind === "fault-ended" || kind in LIVES) return "is-fault";
  return kind === "event" ? "is-event" : "";
}

/** An element with properties, attributes where they are none, and children. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "role") element[key] = value; else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
