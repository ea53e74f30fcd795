// The workload beside the lanes: a dot for each request that was answered, at its end and as high as it took; a cross for
// each that failed; a line for each that is still open. Where they are too many, cells: the more of them, the darker.

const DOTS_MOST = 1500, CELL = 4;

function drawLatency(lanes, pen) {
  const { requests } = lanes.levels;
  const top = lanes.height - lanes.plot + 8, bottom = lanes.height - 10;
  lanes.latency = (took) => bottom - requests.scale(took) * (bottom - top);
  pen.fillStyle = PALETTE.paper;
  pen.fillRect(lanes.gutter, top - 8, lanes.width, lanes.plot);
  pen.lineWidth = 1;
  const line = (y, colour) => { pen.strokeStyle = colour; pen.beginPath(); pen.moveTo(lanes.gutter, y); pen.lineTo(lanes.width, y); pen.stroke(); };
  line(top - 7.5, PALETTE.line);
  for (const tick of latencyTicks(lanes)) line(Math.round(lanes.latency(tick)) + 0.5, PALETTE.grid);
  const [t0, t1] = lanes.window;
  const from = lowerBound(requests.plainAt, t0), to = upperBound(requests.plainAt, t1);
  pen.fillStyle = PALETTE.delivered;
  if (to - from > DOTS_MOST) drawCells(lanes, pen, requests.plainRows, top, bottom, 0.8);
  else for (let i = from; i < to; i++) drawDot(lanes, pen, requests.plain[i]);
  lanes.visited += Math.min(to - from, DOTS_MOST);
  if (requests.notableIn.countIn(t0, t1) <= DOTS_MOST) {
    for (const i of requests.notableIn.touching(t0, t1)) { drawNotable(lanes, pen, requests.notable[i]); lanes.visited++; }
  } else {
    pen.fillStyle = PALETTE.late;
    drawCells(lanes, pen, requests.slowRows, top, bottom, 1);
    pen.fillStyle = PALETTE.lost;
    drawCells(lanes, pen, requests.failedRows, top, bottom, 1);
  }
  pen.globalAlpha = 1;
}

/** Requests by when they ended and how long they took; the shade is the count's logarithm. */
function drawCells(lanes, pen, rows, top, bottom, strength) {
  const grid = gridOf(lanes, CELL), height = (bottom - top) / rows.length;
  const shades = [[], [], []];
  rows.forEach((times, row) => {
    lanes.visited += countColumns(times, grid, (column, count) => shades[count > 30 ? 2 : count > 4 ? 1 : 0].push([column, row]));
  });
  shades.forEach((cells, shade) => {
    pen.globalAlpha = strength * [0.4, 0.65, 1][shade];
    for (const [column, row] of cells) pen.fillRect(grid.left(column), bottom - (row + 1) * height, grid.width, height);
  });
}

function drawDot(lanes, pen, span) {
  pen.globalAlpha = 0.5;
  pen.beginPath();
  pen.arc(lanes.x(span.t1), lanes.latency(span.t1 - span.t0), 1.9, 0, 7);
  pen.fill();
}

/** A slow one is a square, a failed or open one a cross, each at the end of its line. */
function drawNotable(lanes, pen, span) {
  const isFailed = span.end < 0 || span.failure !== null;
  const until = Math.min(span.t1, lanes.run.end);
  const x = lanes.x(until), y = lanes.latency(until - span.t0);
  pen.strokeStyle = pen.fillStyle = isFailed ? PALETTE.lost : PALETTE.late;
  pen.globalAlpha = 0.9;
  pen.lineWidth = isFailed ? 1.8 : 1;
  if (!isFailed) pen.fillRect(x - 2.5, y - 2.5, 5, 5);
  pen.beginPath();
  pen.moveTo(lanes.x(span.t0), y); pen.lineTo(x, y);
  if (isFailed) {
    pen.moveTo(x - 3, y - 3); pen.lineTo(x + 3, y + 3);
    pen.moveTo(x + 3, y - 3); pen.lineTo(x - 3, y + 3);
  }
  pen.stroke();
}

function drawLatencyAxis(lanes, pen) {
  const top = lanes.height - lanes.plot + 8;
  clippedText(pen, "latency", 12, top + 4, lanes.gutter - 60, PALETTE.ink, FONT_STRONG);
  pen.font = FONT;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of latencyTicks(lanes)) {
    pen.fillStyle = PALETTE.soft;
    pen.fillText(length(tick), lanes.gutter - 6, lanes.latency(tick));
  }
}

function typical(run) {
  if (run.typical === undefined) {
    const times = Float64Array.from(run.spans.filter((span) => span.end >= 0), (span) => span.t1 - span.t0).sort();
    run.typical = times.length ? Math.max(times[times.length >> 1], times[Math.floor(times.length * 0.25)] || 0, 1e-3) : 1;
  }
  return run.typical;
}

/** From how long a request took to how high it is drawn, from 0 to 1. */
function latencyScale(run) {
  const shortest = run.spans.reduce((least, span) => (span.end < 0 ? least : Math.min(least, span.t1 - span.t0)), NEVER);
  const least = Math.max(Number.isFinite(shortest) ? shortest : 1, 0.01);
  return d3.scaleLog([least * 0.8, Math.max(run.slowest, least * 10) * 1.2], [0, 1]).clamp(true);
}

/** Powers of ten, every second one where there is no room for all. */
function latencyTicks(lanes) {
  const [low, high] = lanes.levels.requests.scale.domain();
  const ticks = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) ticks.push(10 ** power);
  const room = (lanes.plot - 18) / Math.max(ticks.length - 1, 1);
  return room >= 13 ? ticks : ticks.filter((_, i) => i % 2 === 0);
}

function requestsAt(lanes, px, py) {
  const found = [];
  if (py < lanes.height - lanes.plot || !lanes.latency) return found;
  const { requests } = lanes.levels;
  const t = lanes.x.invert(px), reach = lanes.perPixel * 7;
  for (const [list, times] of [[requests.plain, requests.plainAt], [requests.notable, requests.notableAt]]) {
    const from = lowerBound(times, t - reach), to = upperBound(times, t + reach);
    for (let i = from; i < Math.min(to, from + NEAR_MOST); i++) {
      const span = list[i], until = Math.min(span.t1, lanes.run.end);
      const distance = Math.hypot(px - lanes.x(until), py - lanes.latency(until - span.t0));
      if (distance < 7) found.push([distance / 7, span.end < 0 ? span.begin : span.end]);
    }
  }
  return found;
}
