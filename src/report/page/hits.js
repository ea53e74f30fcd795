// What is drawn where: for the pointer.

const NEAR_MOST = 200;

/** What is drawn at a point of the canvas: record numbers, nearest first. */
function recordsAt(lanes, px, py) {
  const { run } = lanes;
  const found = [];
  if (px < lanes.gutter) return found;
  const t = lanes.x.invert(px);
  for (const fault of run.faults) {
    const isInBar = fault.isSpan && fault.row < lanes.bars && py >= AXIS + fault.row * BAR && py < AXIS + (fault.row + 1) * BAR - 2;
    if (isInBar && t >= fault.t0 && t <= fault.t1) found.push([0, fault.begin]);
    if (!fault.isSpan && py < AXIS + 2 && Math.abs(lanes.x(fault.t0) - px) < 6) found.push([0, fault.begin]);
  }
  if (run.violation && Math.abs(lanes.x(run.violation.at_ms) - px) < 5) found.push([0.5, run.violation.record]);
  if (lanes.plot) found.push(...requestsAt(lanes, px, py));
  if (py >= lanes.top && py <= lanes.bottom) found.push(...recordsOnLanes(lanes, px, py));
  found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return [...new Set(found.map(([, n]) => n))];
}

function recordsOnLanes(lanes, px, py) {
  const { run } = lanes;
  const found = [];
  for (const i of lanes.arrows) {
    const end = arrowEnds(lanes, i);
    const distance = end ? distanceTo(px, py, end) : 99;
    if (distance < 6) found.push([distance + 1, nearerEnd(run, run.tx[i], px, end)]);
  }
  const t = lanes.x.invert(px), reach = lanes.perPixel * 4;
  for (const host of lanes.hosts) {
    if (Math.abs(py - lanes.y.get(host)) > lanes.bandOf(host) / 2 + 6) continue;
    const list = run.marksOf[host], from = firstFrom(list, run.t, t - reach);
    for (let i = from; i < Math.min(list.length, from + NEAR_MOST) && run.t[list[i]] <= t + reach; i++) {
      found.push([Math.abs(lanes.x(run.t[list[i]]) - px) / 4, list[i]]);
    }
    const current = Run.at(run.stateOf[host], t);
    if (current) found.push([5, current.n]);
  }
  return found;
}

function nearerEnd(run, tx, px, { x0, x1 }) {
  return tx.end >= 0 && (tx.fate === LOST || Math.abs(px - x1) < Math.abs(px - x0)) ? tx.end : tx.begin;
}

function distanceTo(px, py, { x0, y0, x1, y1 }) {
  const dx = x1 - x0, dy = y1 - y0;
  const along = Math.max(0, Math.min(1, ((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(px - x0 - along * dx, py - y0 - along * dy);
}
