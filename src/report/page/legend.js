// What the colours of the bands and the hatching on the lanes mean, with the words of this run.

const LEGEND_WORDS_MOST = 3;

function buildLegend(root, runs, state) {
  const draws = [];
  for (const [tone, words] of tonesOf(runs)) {
    draws.push(legendEntry(root, words, (pen) => drawEntry({ x: (t) => t, left: 0, right: 30 }, pen, { tone, text: "", isLife: words.isLife }, 1, 29, 6, 12)));
  }
  if (runs.some((run) => run.faults.some((fault) => fault.groups.length))) draws.push(legendEntry(root, { text: "cut off from each other", all: "" }, drawSidesSwatch));
  if (runs.some((run) => run.faultRows)) draws.push(legendEntry(root, { text: "a fault", all: "" }, (pen) => { pen.fillStyle = PALETTE.fault; pen.fillRect(1, 0, 28, 12); }));
  draws.push(...gaugeLegend(root, runs));
  const draw = () => { for (const one of draws) one(); };
  state.listen((what) => { if (what === "theme") draw(); });
  draw();
}

function drawSidesSwatch(pen) {
  [["side-a", 1], ["side-b", -1]].forEach(([side, slant], place) => {
    pen.fillStyle = hatch(pen, PALETTE[side], slant);
    pen.fillRect(1 + place * 15, 0, 13, 12);
  });
}

/** Of each tone that is on a band, what it stands for there. */
function tonesOf(runs) {
  const tones = new Map();
  for (const run of runs) {
    for (const { list } of run.bands) {
      for (const { tone, text, isLife } of list) {
        const key = `${tone} ${isLife}`;
        if (!tones.has(key)) tones.set(key, { tone, isLife, names: new Set() });
        if (tones.get(key).names.size < 40) tones.get(key).names.add(text.split(",")[0] || "alive");
      }
    }
  }
  const order = ({ tone, isLife }) => TONES.indexOf(tone) + (isLife ? 10 : 0);
  const hasStates = [...tones.values()].some(({ tone, isLife }) => !isLife && tone !== "up");
  return [...tones.values()].filter(({ tone, names }) => !(tone === "up" && hasStates) && !(names.size === 1 && names.has("not started")))
    .sort((a, b) => order(a) - order(b)).map(({ tone, isLife, names }) => {
      const all = [...names].join(", ");
      return [tone, { isLife, all, text: names.size > LEGEND_WORDS_MOST ? `${[...names].slice(0, LEGEND_WORDS_MOST).join(", ")} …` : all }];
    });
}

function legendEntry(root, { text, all }, draw) {
  const swatch = make("canvas", { className: "legend-swatch", width: 60, height: 24, "aria-hidden": "true" });
  root.append(make("span", { className: "legend-entry", title: all }, swatch, text));
  return () => {
    const pen = swatch.getContext("2d");
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, 30, 12);
    draw(pen);
  };
}
