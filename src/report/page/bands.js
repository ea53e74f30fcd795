// The band on a lane: what its host is, of its life and of its system's state together.

const TONES = ["lead", "seek", "calm", "up", "down"];

/** From when on a host is what. How long it was of each tone up to each entry is summed beforehand. */
class Band {
  constructor(run, host) {
    const changes = [...run.lives[host].map((entry) => ({ ...entry, isLife: true })), ...run.stateOf[host]].sort((a, b) => a.n - b.n);
    let life = "not started", state = null;
    this.end = run.end;
    this.list = changes.map((change) => {
      if (change.isLife) life = change.life; else state = change;
      return { t: change.t, n: change.n, ...lookOf(life, state) };
    });
    this.sums = Object.fromEntries(TONES.map((tone) => [tone, new Float64Array(this.list.length)]));
    this.list.forEach((entry, i) => {
      if (i) for (const tone of TONES) this.sums[tone][i] = this.sums[tone][i - 1] + (this.list[i - 1].tone === tone ? entry.t - this.list[i - 1].t : 0);
    });
  }

  until(i) { return i + 1 < this.list.length ? this.list[i + 1].t : this.end; }

  /** How much of a span of time it was of a tone, from 0 to 1. */
  share(tone, t0, t1) { return (this.sum(tone, t1) - this.sum(tone, t0)) / (t1 - t0); }

  sum(tone, t) {
    const i = firstBefore(this.list, t);
    return this.sums[tone][i] + (this.list[i].tone === tone ? Math.max(t - this.list[i].t, 0) : 0);
  }
}

function lookOf(life, state) {
  if (life !== "alive") return { tone: toneOfLife(life), text: life, isLife: true };
  return state ? { tone: toneOf(state.state), text: stateWords(state), isLife: false } : { tone: "up", text: "", isLife: false };
}

/** How a state is drawn: what leads is filled, what seeks is hatched, what is down is crossed out. */
function toneOf(state) {
  if (/^(leader|primary|active)/.test(state)) return "lead";
  if (/candidate|probing|half-open|connecting|retry|suspect/.test(state)) return "seek";
  if (/unhealthy|ejected|open$|down|failed|dead|paused|panicked|without power|drain/.test(state)) return "down";
  return "calm";
}

function toneOfLife(life) {
  return life === "alive" ? "up" : life === "paused" || life === "finished" || life === "not started" ? "calm" : "down";
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

/**
 * Draws a band around `y`. Entries that are narrower than a column of the grid are drawn together, each tone as high as
 * its share of that time. Says how many pieces it drew.
 */
function drawBand(view, pen, band, y, height) {
  const { list } = band;
  const [w0, w1] = view.window;
  const { step } = gridOf(view, 2);
  let pieces = 0;
  for (let i = firstBefore(list, w0); i < list.length && list[i].t <= w1; pieces++) {
    const { t } = list[i];
    if (band.until(i) - t >= step) {
      drawEntry(view, pen, list[i], t, band.until(i), y, height);
      i++;
      continue;
    }
    const border = (Math.floor(t / step) + 1) * step;
    let next = Math.max(placeWhere(list.length, (at) => list[at].t >= border), i + 1);
    if (next - 1 > i && band.until(next - 1) - list[next - 1].t >= step) next--;
    const until = next < list.length ? list[next].t : band.end;
    if (until > t) drawShares(view, pen, band, t, until, y, height);
    i = next;
  }
  return pieces;
}

function drawShares(view, pen, band, t0, t1, y, height) {
  const left = view.x(t0), width = Math.max(view.x(t1) - left, 0.5);
  let top = y - height / 2;
  for (const tone of TONES) {
    const part = band.share(tone, t0, t1) * height;
    if (part <= 0) continue;
    pen.fillStyle = PALETTE[tone];
    pen.fillRect(left, top, width, part);
    top += part;
  }
}

const HATCH_LEAST = 12, WORDS_LEAST = 26;

function drawEntry(view, pen, { tone, text, isLife }, t0, t1, y, height) {
  const left = Math.max(view.x(t0), view.left - 2), right = Math.min(view.x(t1), view.right);
  const width = right - left, tall = tone === "up" ? Math.min(7, height) : height, top = y - tall / 2;
  if (width <= 0) return;
  pen.fillStyle = PALETTE[tone];
  pen.fillRect(left, top, width, tall);
  if (width >= HATCH_LEAST && height >= 7 && (tone === "seek" || tone === "down" || isLife)) {
    pen.fillStyle = hatch(pen, PALETTE[`${tone}-ink`], tone === "seek" ? 1 : -1);
    pen.globalAlpha = 0.35;
    pen.fillRect(left, top, width, tall);
    pen.globalAlpha = 1;
  }
  if (width > 6) { pen.fillStyle = PALETTE.paper; pen.fillRect(right - 1, top, 1, tall); }
  if (width > WORDS_LEAST && tall >= 14) clippedText(pen, text, left + 6, y, width - 9, PALETTE[`${tone}-ink`], tone === "lead" ? FONT_STRONG : FONT);
}
