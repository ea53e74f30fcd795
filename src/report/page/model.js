// A run as the page works with it: the embedded columns decoded, and what follows from them.
//
// Times are milliseconds of simulated time. A transmission is one try to bring one packet over: a packet that is sent
// again has several, a copy has its own.

const FATES = ["delivered", "late", "duplicate", "corrupted", "lost", "under way"];
const DELIVERED = 0, LATE = 1, DUPLICATE = 2, CORRUPTED = 3, LOST = 4, UNDER_WAY = 5;
const NEVER = Number.POSITIVE_INFINITY;

function fateOfArrival({ packet, attempt, isHeld }) {
  return packet.isCorrupted ? CORRUPTED : packet.isCopy ? DUPLICATE : attempt > 0 || isHeld ? LATE : DELIVERED;
}

class Run {
  constructor(data, index) {
    Object.assign(this, data);
    this.index = index;
    this.count = data.columns.shape.length;
    this.hostIndex = new Map(data.hosts.map((host, i) => [host.name, i]));
    this.decode(data.columns);
    this.columns = null;
    this.linkCauses();
    this.collectTransmissions();
    this.collectFaults();
    this.collectHosts();
    this.collectRequests();
    collectGauges(this);
    this.end = Math.max(data.sim_ms, this.count ? this.t[this.count - 1] : 0, 1e-3);
    this.bands = this.hosts.map((_, host) => new Band(this, host));
    this.drawnUntil = this.tx1.map((t1, i) => (this.txFate[i] === LOST ? Math.max(t1, this.tx0[i] + this.usualLatency * 0.55) : Math.min(t1, this.end)));
  }

  decode(columns) {
    const n = this.count;
    this.t = new Float64Array(n);
    this.host = Int16Array.from(columns.host);
    this.cause = new Int32Array(n);
    this.shapeOf = Uint16Array.from(columns.shape);
    this.row = new Uint32Array(n);
    const rows = new Uint32Array(this.shapes.length);
    this.byTimer = new Uint8Array(n);
    for (const i of columns.timer) this.byTimer[i] = 1;
    let ns = 0;
    for (let i = 0; i < n; i++) {
      ns += columns.dt_ns[i];
      this.t[i] = ns / 1e6;
      this.cause[i] = columns.back[i] === 0 ? -1 : i - columns.back[i];
      this.row[i] = rows[this.shapeOf[i]]++;
    }
  }

  kind(n) { return this.shapes[this.shapeOf[n]].kind; }

  /** One field of a record, or undefined. */
  field(n, key) {
    const column = this.shapes[this.shapeOf[n]].columns[key];
    if (!column) return undefined;
    const value = (column.words || column.values)[this.row[n]];
    return column.words && value !== null ? this.words[value] : value;
  }

  /** An event's own fields, in order; keys without the prefix. */
  eventFields(n) { return this.fieldsUnder(n, "fields."); }

  fieldsUnder(n, prefix) {
    const keys = Object.keys(this.shapes[this.shapeOf[n]].columns).filter((key) => key.startsWith(prefix));
    return keys.map((key) => [key.slice(prefix.length), this.field(n, key)]);
  }

  hostName(n) { return this.host[n] < 0 ? null : this.hosts[this.host[n]].name; }

  /** Effects of every record, as one array with offsets. */
  linkCauses() {
    const n = this.count;
    this.effectAt = new Uint32Array(n + 1);
    for (let i = 0; i < n; i++) if (this.cause[i] >= 0) this.effectAt[this.cause[i] + 1]++;
    for (let i = 0; i < n; i++) this.effectAt[i + 1] += this.effectAt[i];
    this.effect = new Uint32Array(this.effectAt[n]);
    const next = this.effectAt.slice();
    for (let i = 0; i < n; i++) if (this.cause[i] >= 0) this.effect[next[this.cause[i]]++] = i;
  }

  effectsOf(n) { return this.effect.subarray(this.effectAt[n], this.effectAt[n + 1]); }

  /** The records that led to this one, nearest first. */
  causesOf(n) {
    const path = [];
    for (let at = this.cause[n]; at >= 0; at = this.cause[at]) path.push(at);
    return path;
  }

  /** Everything that this record led to, at most `limit` records. */
  consequencesOf(n, limit) {
    const found = [], queue = [n];
    while (queue.length && found.length < limit) {
      for (const effect of this.effectsOf(queue.shift())) { found.push(effect); queue.push(effect); }
    }
    return found;
  }

  collectTransmissions() {
    const packets = new Map();
    const list = [];
    this.txOf = new Int32Array(this.count).fill(-1);
    const begin = (n, packet, attempt) => {
      const id = list.length;
      list.push({ id, packet, attempt, before: packet.txs[attempt - 1] ?? -1, begin: n, end: -1, fate: UNDER_WAY, isHeld: false });
      this.txOf[n] = id;
      packet.txs[attempt] = id;
    };
    const close = (n, packet, fate) => {
      const id = packet.txs[this.field(n, "attempt")];
      if (id === undefined) return;
      list[id].end = n;
      this.txOf[n] = id;
      list[id].fate = fate ?? fateOfArrival(list[id]);
    };
    const known = {
      retransmitted: (n, packet) => { packet.tries++; begin(n, packet, this.field(n, "attempt")); },
      duplicated: (n, packet) => {
        const copy = { ...packet, id: this.field(n, "copy"), isCopy: true, txs: [] };
        packets.set(copy.id, copy);
        begin(n, copy, 0);
      },
      corrupted: (n, packet) => { packet.isCorrupted = true; },
      held: (n, packet) => { list[packet.txs[0]].isHeld = true; },
      delivered: (n, packet) => close(n, packet),
      lost: (n, packet) => close(n, packet, LOST),
    };
    for (let n = 0; n < this.count; n++) {
      const kind = this.kind(n);
      if (kind === "event") continue;
      if (kind === "sent") {
        const packet = this.packetOfSent(n);
        packets.set(packet.id, packet);
        begin(n, packet, 0);
        continue;
      }
      const packet = packets.get(this.field(n, "packet"));
      if (!packet) continue;
      known[kind]?.(n, packet);
      if (this.txOf[n] < 0) this.txOf[n] = packet.txs[0] ?? -1;
    }
    this.tx = list;
    this.packTransmissions();
  }

  packetOfSent(n) {
    const host = (key) => this.hostIndex.get(this.field(n, key));
    const name = this.field(n, "label") || transportName(this, n);
    return { id: this.field(n, "packet"), sent: n, from: host("from"), to: host("to"), name, isCopy: false, isCorrupted: false, tries: 1, txs: [], words: null };
  }

  /** The same in typed arrays, for drawing: ordered by their beginning. */
  packTransmissions() {
    const n = this.tx.length;
    this.names = [...new Set(this.tx.map((tx) => tx.packet.name))].sort();
    const nameIndex = new Map(this.names.map((name, i) => [name, i]));
    this.tx0 = new Float64Array(n);
    this.tx1 = new Float64Array(n);
    this.txFrom = new Uint16Array(n);
    this.txTo = new Uint16Array(n);
    this.txFate = new Uint8Array(n);
    this.txName = new Uint16Array(n);
    const usual = new Float64Array(n);
    let arrived = 0;
    this.tx.forEach((tx, i) => {
      this.tx0[i] = this.t[tx.begin];
      this.tx1[i] = tx.end < 0 ? NEVER : this.t[tx.end];
      this.txFrom[i] = tx.packet.from;
      this.txTo[i] = tx.packet.to;
      this.txFate[i] = tx.fate;
      this.txName[i] = nameIndex.get(tx.packet.name);
      if (tx.fate !== LOST && tx.fate !== UNDER_WAY) usual[arrived++] = this.tx1[i] - this.tx0[i];
    });
    this.lost = Int32Array.from(this.tx.filter((tx) => tx.fate === LOST), (tx) => tx.id);
    this.usualLatency = arrived ? usual.subarray(0, arrived).sort()[arrived >> 1] : 1;
  }

  /** The transmissions that began in a span of time and were lost. */
  lostBetween(t0, t1) {
    const at = placeWhere(this.lost.length, (i) => this.tx0[this.lost[i]] >= t0);
    return this.lost.subarray(at, placeWhere(this.lost.length, (i) => this.tx0[this.lost[i]] > t1));
  }

  /** Spans of time in which a fault lasts: until its end, a `heal`, or the end of the run. */
  collectFaults() {
    this.faults = [];
    const open = [];
    const close = (fault, n) => { fault.end = n; fault.t1 = this.t[n]; };
    const isFault = this.shapes.map(({ kind }) => kind === "fault" || kind === "fault-ended");
    for (let n = 0; n < this.count; n++) {
      if (!isFault[this.shapeOf[n]]) continue;
      const kind = this.kind(n);
      if (kind === "fault-ended") {
        const at = open.findIndex((fault) => fault.step === this.field(n, "step"));
        if (at >= 0) close(open.splice(at, 1)[0], n);
      }
      if (kind !== "fault") continue;
      const action = this.field(n, "action");
      const fault = { step: this.field(n, "step"), action, begin: n, end: -1, t0: this.t[n], t1: NEVER, ...parseFault(action) };
      if (fault.verb === "heal" || fault.verb === "release") {
        for (const was of open.filter((was) => fault.verb === "heal" || was.verb === "hold")) close(was, n);
        for (let i = open.length; i--;) if (open[i].end >= 0) open.splice(i, 1);
      } else if (fault.verb === "restart" || fault.verb === "resume") {
        for (let i = open.length; i--;) {
          const isUndone = ["kill", "power", "pause"].includes(open[i].verb) && open[i].action.replace(ROLES, "").endsWith(fault.action.replace(ROLES, "").split(" ").slice(1).join(" "));
          if (isUndone) { close(open[i], n); open.splice(i, 1); }
        }
      }
      fault.isSpan = SPANNING.includes(fault.verb);
      if (fault.isSpan) open.push(fault); else { fault.t1 = fault.t0; fault.end = n; }
      this.faults.push(fault);
    }
    let rows = [];
    for (const fault of this.faults.filter((fault) => fault.isSpan)) {
      let row = rows.findIndex((until) => until <= fault.t0);
      if (row < 0) row = rows.push(0) - 1;
      rows[row] = fault.t1;
      fault.row = row;
    }
    this.faultRows = rows.length;
  }

  /** For every host, when it is alive, paused or dead, and what it is in its system's words. */
  collectHosts() {
    this.lives = this.hosts.map(() => [{ t: 0, n: -1, life: "not started" }]);
    this.recordsOf = this.hosts.map(() => []);
    this.marksOf = this.hosts.map(() => []);
    const lifeOfShape = this.shapes.map(({ kind }) => LIVES[kind]);
    for (let n = 0; n < this.count; n++) {
      if (this.host[n] < 0) continue;
      this.recordsOf[this.host[n]].push(n);
      if (this.txOf[n] < 0 && isSystemic(this, n)) this.marksOf[this.host[n]].push(n);
      const life = lifeOfShape[this.shapeOf[n]];
      if (life) this.lives[this.host[n]].push({ t: this.t[n], n, life });
    }
    this.stateOf = this.hosts.map(() => []);
    /** What changes of state are called in the story, by their record. */
    this.becomes = new Map();
    for (const [n, host, state, detail] of this.states) {
      this.stateOf[host].push({ t: this.t[n], n, state, detail });
      this.becomes.set(n, `${this.hosts[host].name} becomes ${stateWords({ state, detail })}`);
    }
  }

  collectRequests() {
    this.spans = this.requests.map(([begin, end, host, name, failure]) => ({
      begin, end: end ?? -1, host, name, failure, t0: this.t[begin], t1: end === null ? NEVER : this.t[end],
    }));
    this.slowest = this.spans.reduce((most, span) => (span.end < 0 ? most : Math.max(most, span.t1 - span.t0)), 0);
  }

  /** The last entry of an ordered list at or before a time. */
  static at(list, t) {
    const at = firstBefore(list, t);
    return list.length && list[at].t <= t ? list[at] : null;
  }

  /** The number of records up to a time. */
  recordsUntil(t) { return upperBound(this.t, t); }

  /** A host's last record at or before a time. */
  lastOf(host, t) {
    const list = this.recordsOf[host];
    const after = placeWhere(list.length, (at) => this.t[list[at]] > t);
    return after ? list[after - 1] : -1;
  }
}

const SPANNING = ["partition", "cut", "link", "disk", "kill", "power", "pause", "hold", "drop"];
const LIVES = {
  started: "alive", resumed: "alive", paused: "paused", killed: "dead", "power-lost": "without power",
  finished: "finished", failed: "failed", panicked: "panicked",
};
