// The space-time diagram of one run: time goes to the right, a lane a host, an arrow a transmission.

const GUTTER = 116, RIGHT = 18, AXIS = 26, BAR = 19, BAND = 20, PLOT = 96;

class Lanes {
  constructor(canvas, run, state) {
    Object.assign(this, { canvas, run, state });
    this.hover = null;
    this.context = canvas.getContext("2d");
    this.usesDensity = false;
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.ratio = ratio;
    this.layOut();
  }

  /** Where everything goes, from the canvas's size. */
  layOut() {
    const { run } = this;
    this.gutter = this.width < 620 ? 84 : GUTTER;
    this.hosts = run.hosts.map((_, host) => host).filter((host) => this.state.showsHost(run, host));
    this.bars = Math.min(run.faultRows, 4, Math.max(Math.floor((this.height * 0.16) / BAR), 1));
    this.plot = run.spans.length ? PLOT : 0;
    this.top = AXIS + this.bars * BAR + (this.bars ? 8 : 2);
    this.bottom = this.height - this.plot - 6;
    const room = Math.max(this.bottom - this.top, 30);
    this.lane = room / Math.max(this.hosts.length, 1);
    this.y = new Map(this.hosts.map((host, i) => [host, this.top + this.lane * (i + 0.5)]));
    this.band = Math.min(run.states.length ? BAND : 7, this.lane * 0.45);
  }

  rescale() {
    this.x = d3.scaleLinear(this.state.window, [this.gutter, this.width - RIGHT]);
    this.perPixel = (this.state.window[1] - this.state.window[0]) / (this.width - RIGHT - this.gutter);
  }

  draw() {
    if (!this.width) return;
    this.layOut();
    this.rescale();
    const pen = this.context;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.fillStyle = PALETTE.paper;
    pen.fillRect(0, 0, this.width, this.height);
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter, 0, this.width - this.gutter, this.height);
    pen.clip();
    this.drawGrid(pen);
    this.drawFaults(pen);
    this.drawBands(pen);
    this.drawTransmissions(pen);
    this.drawMarks(pen);
    if (this.plot) drawLatency(this, pen);
    this.drawParting(pen);
    this.drawMoment(pen);
    this.drawSelection(pen);
    pen.restore();
    this.drawGutter(pen);
  }

  drawGrid(pen) {
    const ticks = this.x.ticks(Math.max(2, Math.floor((this.width - this.gutter) / 110)));
    const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
    pen.strokeStyle = PALETTE.grid;
    pen.lineWidth = 1;
    pen.fillStyle = PALETTE.soft;
    pen.font = FONT;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    for (const tick of ticks) {
      const x = Math.round(this.x(tick)) + 0.5;
      pen.beginPath();
      pen.moveTo(x, AXIS - 4);
      pen.lineTo(x, this.height);
      pen.stroke();
      pen.fillText(moment(tick, step), Math.max(x, this.gutter + 24), AXIS / 2);
    }
  }

  drawFaults(pen) {
    const { run, x } = this;
    const [t0, t1] = this.state.window;
    for (const fault of run.faults) {
      if (fault.t1 < t0 || fault.t0 > t1) continue;
      const left = Math.max(x(fault.t0), this.gutter - 4), right = Math.min(x(Math.min(fault.t1, run.end)), this.width);
      if (!fault.isSpan) { this.drawStep(pen, fault, left); continue; }
      const width = Math.max(right - left, 2);
      fault.groups.forEach((group, side) => {
        for (const host of this.hosts) {
          if (!group.some((pattern) => matchesHost(pattern, run.hosts[host].name))) continue;
          pen.fillStyle = hatch(pen, side % 2 ? PALETTE["side-b"] : PALETTE["side-a"], side % 2 ? -1 : 1);
          pen.fillRect(left, this.y.get(host) - this.lane / 2, width, this.lane);
        }
      });
      if (fault.row >= this.bars) continue;
      const top = AXIS + fault.row * BAR;
      pen.fillStyle = PALETTE.fault;
      pen.fillRect(left, top, width, BAR - 4);
      const name = faultName(fault);
      pen.font = FONT;
      if (width > 40) clippedText(pen, name, left + 6, top + (BAR - 4) / 2, width - 10, PALETTE["fault-ink"]);
    }
  }

  /** A step that happens at once: a small flag on the axis. */
  drawStep(pen, fault, x) {
    pen.fillStyle = PALETTE["fault-ink"];
    pen.beginPath();
    pen.moveTo(x, AXIS);
    pen.lineTo(x + 5, AXIS - 7);
    pen.lineTo(x - 5, AXIS - 7);
    pen.fill();
  }

  drawBands(pen) {
    for (const host of this.hosts) {
      const y = this.y.get(host);
      pen.strokeStyle = PALETTE.line;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(this.gutter, y);
      pen.lineTo(Math.min(this.x(this.run.end), this.width), y);
      pen.stroke();
      this.drawSpans(pen, this.run.lives[host], y, ({ life }) => (life === "alive" || life === "paused" ? { tone: "calm", text: "" } : null), Math.min(7, this.band));
      this.drawSpans(pen, this.run.stateOf[host], y, (entry) => ({ tone: toneOf(entry.state), text: stateWords(entry) }));
      this.drawSpans(pen, this.run.lives[host], y, ({ life }) => (life === "alive" ? null : { tone: life === "paused" || life === "finished" || life === "not started" ? "calm" : "down", text: life, isLife: true }));
    }
  }

  drawSpans(pen, list, y, look, height = this.band) {
    const [w0, w1] = this.state.window;
    const half = height / 2;
    const hasWords = height >= 14;
    pen.font = FONT;
    let last = -1;
    for (let i = firstBefore(list, w0); i < list.length; i++) {
      const t0 = list[i].t, t1 = i + 1 < list.length ? list[i + 1].t : this.run.end;
      if (t0 > w1) break;
      const style = look(list[i]);
      if (!style || t1 <= w0) continue;
      const left = Math.max(this.x(t0), this.gutter - 2), right = Math.min(this.x(t1), this.width);
      if (right - last < 0.4 && style.tone === "calm") continue;
      last = right;
      const width = Math.max(right - left, 1);
      pen.fillStyle = PALETTE[style.tone];
      if (style.isLife) { pen.fillStyle = PALETTE.paper; pen.fillRect(left, y - half - 1, width, height + 2); pen.fillStyle = PALETTE[style.tone]; }
      pen.fillRect(left, y - half, width, height);
      if (style.tone === "seek" || style.tone === "down" || style.isLife) {
        pen.fillStyle = hatch(pen, PALETTE[`${style.tone}-ink`], style.tone === "seek" ? 1 : -1);
        pen.globalAlpha = 0.35;
        pen.fillRect(left, y - half, width, height);
        pen.globalAlpha = 1;
      }
      if (width > 3) { pen.fillStyle = PALETTE.paper; pen.fillRect(right - 1, y - half, 1, height); }
      if (width > 26 && hasWords) clippedText(pen, style.text, left + 6, y, width - 9, PALETTE[`${style.tone}-ink`], style.tone === "lead" ? FONT_STRONG : FONT);
    }
  }

  /** The transmissions whose drawing touches the window, as a range of indices. */
  visible() {
    const [t0, t1] = this.state.window;
    const from = lowerBound(this.run.tx0, t0 - Math.min(this.run.longest, this.run.end));
    return [from, lowerBound(this.run.tx0, t1 + 1e-9)];
  }

  drawTransmissions(pen) {
    const [from, to] = this.visible();
    const [w0] = this.state.window;
    let shown = 0;
    for (let i = from; i < to; i++) if (this.run.tx1[i] >= w0 && this.state.showsTransmission(this.run, i)) shown++;
    this.shown = shown;
    this.usesDensity = shown > Math.max(250, (this.width - this.gutter) * 0.45);
    if (this.usesDensity) drawDensity(this, pen, from, to);
    else drawArrows(this, pen, from, to, shown);
  }

  /** The system's own events, as ticks on their lane. */
  drawMarks(pen) {
    const { run } = this;
    const [t0, t1] = this.state.window;
    if (run.recordsUntil(t1) - run.recordsUntil(t0) > 6000) { this.drawViolations(pen); return; }
    pen.fillStyle = PALETTE.ink;
    for (const host of this.hosts) {
      const y = this.y.get(host) - this.band / 2;
      let lastX = -9;
      const list = run.recordsOf[host];
      for (let i = firstFrom(list, run.t, t0); i < list.length && run.t[list[i]] <= t1; i++) {
        if (!isSystemic(run, list[i]) || run.txOf[list[i]] >= 0) continue;
        const x = this.x(run.t[list[i]]);
        if (x - lastX < 2) continue;
        lastX = x;
        pen.globalAlpha = this.state.search && !this.state.matches(run, list[i]) ? 0.12 : 0.65;
        pen.fillRect(x - 0.75, y - 4, 1.5, 4);
      }
    }
    pen.globalAlpha = 1;
    this.drawViolations(pen);
  }

  drawViolations(pen) {
    const { run } = this;
    if (!run.violation) return;
    const x = this.x(run.violation.at_ms);
    pen.fillStyle = PALETTE.bad;
    pen.fillRect(x - 1, AXIS - 6, 2, this.bottom - AXIS + 6);
    const y = AXIS - 6;
    const words = `✕ ${run.violation.invariant}`;
    pen.font = FONT_STRONG;
    const width = pen.measureText(words).width + 14;
    const left = Math.min(x, this.width - width - 4);
    pen.fillRect(left, y - 14, width, 18);
    pen.fillStyle = PALETTE.paper;
    pen.textAlign = "left";
    pen.fillText(words, left + 7, y - 5);
    for (const fact of run.violation.facts) {
      const host = run.host[fact.record];
      if (!this.y.has(host)) continue;
      pen.strokeStyle = PALETTE.bad;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(this.x(run.t[fact.record]), this.y.get(host), this.band / 2 + 4, 0, 7);
      pen.stroke();
    }
  }

  /** In a comparison, where the two runs part. */
  drawParting(pen) {
    if (this.run.partsAt === undefined) return;
    const x = Math.round(this.x(this.run.partsAt)) + 0.5;
    pen.strokeStyle = PALETTE.ink;
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 3]);
    pen.beginPath();
    pen.moveTo(x, AXIS - 2);
    pen.lineTo(x, this.height);
    pen.stroke();
    pen.setLineDash([]);
    pen.font = FONT_STRONG;
    const width = pen.measureText("they part").width;
    clippedText(pen, "they part", Math.min(x + 5, this.width - width - 4), this.bottom - 3, 90, PALETTE.ink, FONT_STRONG);
  }

  drawMoment(pen) {
    const x = Math.round(this.x(this.state.moment)) + 0.5;
    pen.strokeStyle = PALETTE.accent;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, AXIS - 8);
    pen.lineTo(x, this.height);
    pen.stroke();
    pen.fillStyle = PALETTE.accent;
    pen.beginPath();
    pen.moveTo(x - 5, AXIS - 9);
    pen.lineTo(x + 5, AXIS - 9);
    pen.lineTo(x, AXIS - 3);
    pen.fill();
  }

  drawSelection(pen) {
    const { lit, selected } = this.state;
    if (!selected || selected.run !== this.run.index) return;
    for (const n of lit.effects) this.ring(pen, n, PALETTE.effect, 3);
    for (const n of lit.causes) this.ring(pen, n, PALETTE.cause, 4);
    this.ring(pen, selected.n, PALETTE.accent, 6.5);
    if (this.hover !== null && this.hover !== selected.n) this.ring(pen, this.hover, PALETTE.ink, 5);
  }

  /** Where a record is drawn. */
  place(n) {
    const { run } = this;
    const x = this.x(run.t[n]);
    const host = run.host[n];
    if (this.y.has(host)) return [x, this.y.get(host)];
    const tx = run.txOf[n];
    if (tx >= 0) {
      const end = arrowEnds(this, tx);
      return end && [end.x1, end.y1];
    }
    const fault = run.faults.find((fault) => fault.begin === n || fault.end === n);
    return fault ? [x, fault.isSpan ? AXIS + Math.min(fault.row, this.bars - 1) * BAR + 7 : AXIS - 4] : null;
  }

  ring(pen, n, colour, radius) {
    const place = this.place(n);
    if (!place) return;
    pen.strokeStyle = colour;
    pen.fillStyle = PALETTE.paper;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(place[0], place[1], radius, 0, 7);
    pen.fill();
    pen.stroke();
  }

  drawGutter(pen) {
    if (this.plot) drawLatencyAxis(this, pen);
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (const host of this.hosts) {
      const y = this.y.get(host);
      const now = hostAt(this.run, host, this.state.moment);
      const hasRoom = now.words && this.lane >= 34;
      clippedText(pen, this.run.hosts[host].name, 12, y - (hasRoom ? 8 : 0), this.gutter - 20, PALETTE.ink, FONT_HOST);
      if (hasRoom) clippedText(pen, now.words, 12, y + 9, this.gutter - 16, PALETTE.soft, FONT);
    }
  }
}

const FAMILY = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const FONT = `11.5px ${FAMILY}`, FONT_STRONG = `600 11.5px ${FAMILY}`, FONT_HOST = `600 13px ${FAMILY}`;

function clippedText(pen, text, x, y, width, colour, font = FONT) {
  pen.font = font;
  pen.fillStyle = colour;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  if (pen.measureText(text).width > width) {
    let keep = text.length;
    while (keep > 1 && pen.measureText(text.slice(0, keep) + "…").width > width) keep--;
    if (keep < 6) return;
    text = text.slice(0, keep) + "…";
  }
  pen.fillText(text, x, y + 0.5);
}

/** A state with its detail: `leader, term 3`. */
function stateWords({ state, detail }) { return detail ? `${state}, ${detail}` : state; }

/** What a host is at a moment. */
function hostAt(run, host, t) {
  const life = Run.at(run.lives[host], t)?.life ?? "not started";
  const state = Run.at(run.stateOf[host], t);
  const isUp = life === "alive" || life === "paused";
  const words = [life === "alive" ? "" : life, isUp && state ? stateWords(state) : ""].filter(Boolean).join(", ");
  return { life, state: isUp ? state : null, words: words || (run.stateOf[host].length ? "" : life === "alive" ? "" : life) };
}

function lowerBound(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** The first place of an ordered list of record numbers whose time is at least `t`. */
function firstFrom(records, times, t) {
  let low = 0, high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[records[middle]] < t) low = middle + 1; else high = middle;
  }
  return low;
}

/** The place of the last entry that begins at or before `t`, or 0. */
function firstBefore(list, t) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].t <= t) low = middle + 1; else high = middle;
  }
  return Math.max(low - 1, 0);
}
