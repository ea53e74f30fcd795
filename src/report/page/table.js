// The records as a table. Only the rows in sight are in the document.

const ROW = 25;

class Table {
  constructor(root, state) {
    this.state = state;
    this.body = root.querySelector(".rows");
    this.scroller = root.querySelector(".scroller");
    this.spacer = root.querySelector(".spacer");
    this.count = root.querySelector(".table-count");
    this.run = state.runs[0];
    this.version = -1;
    this.scroller.addEventListener("scroll", () => this.draw());
    this.scroller.addEventListener("click", (event) => {
      const row = event.target.closest("[data-n]");
      if (row) go(this.run.index, Number(row.dataset.n));
    });
  }

  show(runIndex) {
    if (this.run.index === runIndex) return;
    this.run = this.state.runs[runIndex];
    this.version = -1;
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

  /** The records that the filters let through. */
  filter() {
    if (this.version === this.state.filterVersion) return;
    this.version = this.state.filterVersion;
    const { run, state } = this;
    this.list = [];
    for (let n = 0; n < run.count; n++) if (state.showsRecord(run, n)) this.list.push(n);
    this.spacer.style.height = `${this.list.length * ROW}px`;
    this.count.textContent = state.isFiltered
      ? `${number(this.list.length)} of ${plural(run.count, "record")}`
      : plural(run.count, "record");
  }

  /** Where a record is in the list, or where it would be. */
  placeOf(n) {
    this.filter();
    return lowerBound(this.list, n);
  }

  reveal(n) {
    const place = this.placeOf(n);
    const top = place * ROW, height = this.scroller.clientHeight;
    if (top < this.scroller.scrollTop || top > this.scroller.scrollTop + height - ROW * 2) {
      this.scroller.scrollTop = Math.max(top - height / 2 + ROW, 0);
    }
    this.draw();
  }

  draw() {
    this.filter();
    this.buttons?.forEach((button, i) => button.setAttribute("aria-pressed", String(i === this.run.index)));
    if (!this.scroller.clientHeight) return;
    const first = Math.max(Math.floor(this.scroller.scrollTop / ROW) - 4, 0);
    const last = Math.min(first + Math.ceil(this.scroller.clientHeight / ROW) + 10, this.list.length);
    const rows = [];
    for (let i = first; i < last; i++) rows.push(this.row(this.list[i]));
    this.body.style.transform = `translateY(${first * ROW}px)`;
    this.body.replaceChildren(...rows);
  }

  row(n) {
    const { run, state } = this;
    const isHere = state.lit?.run === run.index;
    const mark = state.selected?.run === run.index && state.selected.n === n ? "selected"
      : isHere && state.lit.causes.has(n) ? "cause" : isHere && state.lit.effects.has(n) ? "effect" : "";
    const row = make("div", { className: `row ${mark} ${toneOfRecord(run, n)}`, role: "row" });
    row.dataset.n = n;
    row.setAttribute("aria-rowindex", n + 1);
    const cells = [number(n), (run.t[n] / 1000).toFixed(6), run.hostName(n) ?? "–", recordWords(run, n), run.cause[n] < 0 ? "" : `← ${number(run.cause[n])}`];
    cells.forEach((text, i) => row.append(make("span", { className: `cell c${i}`, textContent: text, role: "cell" })));
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
