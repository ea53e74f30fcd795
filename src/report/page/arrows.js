// Transmissions as arrows.

/** An arrow's ends on the canvas; null if a host of it is not shown. A lost one ends half-way. */
function arrowEnds(lanes, i) {
  const { run, x } = lanes;
  const from = lanes.y.get(run.txFrom[i]), to = lanes.y.get(run.txTo[i]);
  if (from === undefined || to === undefined) return null;
  const down = to === from ? 0 : Math.sign(to - from);
  const y0 = from + down * (lanes.bandOf(run.txFrom[i]) / 2 + 1), yEnd = to - down * (lanes.bandOf(run.txTo[i]) / 2 + 1);
  const x0 = x(run.tx0[i]);
  if (run.txFate[i] === LOST) {
    const ends = Math.max(run.tx1[i], run.tx0[i] + run.usualLatency * 0.55);
    return { x0, y0, x1: x(ends), y1: y0 + (yEnd - y0) * 0.55 };
  }
  const t1 = Math.min(run.tx1[i], run.tx0[i] + Math.max(run.usualLatency, run.tx1[i] === NEVER ? run.end - run.tx0[i] : 0));
  return { x0, y0, x1: x(run.tx1[i] === NEVER ? t1 : run.tx1[i]), y1: yEnd };
}

/** Arrows while they can be told apart; else bars, and arrows for what went wrong as long as that is little. */
function drawTransmissions(lanes, pen) {
  const { levels } = lanes;
  const [t0, t1] = lanes.window;
  const most = arrowsMost(lanes);
  const plain = levels.plain.countIn(t0, t1), notable = levels.notable.countIn(t0, t1);
  lanes.usesDensity = plain + notable > most;
  lanes.tallest = null;
  lanes.arrows = [];
  if (lanes.usesDensity) drawDensity(lanes, pen);
  else lanes.arrows.push(...levels.plain.touching(t0, t1));
  if (notable <= (lanes.usesDensity ? NOTABLE_MOST : most)) lanes.arrows.push(...levels.notable.touching(t0, t1));
  lanes.arrows.sort((a, b) => a - b);
  drawArrows(lanes, pen);
}

/** How many arrows stand beside bars. */
const NOTABLE_MOST = 250;

/** How many arrows can be told apart on a diagram of this width. */
function arrowsMost(lanes) { return Math.max(250, (lanes.width - lanes.gutter) * 0.35); }

function drawArrows(lanes, pen) {
  const { run, state, arrows } = lanes;
  const hasLit = state.lit && state.lit.run === run.index && state.lit.causes.size + state.lit.effects.size > 0;
  const selectedTx = state.selected?.run === run.index ? run.txOf[state.selected.n] : -1;
  const labels = arrows.length < 90 && !lanes.usesDensity;
  const taken = [];
  const lit = [];
  const alpha = arrows.length > 400 ? 0.55 : 0.9;
  lanes.visited += arrows.length;
  for (const i of arrows) {
    const end = arrowEnds(lanes, i);
    if (!end || Math.max(end.y0, end.y1) < lanes.top || Math.min(end.y0, end.y1) > lanes.bottom) continue;
    const tx = run.tx[i];
    const isLit = i === selectedTx || (hasLit && (isIn(state.lit, tx.begin) || (tx.end >= 0 && isIn(state.lit, tx.end))));
    const matches = !state.search.isOn || state.search.has(run, tx.begin) || (tx.end >= 0 && state.search.has(run, tx.end));
    const isQuiet = QUIET.has(tx.packet.name);
    pen.globalAlpha = (!matches ? 0.08 : hasLit || selectedTx >= 0 ? (isLit ? 1 : 0.22) : alpha) * (isQuiet && !isLit ? 0.5 : 1);
    drawArrow(pen, end, run.txFate[i], isLit ? 2.4 : isQuiet ? 0.8 : 1.25, lanes.left, lanes.right);
    if (tx.attempt > 0) drawRetry(lanes, pen, tx, end);
    if (isLit) lit.push([i, end]);
    else if (labels && matches && !isQuiet && selectedTx < 0 && !hasLit) drawLabel(lanes, pen, tx, end, taken);
  }
  pen.globalAlpha = 1;
  pen.setLineDash([]);
  if (lit.length < 60) for (const [i, end] of lit) drawLabel(lanes, pen, run.tx[i], end, taken);
}

function isIn(lit, n) { return lit.causes.has(n) || lit.effects.has(n); }

/** An arrow between two points; of one that leaves what is shown, from `left` to `right`, only what is in sight is drawn. */
function drawArrow(pen, end, fate, width, left = 0, right = 1e4) {
  const { x1, y1 } = end;
  pen.strokeStyle = pen.fillStyle = PALETTE.fates[fate];
  pen.lineWidth = width;
  strokeInSight(pen, end, DASHES[fate], left, right);
  if (x1 < left - 9 || x1 > right + 9) return;
  if (fate === LOST) {
    pen.lineWidth = Math.max(width, 1.8);
    pen.beginPath();
    pen.moveTo(x1 - 3.5, y1 - 3.5); pen.lineTo(x1 + 3.5, y1 + 3.5);
    pen.moveTo(x1 + 3.5, y1 - 3.5); pen.lineTo(x1 - 3.5, y1 + 3.5);
    pen.stroke();
    return;
  }
  if (fate === UNDER_WAY) return;
  const angle = Math.atan2(y1 - end.y0, x1 - end.x0);
  const size = 6;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x1 - size * Math.cos(angle - 0.42), y1 - size * Math.sin(angle - 0.42));
  pen.lineTo(x1 - size * Math.cos(angle + 0.42), y1 - size * Math.sin(angle + 0.42));
  pen.fill();
}

/** Dashes cost by their number: a line that goes on for a million pixels must not have them all. */
function strokeInSight(pen, { x0, y0, x1, y1 }, dash, left, right) {
  const at = (x) => (x1 === x0 ? 0 : Math.min(Math.max((x - x0) / (x1 - x0), 0), 1));
  const [from, to] = [at(left - 9), at(right + 9)];
  const [fromX, fromY, toX, toY] = [x0 + (x1 - x0) * from, y0 + (y1 - y0) * from, x0 + (x1 - x0) * (x1 === x0 ? 1 : to), y0 + (y1 - y0) * (x1 === x0 ? 1 : to)];
  pen.setLineDash(dash);
  pen.lineDashOffset = dash.length ? (Math.hypot(x1 - x0, y1 - y0) * from) % (2 * dash.reduce((sum, part) => sum + part, 0)) : 0;
  pen.beginPath();
  pen.moveTo(fromX, fromY);
  pen.lineTo(toX, toY);
  pen.stroke();
  pen.setLineDash([]);
  pen.lineDashOffset = 0;
}

/** A line along the lane from the try before: this is the same segment, sent again. */
function drawRetry(lanes, pen, tx, end) {
  if (tx.before < 0) return;
  const x = lanes.x(lanes.run.tx0[tx.before]), y = end.y0 + 6 * Math.sign(end.y1 - end.y0);
  pen.strokeStyle = PALETTE.late;
  pen.lineWidth = 1;
  strokeInSight(pen, { x0: x, y0: y, x1: end.x0, y1: y }, [1, 3], lanes.left, lanes.right);
  pen.beginPath();
  pen.moveTo(end.x0, end.y0); pen.lineTo(end.x0, y);
  if (x > lanes.left) { pen.moveTo(x, end.y0); pen.lineTo(x, y); }
  pen.stroke();
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
  for (const [host, lane] of lanes.y) if (Math.abs(lane - y) < lanes.bandOf(host) / 2 + 7) return true;
  return false;
}
