// Transmissions as arrows while they can be told apart, and as densities on the lanes where they cannot.

/** An arrow's ends on the canvas; null if a host of it is not shown. A lost one ends half-way. */
function arrowEnds(lanes, i) {
  const { run, x } = lanes;
  const from = lanes.y.get(run.txFrom[i]), to = lanes.y.get(run.txTo[i]);
  if (from === undefined || to === undefined) return null;
  const down = to === from ? 0 : Math.sign(to - from);
  const edge = lanes.band / 2 + 1;
  const y0 = from + down * edge, yEnd = to - down * edge;
  const x0 = x(run.tx0[i]);
  if (run.txFate[i] === LOST) {
    const ends = Math.max(run.tx1[i], run.tx0[i] + run.usualLatency * 0.55);
    return { x0, y0, x1: x(ends), y1: y0 + (yEnd - y0) * 0.55 };
  }
  const t1 = Math.min(run.tx1[i], run.tx0[i] + Math.max(run.usualLatency, run.tx1[i] === NEVER ? run.end - run.tx0[i] : 0));
  return { x0, y0, x1: x(run.tx1[i] === NEVER ? t1 : run.tx1[i]), y1: yEnd };
}

function drawArrows(lanes, pen, from, to, shown) {
  const { run, state } = lanes;
  const [w0] = state.window;
  const hasLit = state.lit && state.lit.run === run.index && state.lit.causes.size + state.lit.effects.size > 0;
  const selectedTx = state.selected?.run === run.index ? run.txOf[state.selected.n] : -1;
  const labels = shown < 90 && lanes.lane > 46;
  const taken = [];
  const lit = [];
  const alpha = shown > 400 ? 0.55 : 0.9;
  for (let i = from; i < to; i++) {
    if (run.tx1[i] < w0 || !state.showsTransmission(run, i)) continue;
    const end = arrowEnds(lanes, i);
    if (!end) continue;
    const tx = run.tx[i];
    const isLit = i === selectedTx || (hasLit && (isIn(state.lit, tx.begin) || (tx.end >= 0 && isIn(state.lit, tx.end))));
    const matches = !state.search || state.matches(run, tx.begin) || (tx.end >= 0 && state.matches(run, tx.end));
    pen.globalAlpha = !matches ? 0.08 : hasLit || selectedTx >= 0 ? (isLit ? 1 : 0.22) : alpha;
    drawArrow(pen, end, run.txFate[i], isLit ? 2.4 : 1.25);
    if (tx.attempt > 0) drawRetry(lanes, pen, tx, end);
    if (isLit) lit.push([i, end]);
    else if (labels && matches && selectedTx < 0 && !hasLit) drawLabel(lanes, pen, tx, end, taken);
  }
  pen.globalAlpha = 1;
  pen.setLineDash([]);
  if (lit.length < 60) for (const [i, end] of lit) drawLabel(lanes, pen, run.tx[i], end, taken);
}

function isIn(lit, n) { return lit.causes.has(n) || lit.effects.has(n); }

function drawArrow(pen, { x0, y0, x1, y1 }, fate, width) {
  pen.strokeStyle = pen.fillStyle = PALETTE.fates[fate];
  pen.lineWidth = width;
  pen.setLineDash(DASHES[fate]);
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
  pen.setLineDash([]);
  if (fate === LOST) {
    pen.lineWidth = Math.max(width, 1.8);
    pen.beginPath();
    pen.moveTo(x1 - 3.5, y1 - 3.5); pen.lineTo(x1 + 3.5, y1 + 3.5);
    pen.moveTo(x1 + 3.5, y1 - 3.5); pen.lineTo(x1 - 3.5, y1 + 3.5);
    pen.stroke();
    return;
  }
  if (fate === UNDER_WAY) return;
  const angle = Math.atan2(y1 - y0, x1 - x0);
  const size = 6;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x1 - size * Math.cos(angle - 0.42), y1 - size * Math.sin(angle - 0.42));
  pen.lineTo(x1 - size * Math.cos(angle + 0.42), y1 - size * Math.sin(angle + 0.42));
  pen.fill();
}

/** A line along the lane from the try before: this is the same segment, sent again. */
function drawRetry(lanes, pen, tx, end) {
  if (tx.before < 0) return;
  const x = lanes.x(lanes.run.tx0[tx.before]);
  pen.strokeStyle = PALETTE.late;
  pen.lineWidth = 1;
  pen.setLineDash([1, 3]);
  pen.beginPath();
  pen.moveTo(x, end.y0);
  pen.bezierCurveTo(x, end.y0 + 9 * Math.sign(end.y1 - end.y0), end.x0, end.y0 + 9 * Math.sign(end.y1 - end.y0), end.x0, end.y0);
  pen.stroke();
  pen.setLineDash([]);
}

/** The message's name beside its arrow, where it covers no other and no band. */
function drawLabel(lanes, pen, tx, { x0, y0, x1, y1 }, taken) {
  const words = tx.attempt ? `${tx.packet.name} · try ${tx.attempt + 1}` : tx.packet.name;
  pen.font = FONT;
  const width = pen.measureText(words).width;
  const free = [0.3, 0.5, 0.7, 0.15].map((along) => [x0 + (x1 - x0) * along + 6, y0 + (y1 - y0) * along])
    .find(([x, y]) => !onBand(lanes, y) && !taken.some((box) => x < box[0] + box[2] && box[0] < x + width && Math.abs(y - box[1]) < 14));
  if (!free) return;
  const [x, y] = free;
  taken.push([x, y, width]);
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.lineWidth = 3;
  pen.strokeStyle = PALETTE.paper;
  pen.strokeText(words, x, y);
  pen.fillStyle = PALETTE.ink;
  pen.fillText(words, x, y);
}

function onBand(lanes, y) {
  for (const lane of lanes.y.values()) if (Math.abs(lane - y) < lanes.band / 2 + 7) return true;
  return false;
}

const BUCKET = 3;

/** How many transmissions each lane sent, in columns a few pixels wide: lost ones up from the band, all others down. */
function drawDensity(lanes, pen, from, to) {
  const { run, state } = lanes;
  const columns = Math.ceil((lanes.width - lanes.gutter) / BUCKET) + 1;
  const counts = lanes.hosts.map(() => FATES.map(() => new Uint32Array(columns)));
  const place = new Map(lanes.hosts.map((host, i) => [host, i]));
  const [w0, w1] = state.window;
  const scale = (lanes.width - RIGHT - lanes.gutter) / (w1 - w0) / BUCKET;
  for (let i = from; i < to; i++) {
    if (run.tx0[i] < w0 || !state.showsTransmission(run, i)) continue;
    counts[place.get(run.txFrom[i])][run.txFate[i]][((run.tx0[i] - w0) * scale) | 0]++;
  }
  let most = 1;
  for (const lane of counts) for (let c = 0; c < columns; c++) most = Math.max(most, lane.reduce((sum, fate) => sum + fate[c], 0), 2 * lane[LOST][c]);
  const room = Math.max(lanes.lane / 2 - lanes.band / 2 - 8, 4);
  counts.forEach((lane, at) => {
    const y = lanes.y.get(lanes.hosts[at]);
    for (let c = 0; c < columns; c++) {
      const x = lanes.gutter + c * BUCKET;
      let down = y + lanes.band / 2 + 2;
      lane.forEach((fate, kind) => {
        if (!fate[c]) return;
        const height = Math.max(1, (fate[c] / most) * room);
        pen.fillStyle = PALETTE.fates[kind];
        pen.globalAlpha = kind === DELIVERED ? 0.55 : 0.95;
        if (kind === LOST) pen.fillRect(x, y - lanes.band / 2 - 5 - height, BUCKET - 1, height);
        else { pen.fillRect(x, down, BUCKET - 1, height); down += height; }
      });
    }
  });
  pen.globalAlpha = 1;
}

/** What is drawn at a point of the canvas: record numbers, nearest first. */
function recordsAt(lanes, px, py) {
  const { run, state } = lanes;
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
  if (!lanes.usesDensity) {
    const [from, to] = lanes.visible();
    for (let i = from; i < to; i++) {
      if (!state.showsTransmission(run, i)) continue;
      const end = arrowEnds(lanes, i);
      const distance = end ? distanceTo(px, py, end) : 99;
      if (distance < 6) found.push([distance + 1, nearerEnd(run, run.tx[i], px, end)]);
    }
  }
  for (const host of lanes.hosts) {
    const y = lanes.y.get(host);
    if (Math.abs(py - y) > lanes.band / 2 + 6) continue;
    const list = run.recordsOf[host];
    const reach = lanes.perPixel * 4;
    for (let i = firstFrom(list, run.t, t - reach); i < list.length && run.t[list[i]] <= t + reach; i++) {
      if (isSystemic(run, list[i])) found.push([Math.abs(lanes.x(run.t[list[i]]) - px) / 4, list[i]]);
    }
    const current = Run.at(run.stateOf[host], t);
    if (current) found.push([5, current.n]);
  }
  found.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return [...new Set(found.map(([, n]) => n))];
}

function nearerEnd(run, tx, px, { x0, x1 }) {
  return tx.end >= 0 && (tx.fate === LOST || Math.abs(px - x1) < Math.abs(px - x0)) ? tx.end : tx.begin;
}

function distanceTo(px, py, { x0, y0, x1, y1 }) {
  const dx = x1 - x0, dy = y1 - y0;
  const along = Math.max(0, Math.min(1, ((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(px - x0 - along * dx, py - y0 - along * dy);
}
