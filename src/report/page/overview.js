// The whole run in a strip: what each host was, where packets were lost, the window that the diagram shows, and the moment.
// It is the scrubber: a slider to the keyboard and to a screen reader.

class Overview {
  constructor(canvas, run, state) {
    Object.assign(this, { canvas, run, state });
    this.context = canvas.getContext("2d");
    this.picture = null;
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", () => { this.grip = null; });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.ratio = ratio;
    this.picture = null;
  }

  get left() { return this.width < 620 ? 84 : GUTTER; }

  draw() {
    if (!this.width) return;
    this.x = d3.scaleLinear([0, this.state.end], [this.left, this.width - RIGHT]);
    const pen = this.context;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    if (!this.picture) this.paint();
    pen.drawImage(this.picture, 0, 0);
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const [t0, t1] = this.state.window;
    const a = this.x(t0), b = Math.max(this.x(t1), a + 3);
    pen.fillStyle = PALETTE.paper;
    pen.globalAlpha = 0.5;
    pen.fillRect(this.left - 4, 0, a - this.left + 4, this.height);
    pen.fillRect(b, 0, this.width - b, this.height);
    pen.globalAlpha = 1;
    pen.strokeStyle = PALETTE.soft;
    pen.lineWidth = 1;
    pen.strokeRect(a + 0.5, 0.5, Math.max(b - a - 1, 1), this.height - 1);
    this.drawFound(pen);
    const x = this.x(this.state.moment);
    pen.fillStyle = PALETTE.accent;
    pen.fillRect(x - 1, 0, 2, this.height);
    pen.beginPath();
    pen.arc(x, this.height / 2, 5, 0, 7);
    pen.fill();
    this.speak();
  }

  /** What does not change while one looks around. */
  paint() {
    const picture = document.createElement("canvas");
    picture.width = this.canvas.width;
    picture.height = this.canvas.height;
    const pen = picture.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.fillStyle = PALETTE.paper;
    pen.fillRect(0, 0, this.width, this.height);
    clippedText(pen, "whole run", 12, this.height / 2, this.left - 16, PALETTE.soft);
    const { run } = this;
    const lane = Math.min((this.height - 12) / run.hosts.length, 12);
    const top = (this.height - 10 - lane * run.hosts.length) / 2;
    const view = { x: this.x, window: [0, this.state.end], left: this.left, right: this.width, perPixel: this.state.end / (this.width - RIGHT - this.left) };
    run.bands.forEach((band, host) => {
      pen.fillStyle = PALETTE.calm;
      pen.fillRect(this.left, top + lane * host + 1, this.x(run.end) - this.left, Math.max(lane - 2, 1));
      drawBand(view, pen, band, top + lane * (host + 0.5), Math.max(lane - 2, 1));
    });
    this.paintLosses(pen, run);
    if (run.violation) {
      pen.fillStyle = PALETTE.bad;
      pen.fillRect(this.x(run.violation.at_ms) - 1.5, 0, 3, this.height);
    }
    this.picture = picture;
  }

  paintLosses(pen, run) {
    const losses = new Uint32Array(Math.ceil(this.width) + 1);
    const perMs = (this.width - RIGHT - this.left) / this.state.end;
    for (let i = 0; i < run.tx0.length; i++) if (run.txFate[i] === LOST) losses[Math.min((this.left + run.tx0[i] * perMs) | 0, losses.length - 1)]++;
    const most = losses.reduce((a, b) => Math.max(a, b), 1);
    pen.fillStyle = PALETTE.lost;
    losses.forEach((count, x) => { if (count) pen.fillRect(x, this.height - 1 - Math.max(2, (count / most) * 9), 1, Math.max(2, (count / most) * 9)); });
  }

  /** Where the search found something, as ticks on top: one a pixel. */
  drawFound(pen) {
    const { search } = this.state, { run } = this;
    if (!search.isOn) return;
    const { list } = search.found[run.index];
    const perPixel = this.state.end / (this.width - RIGHT - this.left);
    pen.fillStyle = PALETTE.found;
    for (let at = 0; at < list.length;) {
      const x = this.x(run.t[list[at]]);
      pen.fillRect(x - 0.5, 0, 1.5, 5);
      at = Math.max(firstFrom(list, run.t, run.t[list[at]] + perPixel), at + 1);
    }
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.x.invert(event.clientX - box.left);
  }

  grab(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus();
    const [t0, t1] = this.state.window;
    const t = this.at(event);
    this.grip = true;
    if (t < t0 || t > t1) this.state.setWindow(t - (t1 - t0) / 2, t + (t1 - t0) / 2);
    this.state.setMoment(t);
  }

  drag(event) {
    if (this.grip) this.state.setMoment(this.at(event), { follow: true });
  }

  key(event) {
    const step = (this.state.window[1] - this.state.window[0]) / 100;
    const to = { ArrowLeft: this.state.moment - step, ArrowRight: this.state.moment + step, PageUp: this.state.moment - step * 10,
      PageDown: this.state.moment + step * 10, Home: 0, End: this.state.end }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.state.setMoment(to, { follow: true });
  }

  speak() {
    const { canvas, run, state } = this;
    canvas.setAttribute("aria-valuemin", 0);
    canvas.setAttribute("aria-valuemax", Math.round(run.end));
    canvas.setAttribute("aria-valuenow", Math.round(state.moment));
    canvas.setAttribute("aria-valuetext", moment(state.moment));
  }
}
