// Numbers and times as a person reads them.

const grouped = new Intl.NumberFormat("en-US");
function number(value) { return grouped.format(value); }
function plural(count, one, many = one + "s") { return `${number(count)} ${count === 1 ? one : many}`; }

/** A moment: seconds, with as many digits as the step between two neighbours asks for. */
function moment(ms, step = 1) {
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : step >= 1 ? 3 : step >= 0.001 ? 6 : 9;
  return `${seconds(ms, digits)} s`;
}

/** Seconds with that many digits, and their thousands apart. */
function seconds(ms, digits) {
  const [whole, part] = (ms / 1000).toFixed(digits).split(".");
  return number(Number(whole)) + (part ? `.${part}` : "");
}

/** A moment with what it has of microseconds, and no zeros for what it has not. */
function exactMoment(ms) { return `${seconds(ms, 6).replace(/0{1,3}$/, "")} s`; }

/** A length of time, in three digits; whole seconds where they are a thousand and more. */
function length(ms) {
  if (!Number.isFinite(ms)) return "until the end";
  for (const [unit, size] of [["µs", 1e-3], ["ms", 1], ["s", 1000]]) {
    const value = Number((ms / size).toPrecision(3));
    if (value < 1000) return `${value} ${unit}`;
  }
  return `${number(Math.round(ms / 1000))} s`;
}
