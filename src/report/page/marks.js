// What stands on the lanes beside transmissions: faults, events, matches of the search, the violation, the selection.

/** The bars of the faults that last, above the lanes, and a flag on the axis for a step that is over at once. */
function drawFaultBars(lanes, pen) {
  const { run, x } = lanes;
  const [t0, t1] = lanes.window;
  const grid = gridOf(lanes, 2);
  const drawn = new Set();
  for (const fault of run.faults) {
    if (fault.t1 < t0 || fault.t0 > t1 || isDrawnTwice(drawn, grid, fault, fault.row ?? "flag")) continue;
    if (!fault.isSpan) { drawFlag(pen, x(fault.t0)); continue; }
    if (fault.row >= lanes.bars) continue;
    const left = Math.max(x(fault.t0), lanes.gutter - 4), right = Math.min(x(Math.min(fault.t1, run.end)), lanes.width);
    const top = AXIS + fault.row * BAR, width = Math.max(right - left, 2);
    pen.fillStyle = PALETTE.fault;
    pen.fillRect(left, top, width, BAR - 4);
    if (width > 40) clippedText(pen, faultName(fault), left + 6, top + (BAR - 4) / 2, width - 10, PALETTE["fault-ink"]);
    else if (width < 12) { pen.fillStyle = PALETTE["fault-ink"]; pen.fillRect(left, top, 2, BAR - 4); }
  }
}

/** Whether something that is narrower than a column has been drawn in its column, in the same row. */
function isDrawnTwice(drawn, grid, fault, row) {
  if (fault.isSpan && fault.t1 - fault.t0 > grid.step) return false;
  const key = `${row} ${Math.floor(fault.t0 / grid.step)}`;
  return drawn.has(key) || !drawn.add(key);
}

function drawFlag(pen, x) {
  pen.fillStyle = PALETTE["fault-ink"];
  pen.beginPath();
  pen.moveTo(x, AXIS);
  pen.lineTo(x + 5, AXIS - 7);
  pen.lineTo(x - 5, AXIS - 7);
  pen.fill();
}

/** The lanes that a partition keeps apart: hatched where there is room for lines, else tinted. */
function drawSides(lanes, pen) {
  const { run, x } = lanes;
  const [t0, t1] = lanes.window;
  const grid = gridOf(lanes, 2);
  const drawn = new Set();
  for (const fault of run.faults) {
    if (!fault.groups.length || fault.t1 < t0 || fault.t0 > t1 || isDrawnTwice(drawn, grid, fault, fault.action)) continue;
    const left = Math.max(x(fault.t0), lanes.gutter - 4), right = Math.min(x(Math.min(fault.t1, run.end)), lanes.width);
    const width = Math.max(right - left, 2);
    fault.groups.forEach((group, side) => {
      const tint = PALETTE[side % 2 ? "side-b" : "side-a"];
      for (const host of lanes.hosts) {
        if (!lanes.isInSight(host) || !group.some((pattern) => matchesHost(pattern, run.hosts[host].name))) continue;
        pen.globalAlpha = width < HATCH_LEAST ? 0.4 : 1;
        pen.fillStyle = width < HATCH_LEAST ? tint : hatch(pen, tint, side % 2 ? -1 : 1);
        pen.fillRect(left, lanes.y.get(host) - lanes.lane / 2, width, lanes.lane);
      }
    });
  }
  pen.globalAlpha = 1;
}

const MARKS_MOST = 3000;

/** The system's own events, as ticks on their lane. */
function drawMarks(lanes, pen) {
  const { run, state } = lanes;
  const [t0, t1] = lanes.window;
  const ranges = lanes.hosts.map((host) => [host, firstFrom(run.marksOf[host], run.t, t0), firstFrom(run.marksOf[host], run.t, t1)]);
  if (ranges.reduce((sum, [, from, to]) => sum + to - from, 0) > MARKS_MOST) return;
  pen.fillStyle = PALETTE.ink;
  for (const [host, from, to] of ranges) {
    const y = lanes.y.get(host) - lanes.bandOf(host) / 2;
    let last = -9;
    for (let i = from; i < to; i++) {
      const n = run.marksOf[host][i], x = lanes.x(run.t[n]);
      if (x - last < 2) continue;
      last = x;
      pen.globalAlpha = state.search.isOn && !state.search.has(run, n) ? 0.12 : 0.65;
      pen.fillRect(x - 0.75, y - 4, 1.5, 4);
    }
    lanes.visited += to - from;
  }
  pen.globalAlpha = 1;
}

/** What the search found, as a line over the band of its host, at most one a column. */
function drawMatches(lanes, pen) {
  const { run, state } = lanes;
  if (!state.search.isOn) return;
  const grid = gridOf(lanes, 2), end = (grid.first + grid.count) * grid.step;
  pen.fillStyle = PALETTE.found;
  for (const host of lanes.hosts) {
    if (!lanes.isInSight(host)) continue;
    const list = state.search.listOf(run, host), y = lanes.y.get(host), half = lanes.bandOf(host) / 2 + 5;
    let at = firstFrom(list, run.t, grid.first * grid.step);
    while (at < list.length && run.t[list[at]] < end) {
      const column = Math.floor(run.t[list[at]] / grid.step);
      pen.fillRect(lanes.x(run.t[list[at]]) - 1, y - half, 2, half * 2);
      at = Math.max(firstFrom(list, run.t, (column + 1) * grid.step), at + 1);
      lanes.visited++;
    }
  }
}

function drawViolation(lanes, pen) {
  const { run } = lanes;
  if (!run.violation) return;
  const x = lanes.x(run.violation.at_ms);
  pen.fillStyle = PALETTE.bad;
  pen.fillRect(x - 1, AXIS - 6, 2, lanes.bottom - AXIS + 6);
  const y = AXIS - 6;
  const words = `✕ ${run.violation.invariant}`;
  pen.font = FONT_STRONG;
  const width = pen.measureText(words).width + 14;
  const left = Math.min(x, lanes.width - width - 4);
  pen.fillRect(left, y - 14, width, 18);
  pen.fillStyle = PALETTE.paper;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(words, left + 7, y - 5);
  for (const fact of run.violation.facts) {
    const host = run.host[fact.record];
    if (!lanes.y.has(host) || !lanes.isInSight(host)) continue;
    pen.strokeStyle = PALETTE.bad;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(lanes.x(run.t[fact.record]), lanes.y.get(host), lanes.bandOf(host) / 2 + 4, 0, 7);
    pen.stroke();
  }
}

const RINGS_MOST = 500;

/** Rings around the chosen record, its causes and its effects. */
function drawSelection(lanes, pen) {
  const { run, state } = lanes;
  const { lit, selected } = state;
  if (!selected || selected.run !== run.index) return;
  const [t0, t1] = lanes.window;
  const taken = new Set();
  for (const n of lit.effects) ring(lanes, pen, n, PALETTE.effect, 3, taken);
  const from = placeWhere(lit.path.length, (at) => run.t[lit.path[at]] <= t1), to = placeWhere(lit.path.length, (at) => run.t[lit.path[at]] < t0);
  const step = Math.max(Math.ceil((to - from) / RINGS_MOST), 1);
  for (let at = from; at < to; at += step) ring(lanes, pen, lit.path[at], PALETTE.cause, 4, taken);
  ring(lanes, pen, selected.n, PALETTE.accent, 6.5);
  if (lanes.hover !== null && lanes.hover !== selected.n) ring(lanes, pen, lanes.hover, PALETTE.ink, 5);
}

/** One ring; where `taken` already has one of its colour within some pixels there is no second. */
function ring(lanes, pen, n, colour, radius, taken = new Set()) {
  const place = placeOfRecord(lanes, n);
  if (!place || (lanes.run.host[n] >= 0 && (place[1] < lanes.top || place[1] > lanes.bottom))) return;
  const key = `${colour} ${Math.round(place[0] / 7)} ${Math.round(place[1] / 7)}`;
  if (taken.has(key)) return;
  taken.add(key);
  lanes.visited++;
  pen.strokeStyle = colour;
  pen.fillStyle = PALETTE.paper;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(place[0], place[1], radius, 0, 7);
  pen.fill();
  pen.stroke();
}

/** Where a record is drawn. */
function placeOfRecord(lanes, n) {
  const { run } = lanes;
  const x = lanes.x(run.t[n]);
  const host = run.host[n];
  if (lanes.y.has(host)) return [x, lanes.y.get(host)];
  const tx = run.txOf[n];
  if (tx >= 0) {
    const end = arrowEnds(lanes, tx);
    return end && [end.x1, end.y1];
  }
  const fault = run.faults.find((fault) => fault.begin === n || fault.end === n);
  return fault ? [x, fault.isSpan ? AXIS + Math.min(fault.row, lanes.bars - 1) * BAR + 7 : AXIS - 4] : null;
}
