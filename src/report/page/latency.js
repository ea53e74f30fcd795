// The workload beside the lanes: a dot for each request that was answered, at its end and as high as it took; a cross for
// each that failed; a line for each that is still open.

function drawLatency(lanes, pen) {
  const { run, state } = lanes;
  const top = lanes.height - lanes.plot + 8, bottom = lanes.height - 10;
  const scale = latencyScale(run, top, bottom);
  lanes.latency = scale;
  pen.fillStyle = PALETTE.paper;
  pen.fillRect(lanes.gutter, top - 8, lanes.width, lanes.plot);
  pen.strokeStyle = PALETTE.line;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(lanes.gutter, top - 7.5);
  pen.lineTo(lanes.width, top - 7.5);
  pen.stroke();
  pen.strokeStyle = PALETTE.grid;
  for (const tick of latencyTicks(scale)) {
    const y = Math.round(scale(tick)) + 0.5;
    pen.beginPath();
    pen.moveTo(lanes.gutter, y);
    pen.lineTo(lanes.width, y);
    pen.stroke();
  }
  const [t0, t1] = state.window;
  const usual = typical(run);
  for (const span of run.spans) {
    if (span.t1 < t0 || span.t0 > t1 || !state.showsHost(run, span.host)) continue;
    const isOpen = span.end < 0;
    const took = (isOpen ? run.end : span.t1) - span.t0;
    const x = lanes.x(Math.min(span.t1, run.end)), y = scale(took);
    const isFailed = isOpen || span.failure !== null;
    const isSlow = took > usual * 4;
    pen.strokeStyle = pen.fillStyle = isFailed ? PALETTE.lost : isSlow ? PALETTE.late : PALETTE.delivered;
    pen.globalAlpha = isFailed || isSlow ? 0.9 : 0.5;
    if (isFailed || isSlow) {
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(lanes.x(span.t0), y);
      pen.lineTo(x, y);
      pen.stroke();
    }
    if (isFailed) {
      pen.lineWidth = 1.8;
      pen.beginPath();
      pen.moveTo(x - 3, y - 3); pen.lineTo(x + 3, y + 3);
      pen.moveTo(x + 3, y - 3); pen.lineTo(x - 3, y + 3);
      pen.stroke();
    } else if (isSlow) {
      pen.fillRect(x - 2.5, y - 2.5, 5, 5);
    } else {
      pen.beginPath();
      pen.arc(x, y, 1.9, 0, 7);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}

function drawLatencyAxis(lanes, pen) {
  const scale = lanes.latency, top = lanes.height - lanes.plot + 8;
  pen.save();
  pen.beginPath();
  pen.rect(0, top - 8, lanes.width, lanes.plot);
  pen.clip();
  clippedText(pen, "latency", 12, top + 4, lanes.gutter - 60, PALETTE.ink, FONT_STRONG);
  pen.restore();
  pen.font = FONT;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of latencyTicks(scale)) {
    pen.fillStyle = PALETTE.soft;
    pen.fillText(length(tick), lanes.gutter - 6, scale(tick));
  }
}

function typical(run) {
  if (run.typical === undefined) {
    const times = run.spans.filter((span) => span.end >= 0).map((span) => span.t1 - span.t0).sort((a, b) => a - b);
    run.typical = times.length ? Math.max(times[times.length >> 1], times[Math.floor(times.length * 0.25)] || 0, 1e-3) : 1;
  }
  return run.typical;
}

function latencyScale(run, top, bottom) {
  const shortest = run.spans.reduce((least, span) => (span.end < 0 ? least : Math.min(least, span.t1 - span.t0)), NEVER);
  const least = Math.max(Number.isFinite(shortest) ? shortest : 1, 0.01);
  return d3.scaleLog([least * 0.8, Math.max(run.slowest, least * 10) * 1.2], [bottom, top]).clamp(true);
}

function latencyTicks(scale) {
  const [low, high] = scale.domain();
  const ticks = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) ticks.push(10 ** power);
  return ticks;
}

function requestsAt(lanes, px, py) {
  const found = [];
  if (py < lanes.height - lanes.plot || !lanes.latency) return found;
  for (const span of lanes.run.spans) {
    const isOpen = span.end < 0;
    const x = lanes.x(Math.min(span.t1, lanes.run.end));
    const y = lanes.latency((isOpen ? lanes.run.end : span.t1) - span.t0);
    const distance = Math.hypot(px - x, py - y);
    if (distance < 7) found.push([distance / 7, isOpen ? span.begin : span.end]);
  }
  return found;
}
