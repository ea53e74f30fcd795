// The head of the page: which run this is, its verdict, and what the seed drew. It folds to a line.

function buildHeads(runs, data) {
  document.title = data.title;
  const root = document.getElementById("heads");
  for (const run of runs) root.append(headOf(run, runs.length > 1 ? "AB"[run.index] : ""));
  document.body.classList.toggle("comparing", runs.length > 1);
  document.documentElement.style.setProperty("--when", runs.some((run) => run.end >= 1e6) ? "88px" : "66px");
  const fold = document.getElementById("fold");
  const turn = (isFolded) => {
    document.body.classList.toggle("folded", isFolded);
    fold.setAttribute("aria-expanded", String(!isFolded));
    fold.title = isFolded ? "Show the whole head (h)" : "Fold the head (h)";
  };
  fold.addEventListener("click", () => turn(!document.body.classList.contains("folded")));
  turn(innerHeight < (runs.some((run) => run.violation) ? HEAD_LEAST.violation : HEAD_LEAST.other));
}

/** In a window that is less high than this the head is folded at first; the facts of a violation are worth some room. */
const HEAD_LEAST = { violation: 760, other: 880 };

function headOf(run, letter) {
  const verdict = run.as_expected ? "pass" : run.verdict === "inconclusive" ? "unsure" : "fail";
  const words = run.verdict === "pass" ? "PASS" : run.as_expected ? `${run.verdict}, as expected` : run.verdict.toUpperCase();
  const head = make("header", { className: "head" });
  const title = make("div", { className: "head-title" });
  if (letter) title.append(make("span", { className: "letter", textContent: letter }));
  title.append(make("h1", { textContent: run.sim }), make("span", { className: "seed", textContent: `seed ${run.seed}` }), make("span", { className: `verdict verdict-${verdict}`, textContent: words }));
  for (const set of run.set) title.append(make("code", { className: "set", textContent: set }));
  head.append(title);
  if (run.about) head.append(make("p", { className: "about", textContent: run.about }));
  if (run.violation) head.append(violationBanner(run));
  else if (run.reason) head.append(make("p", { className: "banner banner-unsure", textContent: run.reason }));
  head.append(make("p", { className: "headline", textContent: headlineOf(run) }));
  if (run.drawn?.length) head.append(drawnLine(run.drawn));
  head.append(reproduceLine(run));
  return head;
}

function violationBanner(run) {
  const { violation } = run;
  const banner = make("div", { className: "banner banner-fail", role: "alert" });
  banner.append(make("div", { className: "banner-title" }, make("strong", { textContent: violation.invariant }), ` ${violation.message}`, make("span", { className: "when", textContent: ` at ${moment(violation.at_ms)} ` }), link(run.index, violation.record, `record ${number(violation.record)}`)));
  const facts = make("ul");
  for (const fact of violation.facts) facts.append(make("li", {}, make("span", { className: "when", textContent: moment(fact.at_ms) }), link(run.index, fact.record, fact.text)));
  banner.append(facts);
  return banner;
}

function reproduceLine(run) {
  const line = make("div", { className: "reproduce" });
  const copy = make("button", { type: "button", className: "copy", textContent: "Copy", "aria-label": "Copy the command that makes this run again" });
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(run.reproduce); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(line.querySelector("code")); }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  line.append(make("code", { textContent: run.reproduce }), copy, make("span", { className: "facts", textContent: [`${length(run.sim_ms)} ${run.live ? "of real time" : "simulated"}`, plural(run.count, "record"), run.live ? "live: not deterministic" : run.hash ? `hash ${run.hash}` : ""].filter(Boolean).join(" · ") }));
  return line;
}

/** What the seed drew of what the script left open: what it is, its value, and what it was drawn from. */
function drawnLine(drawn) {
  const list = make("dl", { className: "drawn", "aria-label": "What the seed drew" }, make("dt", { className: "drawn-title", textContent: "The seed drew" }));
  for (const { what, value, from } of drawn) {
    list.append(make("div", {}, make("dt", { textContent: what }), make("dd", {}, make("b", { textContent: value }), from ? make("span", { className: "empty", textContent: ` of ${from}` }) : "")));
  }
  return list;
}
