// The space-time diagram of one run: time goes to the right, a lane a host, an arrow a transmission.

const GUTTER = 116, RIGHT = 18, AXIS = 26, BAR = 19, BAND = 20, LANE_LEAST = 56, PLOT = 96, PLOT_LEAST = 62;

class Lanes {
  constructor(box, canvas, run, state) {
    Object.assign(this, { box, canvas, run, state });
    this.rest = make("div", { className: "lanes-rest" });
    box.append(this.rest);
    this.hover = null;
    this.context = canvas.getContext("2d");
    this.usesDensity = false;
  }

  resize() {
    const { clientWidth, clientHeight } = this.box;
    const ratio = window.devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.style.height = `${clientHeight}px`;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.ratio = ratio;
    this.layOut();
  }

  /** Where everything goes, from the canvas's size. A lane has a least height: what has no room is scrolled to. */
  layOut() {
    const { run } = this;
    this.gutter = this.width < 620 ? 84 : GUTTER;
    this.left = this.gutter;
    this.right = this.width;
    this.hosts = run.hosts.map((_, host) => host).filter((host) => this.state.showsHost(run, host));
    this.bars = Math.min(run.faultRows, 4, Math.max(Math.floor((this.height * 0.16) / BAR), 1));
    this.plot = run.spans.length ? (this.height < 380 ? PLOT_LEAST : PLOT) : 0;
    this.top = AXIS + this.bars * BAR + (this.bars ? 8 : 2);
    this.bottom = this.height - this.plot - 6;
    const room = Math.max(this.bottom - this.top, 30);
    this.lane = Math.max(room / Math.max(this.hosts.length, 1), LANE_LEAST);
    const overflow = Math.max(Math.round(this.lane * this.hosts.length - room), 0);
    if (overflow !== this.overflow) { this.overflow = overflow; this.rest.style.height = `${overflow}px`; }
    this.scroll = Math.min(this.box.scrollTop, overflow);
    this.y = new Map(this.hosts.map((host, i) => [host, this.top + this.lane * (i + 0.5) - this.scroll]));
    this.band = run.states.length ? BAND : 7;
  }

  /** How high a host's band is: low where it has nothing to say but that the host is alive. */
  bandOf(host) { return this.run.stateOf[host].length ? BAND : Math.min(this.band, 9); }

  /** Whether any of a lane is in sight. */
  isInSight(host) { const y = this.y.get(host); return y + this.lane / 2 > this.top && y - this.lane / 2 < this.bottom; }

  /** Scrolls a host's lane into sight. */
  reveal(host) {
    if (!this.y?.has(host) || !this.overflow) return;
    const from = this.y.get(host) - this.lane / 2, to = from + this.lane;
    if (from < this.top) this.box.scrollTop += from - this.top;
    else if (to > this.bottom) this.box.scrollTop += to - this.bottom;
  }

  rescale() {
    this.window = this.state.window;
    this.x = d3.scaleLinear(this.window, [this.gutter, this.width - RIGHT]);
    this.perPixel = (this.window[1] - this.window[0]) / (this.width - RIGHT - this.gutter);
    this.levels = this.state.levelsOf(this.run);
  }

  draw() {
    if (!this.width) return;
    this.layOut();
    this.rescale();
    this.visited = 0;
    const pen = this.context;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.fillStyle = PALETTE.paper;
    pen.fillRect(0, 0, this.width, this.height);
    this.within(pen, 0, () => { this.drawGrid(pen); drawFaultBars(this, pen); });
    this.within(pen, this.top - 4, () => {
      drawSides(this, pen);
      this.drawBands(pen);
      drawTransmissions(this, pen);
      drawMarks(this, pen);
      drawMatches(this, pen);
    });
    this.within(pen, 0, () => {
      if (this.plot) drawLatency(this, pen);
      drawViolation(this, pen);
      this.drawParting(pen);
      this.drawMoment(pen);
      drawSelection(this, pen);
    });
    this.drawGutter(pen);
  }

  /** Draws right of the gutter; from `top` on, only where the lanes are. */
  within(pen, top, draw) {
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter, top, this.width - this.gutter, (top ? this.bottom : this.height) - top);
    pen.clip();
    draw();
    pen.restore();
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
      pen.fillText(moment(tick, step), Math.min(Math.max(x, this.gutter + 24), this.width - 26), AXIS / 2);
    }
  }

  drawBands(pen) {
    for (const host of this.hosts) {
      if (!this.isInSight(host)) continue;
      const y = this.y.get(host);
      pen.strokeStyle = PALETTE.line;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(this.gutter, y);
      pen.lineTo(Math.min(this.x(this.run.end), this.width), y);
      pen.stroke();
      drawGauges(this, pen, host);
      this.visited += drawBand(this, pen, this.run.bands[host], y, this.bandOf(host));
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

  /** The cursor; where it is out of sight, a pointer at the edge that is nearer to it. */
  drawMoment(pen) {
    const x = Math.round(this.x(this.state.shownMoment)) + 0.5;
    const side = Math.sign(this.state.moment - this.state.shownMoment);
    pen.strokeStyle = pen.fillStyle = PALETTE.accent;
    pen.lineWidth = 1;
    if (side) pen.setLineDash([2, 4]);
    pen.beginPath();
    pen.moveTo(x - side, AXIS - 8);
    pen.lineTo(x - side, this.height);
    pen.stroke();
    pen.setLineDash([]);
    pen.beginPath();
    if (side) { pen.moveTo(x - side * 9, AXIS - 11); pen.lineTo(x - side * 9, AXIS - 1); pen.lineTo(x - side * 2, AXIS - 6); }
    else { pen.moveTo(x - 5, AXIS - 9); pen.lineTo(x + 5, AXIS - 9); pen.lineTo(x, AXIS - 3); }
    pen.fill();
  }

  drawGutter(pen) {
    if (this.plot) drawLatencyAxis(this, pen);
    if (this.tallest) clippedText(pen, `≤ ${number(this.tallest.count)} / ${length(this.tallest.step)}`, 12, AXIS / 2, this.gutter - 16, PALETTE.soft);
    pen.save();
    pen.beginPath();
    pen.rect(0, this.top - 4, this.gutter, this.bottom - this.top + 4);
    pen.clip();
    for (const host of this.hosts) {
      const y = this.y.get(host);
      const { words } = hostAt(this.run, host, this.state.shownMoment);
      clippedText(pen, this.run.hosts[host].name, 12, y - (words ? 8 : 0), this.gutter - 20, PALETTE.ink, FONT_HOST);
      if (words) clippedText(pen, words, 12, y + 9, this.gutter - 16, PALETTE.soft, FONT);
      const told = gaugeWords(this.run, host, this.state.shownMoment);
      if (told) clippedText(pen, told, 12, y + 23, this.gutter - 16, PALETTE.soft, FONT);
    }
    pen.restore();
    this.drawHiddenHosts(pen);
  }

  /** How many hosts are above and below what is in sight. */
  drawHiddenHosts(pen) {
    const above = this.hosts.filter((host) => this.y.get(host) < this.top).length;
    const below = this.hosts.filter((host) => this.y.get(host) > this.bottom).length;
    const say = (words, y) => {
      pen.fillStyle = PALETTE.paper;
      pen.fillRect(0, y - 9, this.gutter - 4, 18);
      clippedText(pen, words, 12, y, this.gutter - 16, PALETTE.accent, FONT_STRONG);
    };
    if (above) say(`▴ ${plural(above, "host")} above`, this.top + 4);
    if (below) say(`▾ ${plural(below, "host")} below`, this.bottom - 6);
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
