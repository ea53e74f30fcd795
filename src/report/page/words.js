// Words and numbers as a person reads them.

const TRANSPORTS = { udp: "UDP", "tcp-syn": "TCP SYN", "tcp-data": "TCP data", "tcp-fin": "TCP FIN", "tcp-rst": "TCP RST" };

function transportName(run, n) {
  const transport = run.field(n, "transport");
  return TRANSPORTS[transport] || transport || "packet";
}

const grouped = new Intl.NumberFormat("en-US");
function number(value) { return grouped.format(value); }
function plural(count, one, many = one + "s") { return `${number(count)} ${count === 1 ? one : many}`; }

/** A moment: seconds, with as many digits as the step between two neighbours asks for. */
function moment(ms, step = 1) {
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : step >= 1 ? 3 : step >= 0.001 ? 6 : 9;
  return (ms / 1000).toFixed(digits) + " s";
}

/** A length of time. */
function length(ms) {
  if (!Number.isFinite(ms)) return "until the end";
  if (ms >= 1000) return trim((ms / 1000).toPrecision(3)) + " s";
  if (ms >= 1) return trim(ms.toPrecision(3)) + " ms";
  return trim((ms * 1000).toPrecision(3)) + " µs";
}
function trim(digits) { return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits; }

/** A name as it reads in a sentence: `became-leader` is `became leader`. */
function spaced(name) { return name.replace(/[-_]/g, " "); }

function packetWords(run, n) {
  const tx = run.tx[run.txOf[n]];
  if (!tx) return `packet ${run.field(n, "packet")}`;
  const { packet } = tx;
  const detail = run.field(packet.sent, "detail");
  return `${packet.name}${detail ? ` (${detail})` : ""} ${run.hosts[packet.from].name} → ${run.hosts[packet.to].name}`;
}

const LOSSES = {
  loss: "the link lost it", burst: "the link lost it, in a burst", partition: "a partition is in the way",
  dropped: "a step of the script drops it", "host-down": "the receiving machine is down", "no-socket": "nothing listens there",
  "buffer-full": "the receive buffer is full", "sender-down": "the sending machine lost power before it left",
  "connection-gone": "the connection was given up",
};

/** One record in words. */
function recordWords(run, n) {
  const field = (key) => run.field(n, key);
  switch (run.kind(n)) {
    case "started": return field("incarnation") ? `started again, incarnation ${field("incarnation")}` : "started";
    case "finished": return "finished";
    case "failed": return `ended with an error: ${field("message")}`;
    case "panicked": return `panicked: ${field("message")}`;
    case "killed": return "was killed";
    case "power-lost": return "lost power";
    case "paused": return "was paused";
    case "resumed": return "goes on";
    case "sent": return `sent ${packetWords(run, n)}`;
    case "lost": return `lost ${packetWords(run, n)}: ${LOSSES[field("reason")] || field("reason")}`;
    case "retransmitted": return `sent again ${packetWords(run, n)}, attempt ${field("attempt")}`;
    case "given-up": return `gave up ${packetWords(run, n)} after ${plural(field("attempts"), "try", "tries")}`;
    case "duplicated": return `the network copied ${packetWords(run, n)}`;
    case "corrupted": return `the network flipped bit ${field("bit")} of ${packetWords(run, n)}`;
    case "held": return `a step holds ${packetWords(run, n)}`;
    case "released": return `released ${packetWords(run, n)}`;
    case "delivered": return `received ${packetWords(run, n)}${field("attempt") ? `, attempt ${field("attempt")}` : ""}`;
    case "fault": return faultWords(parseFault(field("action")), field("action"));
    case "fault-ended": return `over: ${faultWords(parseFault(field("action")), field("action"))}`;
    case "violated": return `VIOLATED ${field("invariant")}: ${field("message")}`;
    case "ended": return `the run is over: ${field("verdict")}`;
    case "event": return eventWords(run, n);
    default: return otherWords(run, n);
  }
}

function eventWords(run, n) {
  const fields = run.eventFields(n).filter(([, value]) => value !== false).map(([key, value]) => (value === true ? spaced(key) : `${spaced(key)} ${value}`));
  return spaced(run.field(n, "name")) + (fields.length ? `: ${fields.join(", ")}` : "");
}

/** A record of a kind that this page has no sentence for. */
function otherWords(run, n) {
  const keys = Object.keys(run.shapes[run.shapeOf[n]].columns);
  return [spaced(run.kind(n)), ...keys.map((key) => `${key}=${run.field(n, key)}`)].join(" ");
}

/** What a fault does, in a sentence's words. */
function faultWords({ verb, groups, isOneWay }, action) {
  const sides = groups.map((group) => group.join(" "));
  if (verb === "partition" && sides.length > 1) return `cut off from each other: ${sides.join(" | ")}`;
  if (verb === "partition" && sides.length === 1) return `cut off from all others: ${sides[0]}`;
  if (isOneWay) return `nothing passes from ${sides[0]} to ${sides[1]}`;
  return action;
}

/** A short name for a fault's bar. */
function faultName({ verb, groups, isOneWay, action }) {
  const sides = groups.map((group) => group.join(" "));
  if (verb === "partition" && sides.length) return `partition  ${sides.join(" ✕ ")}`;
  if (isOneWay) return `cut  ${sides[0]} ⇥ ${sides[1]}`;
  return action;
}

function isSystemic(run, n) {
  const kind = run.kind(n);
  return kind !== "sent" && kind !== "delivered" && kind !== "retransmitted";
}
