// What the reader has chosen: the window of time, the moment, the record, the filters, the search. Everything that shows
// something listens here and draws again.

class State {
  constructor(runs) {
    this.runs = runs;
    this.end = Math.max(...runs.map((run) => run.end));
    this.window = [0, this.end];
    this.moment = 0;
    this.selected = null;
    this.lit = null;
    this.hidden = { hosts: new Set(), names: new Set(), fates: new Set() };
    this.listeners = [];
    this.filterVersion = 0;
    this.masks = [];
    this.levels = [];
    this.onlyFound = false;
    this.search = new Search(this);
  }

  /** The moment that the labels and the hosts describe: the cursor, or the edge of the window that is nearer to it. */
  get shownMoment() { return Math.min(Math.max(this.moment, this.window[0]), this.window[1]); }

  listen(listener) { this.listeners.push(listener); }
  tell(what) { for (const listener of this.listeners) listener(what); }

  /** Shows this span of time, at most the whole run and at least a microsecond. */
  setWindow(t0, t1) {
    const span = Math.min(Math.max(t1 - t0, 1e-3), this.end);
    const start = Math.min(Math.max(t0, 0), this.end - span);
    this.window = [start, start + span];
    this.tell("window");
  }

  zoomBy(factor, around = this.moment) {
    const [t0, t1] = this.window;
    const centre = around >= t0 && around <= t1 ? around : (t0 + t1) / 2;
    this.setWindow(centre - (centre - t0) / factor, centre + (t1 - centre) / factor);
  }

  setMoment(t, { follow = false } = {}) {
    this.moment = Math.min(Math.max(t, 0), this.end);
    const [t0, t1] = this.window;
    if (follow && (this.moment < t0 || this.moment > t1)) {
      this.setWindow(this.moment - (t1 - t0) / 2, this.moment + (t1 - t0) / 2);
    }
    this.tell("moment");
  }

  /** Chooses a record, lights its causes and effects, and brings it into view. */
  select(runIndex, n, { zoom = false } = {}) {
    const run = this.runs[runIndex];
    if (!run || n < 0 || n >= run.count) return;
    this.selected = { run: runIndex, n };
    const path = run.causesOf(n);
    this.lit = { run: runIndex, path, causes: new Set(path), effects: new Set(run.consequencesOf(n, 400)) };
    this.moment = run.t[n];
    const [t0, t1] = this.window;
    const span = zoom ? Math.min(t1 - t0, Math.max(run.usualLatency * 40, 1)) : t1 - t0;
    const margin = (t1 - t0) * 0.02;
    if (span < t1 - t0 || this.moment < t0 + margin || this.moment > t1 - margin) {
      this.setWindow(this.moment - span / 2, this.moment + span / 2);
    }
    this.tell("selection");
  }

  clear() {
    this.selected = null;
    this.lit = null;
    this.tell("selection");
  }

  toggle(kind, key) {
    const set = this.hidden[kind];
    if (!set.delete(key)) set.add(key);
    this.filtersChanged();
  }

  filtersChanged() {
    this.filterVersion++;
    this.tell("filters");
  }

  get isFiltered() { return Object.values(this.hidden).some((set) => set.size > 0); }

  showsHost(run, host) { return host < 0 || !this.hidden.hosts.has(run.hosts[host].name); }

  /** Of each transmission of a run, whether the filters let it through. */
  maskOf(run) { return this.kept(this.masks, run, () => this.mask(run)); }

  /** What is made beforehand for drawing what the filters let through. */
  levelsOf(run) { return this.kept(this.levels, run, () => new Levels(run, this)); }

  kept(list, run, made) {
    if (list[run.index]?.version !== this.filterVersion) list[run.index] = { version: this.filterVersion, value: made() };
    return list[run.index].value;
  }

  mask(run) {
    const hosts = run.hosts.map((_, host) => this.showsHost(run, host));
    const names = run.names.map((name) => !this.hidden.names.has(name));
    const fates = FATES.map((_, fate) => !this.hidden.fates.has(fate));
    const mask = new Uint8Array(run.tx0.length);
    for (let i = 0; i < mask.length; i++) mask[i] = fates[run.txFate[i]] && names[run.txName[i]] && hosts[run.txFrom[i]] && hosts[run.txTo[i]] ? 1 : 0;
    return mask;
  }

  /** Whether the filters let a record through. */
  showsRecord(run, n) {
    const tx = run.txOf[n];
    return this.showsHost(run, run.host[n]) && (tx < 0 || this.maskOf(run)[tx] === 1);
  }
}
