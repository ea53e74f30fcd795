// The numbers that hosts tell of themselves, such as how long a log is: a strip below each band, a line a number.

const GAUGE_LEAST = 6, GAUGE_MOST = 22;

/** For every host, what each of its numbers is from when on; and the highest of all, which every strip is as high as. */
function collectGauges(run) {
  run.gaugesOf = run.hosts.map(() => new Map());
  run.gaugeMost = 0;
  for (const [n, host, name, value] of run.gauges) {
    const gauges = run.gaugesOf[host];
    if (!gauges.has(name)) gauges.set(name, []);
    gauges.get(name).push({ t: run.t[n], n, value });
    run.gaugeMost = Math.max(run.gaugeMost, value);
  }
}

/** What a host's numbers are at a moment: `log 34, committed 32`. */
function gaugeWords(run, host, t) {
  const now = [...run.gaugesOf[host]].map(([name, list]) => [name, Run.at(list, t)]);
  return now.filter(([, entry]) => entry).map(([name, entry]) => `${name} ${number(entry.value)}`).join(", ");
}

/** Draws a host's strip between its band and the next lane. */
function drawGauges(view, pen, host) {
  const gauges = view.run.gaugesOf[host];
  const room = view.lane / 2 - view.bandOf(host) / 2 - 5;
  if (!gauges.size || room < GAUGE_LEAST || !view.run.gaugeMost) return;
  const height = Math.min(room, GAUGE_MOST), base = view.y.get(host) + view.lane / 2 - 2;
  [...gauges.values()].forEach((list, place) => drawGauge(view, pen, list, base, height / view.run.gaugeMost, place === 0));
}

/** Draws how a number goes up and down, of points in one pixel the last; the first of a host is filled. */
function drawGauge(view, pen, list, base, scale, isFilled) {
  const [w0, w1] = view.window, right = Math.min(view.x(view.run.end), view.right);
  const start = firstBefore(list, w0), from = Math.max(view.x(list[start].t), view.left - 2);
  let y = base - list[start].value * scale;
  pen.beginPath();
  if (isFilled) pen.moveTo(from, base);
  if (isFilled) pen.lineTo(from, y); else pen.moveTo(from, y);
  for (let i = start + 1; i < list.length && list[i].t <= w1; i++) {
    const x = view.x(list[i].t);
    if (i + 1 < list.length && view.x(list[i + 1].t) - x < 0.5) continue;
    pen.lineTo(x, y);
    y = base - list[i].value * scale;
    pen.lineTo(x, y);
    view.visited++;
  }
  pen.lineTo(right, y);
  if (isFilled) {
    pen.lineTo(right, base);
    pen.fillStyle = PALETTE.line;
    pen.fill();
    return;
  }
  pen.strokeStyle = PALETTE.accent;
  pen.lineWidth = 1.25;
  pen.stroke();
}

/** Two strips for the legend: what is filled, and what is a line. */
function gaugeLegend(root, runs) {
  const names = new Set(runs.flatMap((run) => run.gaugesOf.flatMap((gauges) => [...gauges.keys()])));
  return [...names].slice(0, 2).map((name, place) => legendEntry(root, { text: name, all: "" }, (pen) => {
    pen.fillStyle = PALETTE.line;
    pen.strokeStyle = PALETTE.accent;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(1, 10);
    pen.lineTo(12, 10);
    pen.lineTo(12, 3);
    pen.lineTo(29, 3);
    if (place) { pen.stroke(); return; }
    pen.lineTo(29, 12);
    pen.lineTo(1, 12);
    pen.fill();
  }));
}
