// The vocabulary: what the names in a trace are called here. A kind of packet, a reason or a kind of record that is new
// needs a line in one of these tables, and is shown under its own name until it has it.

/** Kinds of packets. */
const TRANSPORTS = {
  udp: "UDP", "tcp-syn": "TCP SYN", "tcp-syn-ack": "TCP SYN-ACK", "tcp-ack": "TCP ACK", "tcp-data": "TCP data", "tcp-fin": "TCP FIN",
  "tcp-rst": "TCP RST",
};

/** Packets that say nothing of their own: their arrows are thin, and have no label. */
const QUIET = new Set(["TCP ACK"]);

/** Why a segment was sent again, where its record says so. */
const RESENDINGS = {
  fast: "fast retransmission, later ones arrived", probe: "tail loss probe, nothing was heard for two round trips", timeout: "timeout",
  "after-timeout": "lost with what the timeout was of", asked: "the other end asked again",
};

/** Why a transmission was lost. */
const LOSSES = {
  loss: "the link lost it", burst: "the link lost it, in a burst", partition: "a partition is in the way",
  dropped: "a step of the script drops it", "host-down": "the receiving machine is down", "no-socket": "nothing listens there",
  "buffer-full": "the receive buffer is full", "sender-down": "the sending machine lost power before it left",
  "connection-gone": "the connection was given up", checksum: "a bit was flipped, and its checksum told",
};

/** Each kind of record as a sentence of its host; `field` reads one of the record's own. */
const SENTENCES = {
  started: (run, n, field) => (field("incarnation") ? `started again, incarnation ${field("incarnation")}` : "started"),
  finished: () => "finished",
  failed: (run, n, field) => `ended with an error: ${field("message")}`,
  panicked: (run, n, field) => `panicked: ${field("message")}`,
  killed: () => "was killed",
  "power-lost": () => "lost power",
  paused: () => "was paused",
  resumed: () => "goes on",
  sent: (run, n) => `sent ${packetWords(run, n)}`,
  lost: (run, n, field) => `lost ${packetWords(run, n)}: ${LOSSES[field("reason")] || field("reason")}`,
  retransmitted: (run, n, field) => `sent again ${packetWords(run, n)}, attempt ${field("attempt")}${resendingWords(field)}`,
  "given-up": (run, n, field) => `gave up ${packetWords(run, n)} after ${plural(field("attempts"), "try", "tries")}`,
  duplicated: (run, n) => `the network copied ${packetWords(run, n)}`,
  corrupted: (run, n, field) => `the network flipped bit ${field("bit")} of ${packetWords(run, n)}`,
  held: (run, n) => `a step holds ${packetWords(run, n)}`,
  released: (run, n) => `released ${packetWords(run, n)}`,
  delivered: (run, n, field) => `received ${packetWords(run, n)}${field("attempt") ? `, attempt ${field("attempt")}` : ""}`,
  fault: (run, n, field) => faultWords(parseFault(field("action")), field("action")),
  "fault-ended": (run, n, field) => `over: ${faultWords(parseFault(field("action")), field("action"))}`,
  violated: (run, n, field) => `VIOLATED ${field("invariant")}: ${field("message")}`,
  ended: (run, n, field) => `the run is over: ${field("verdict")}`,
  event: (run, n, field) => eventWords(run, n, field("name")),
};

/** One record in words. */
function recordWords(run, n) {
  const sentence = SENTENCES[run.kind(n)];
  return sentence ? sentence(run, n, (key) => run.field(n, key)) : otherWords(run, n);
}

/** A record of a kind that has no sentence. */
function otherWords(run, n) {
  const keys = Object.keys(run.shapes[run.shapeOf[n]].columns).filter((key) => key !== "payload_hex" && run.field(n, key) !== null);
  return `${spaced(run.kind(n))}: ${keys.map((key) => `${spaced(key)} ${run.field(n, key)}`).join(", ")}`;
}

function transportName(run, n) {
  const transport = run.field(n, "transport");
  return TRANSPORTS[transport] || transport || "packet";
}

function packetWords(run, n) {
  const tx = run.tx[run.txOf[n]];
  if (!tx) return `packet ${run.field(n, "packet")}`;
  const { packet } = tx;
  if (packet.words === null) {
    const detail = run.field(packet.sent, "detail");
    packet.words = `${packet.name}${detail ? ` (${detail})` : ""} ${run.hosts[packet.from].name} → ${run.hosts[packet.to].name}`;
  }
  return packet.words;
}

function resendingWords(field) {
  const why = field("why");
  return why ? `: ${RESENDINGS[why] || spaced(why)}` : "";
}

function eventWords(run, n, name) {
  const fields = run.eventFields(n).filter(([, value]) => value !== false).map(([key, value]) => eventFieldWords(key, value).filter(Boolean).join(" "));
  return spaced(name) + (fields.length ? `: ${fields.join(", ")}` : "");
}

/** A name as it reads in a sentence: `became-leader` is `became leader`. */
function spaced(name) { return name.replace(/[-_]/g, " "); }

const UNITS_MS = { ns: 1e-6, us: 1e-3, ms: 1 };

/** An event's field as its name and its value in words; a field that is just true is its name. */
function eventFieldWords(key, value) {
  if (value === true) return [spaced(key), ""];
  const [, name, unit] = key.match(/^(\w+)_(ns|us|ms)$/) ?? [];
  if (!unit || !Number.isFinite(Number(value))) return [spaced(key), String(value)];
  const ms = Number(value) * UNITS_MS[unit];
  return [spaced(name), /(^|_)(at|until)$/.test(name) ? exactMoment(ms) : length(ms)];
}

/** Whether a record is more than a packet that came and went. */
function isSystemic(run, n) {
  const kind = run.kind(n);
  return kind !== "sent" && kind !== "delivered" && kind !== "retransmitted";
}
