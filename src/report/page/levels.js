// Levels of detail, made beforehand: what lets a frame cost what its pixels cost, however many records lie under them.
//
// A column of the diagram is a step of a grid of times, and the grid stands still in time: a column moves with what it
// counts, and nothing flickers when the window moves. How many transmissions or answers fall into it is the difference of
// two places in a list that is ordered by time: one list for each host and fate.

/** The columns of what a view shows, each at least `pixels` wide: of 1, 2 or 5 milliseconds, or of those times a power of ten. */
function gridOf(view, pixels) {
  const least = view.perPixel * pixels, power = 10 ** Math.floor(Math.log10(least));
  const step = power * [1, 2, 5, 10].find((times) => power * times >= least * 0.999999);
  const first = Math.floor(view.window[0] / step);
  return { step, first, count: Math.floor(view.window[1] / step) - first + 1, left: (column) => view.x((first + column) * step), width: step / view.perPixel };
}

/** Calls `each(column, count)` for every column of a grid in which something of an ordered list of times lies. */
function countColumns(times, grid, each) {
  const end = grid.first + grid.count;
  let at = lowerBound(times, grid.first * grid.step), visited = 0;
  while (at < times.length) {
    const column = Math.floor(times[at] / grid.step);
    if (column >= end) break;
    const next = Math.max(leap(times, at, (column + 1) * grid.step), at + 1);
    each(column - grid.first, next - at);
    at = next;
    visited++;
  }
  return visited;
}

/** Ordered lists of times, one for each of `lists`: `listOf` says which one an item belongs to, or -1. */
function timesBy(lists, count, listOf, timeOf) {
  const sizes = new Uint32Array(lists);
  for (let i = 0; i < count; i++) { const list = listOf(i); if (list >= 0) sizes[list]++; }
  const times = Array.from(sizes, (size) => new Float64Array(size));
  sizes.fill(0);
  for (let i = 0; i < count; i++) { const list = listOf(i); if (list >= 0) times[list][sizes[list]++] = timeOf(i); }
  return times;
}

/**
 * Things that last, for finding those that touch a window. They are sorted into classes by how long they last, each twice
 * the one before: so few are looked at that ended before the window began.
 */
class Intervals {
  constructor(items, t0, t1, unit) {
    const classes = [];
    for (const i of items) {
      const lasts = (t1[i] - t0[i]) / unit;
      const at = lasts <= 1 ? 0 : Math.ceil(Math.log2(lasts));
      (classes[at] ??= { reach: unit * 2 ** at, items: [], starts: [] }).items.push(i);
      classes[at].starts.push(t0[i]);
    }
    this.t1 = t1;
    this.classes = classes.filter(Boolean).map(({ reach, items, starts }) => ({ reach, items: Int32Array.from(items), starts: Float64Array.from(starts) }));
  }

  /** Where in each class those stand that may touch a window. */
  ranges(t0, t1) {
    return this.classes.map((of) => [of.items, lowerBound(of.starts, t0 - of.reach), upperBound(of.starts, t1)]);
  }

  /** How many may touch a window: never less than do. */
  countIn(t0, t1) { return this.ranges(t0, t1).reduce((sum, [, from, to]) => sum + to - from, 0); }

  *touching(t0, t1) {
    for (const [items, from, to] of this.ranges(t0, t1)) for (let i = from; i < to; i++) if (this.t1[items[i]] >= t0) yield items[i];
  }
}

/** Of one run, what the filters let through. */
class Levels {
  constructor(run, state) {
    const shown = state.maskOf(run);
    const plain = [], notable = [];
    for (let i = 0; i < shown.length; i++) if (shown[i]) (run.txFate[i] === DELIVERED ? plain : notable).push(i);
    this.plain = new Intervals(plain, run.tx0, run.drawnUntil, run.usualLatency);
    this.notable = new Intervals(notable, run.tx0, run.drawnUntil, run.usualLatency);
    const listOf = (i) => (shown[i] ? run.txFrom[i] * FATES.length + run.txFate[i] : -1);
    this.sent = timesBy(run.hosts.length * FATES.length, run.tx0.length, listOf, (i) => run.tx0[i]);
    this.requests = new RequestLevels(run, state);
  }

  /** The times at which a host sent what came to a fate. */
  sentBy(host, fate) { return this.sent[host * FATES.length + fate]; }
}

const LATENCY_ROWS = 20;

/** The workload: plain answers by how long they took, and those that were slow, failed, or are open. */
class RequestLevels {
  constructor(run, state) {
    const { spans } = run;
    const usual = typical(run);
    this.scale = latencyScale(run);
    const ended = spans.filter((span) => state.showsHost(run, span.host)).sort((a, b) => a.t1 - b.t1 || a.begin - b.begin);
    const isPlain = (span) => span.end >= 0 && span.failure === null && span.t1 - span.t0 <= usual * 4;
    this.plain = ended.filter(isPlain);
    this.plainAt = Float64Array.from(this.plain, (span) => span.t1);
    this.notable = ended.filter((span) => !isPlain(span));
    const until = this.notable.map((span) => Math.min(span.t1, run.end));
    this.notableIn = new Intervals(this.notable.map((_, i) => i).sort((a, b) => this.notable[a].t0 - this.notable[b].t0), this.notable.map((span) => span.t0), until, usual);
    this.notableAt = Float64Array.from(until);
    const rowOf = (span) => Math.min(Math.floor(this.scale((span.end < 0 ? run.end : span.t1) - span.t0) * LATENCY_ROWS), LATENCY_ROWS - 1);
    this.plainRows = timesBy(LATENCY_ROWS, this.plain.length, (i) => rowOf(this.plain[i]), (i) => this.plainAt[i]);
    const isFailed = (span) => span.end < 0 || span.failure !== null;
    this.slowRows = timesBy(LATENCY_ROWS, this.notable.length, (i) => (isFailed(this.notable[i]) ? -1 : rowOf(this.notable[i])), (i) => until[i]);
    this.failedRows = timesBy(LATENCY_ROWS, this.notable.length, (i) => (isFailed(this.notable[i]) ? rowOf(this.notable[i]) : -1), (i) => until[i]);
  }
}
