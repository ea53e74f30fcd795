// The steps of a script in words. A record of a step has the short form that the script's own display gives it; what this
// page does not know is left as it is written there, but for its units and arrows.

/** Who had which role when the step fired: `kill n1 (@leader = n1)`. */
const ROLES = / \((@[^()]*)\)$/;

/** A fault's first word, and between whom it is where that can be told. */
function parseFault(text) {
  const action = text.replace(ROLES, "");
  const verb = action.split(" ", 1)[0];
  if (verb === "partition") {
    const groups = [...action.matchAll(/\[([^\]]*)\]/g)].map((match) => match[1].split(/\s+/).filter(Boolean));
    return { verb, groups };
  }
  const cut = verb === "cut" && action.match(/^cut (.*) -> (.*)$/);
  if (cut) return { verb, groups: [cut[1].split(" "), cut[2].split(" ")], isOneWay: true };
  return { verb, groups: [] };
}

/** Whether a script's pattern names a host. */
function matchesHost(pattern, name) {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/** `latency 1ms..5ms` as a sentence has it: `latency 1 ms to 5 ms`; of a table, its entries; of a number, three digits. */
function spelled(text) {
  return text.replace(/\{ (.*?) \}/g, (_, entries) => entries.replace(/"/g, "").replace(/ = /g, " "))
    .replace(/\d+\.\d{3,}/g, (digits) => String(Number(Number(digits).toPrecision(3))))
    .replace(/(\d)(ns|us|µs|ms|s|min|h|B|KiB|MiB)\b/g, "$1 $2").replace(/\bus\b/g, "µs")
    .replace(/\.\./g, " to ").replace(/<->/g, "↔").replace(/->/g, "→");
}

function named(hosts) { return hosts.split(" ").join(", ").replace(/, ([^,]*)$/, " and $1"); }
function isOrAre(hosts, rest) { return `${named(hosts)} ${hosts.includes(" ") ? "are" : "is"} ${rest}`; }
function verbOf(hosts, one, many) { return `${named(hosts)} ${hosts.includes(" ") ? many : one}`; }

/** `1 RequestVote n1 -> n2`: which messages a step holds or drops. */
function messagesOf(rule) {
  const [, count, message, from, to] = rule.match(/^(?:(\d+) )?(?:([A-Z]\S*) )?(.*?) -> (.*)$/) ?? [];
  if (!from) return null;
  const what = message ?? (count && count !== "1" ? "packets" : "packet");
  const which = !count ? `every ${what}` : count === "1" ? `the next ${what}` : `the next ${count} ${what}`;
  const any = (hosts) => (hosts === "*" ? "any host" : named(hosts));
  return { words: `${which} from ${any(from)} to ${any(to)}`, isOne: !count || count === "1" };
}

function ruled(rule, done) {
  const found = messagesOf(rule);
  return found && `${found.words} ${found.isOne ? "is" : "are"} ${done}`;
}

const DISK_FAULTS = {
  "sync-fails": "syncs fail", "sync-hangs": "syncs hang", "no-space": "no space is left", "torn-writes": "writes are torn",
  "bit-flip": "a bit flips", emptied: "it comes back empty",
};

/** What each step of the testbed does, from what stands behind its first word. Null: it is written in a way unknown here. */
const STEP_WORDS = {
  heal: () => "all faults end",
  release: () => "what is held goes on its way",
  kill: (hosts) => isOrAre(hosts, "killed"),
  power: (hosts) => verbOf(hosts, "loses power", "lose power"),
  pause: (hosts) => isOrAre(hosts, "paused"),
  resume: (hosts) => verbOf(hosts, "goes on", "go on"),
  restart: (hosts) => verbOf(hosts, "starts again", "start again"),
  hold: (rule) => ruled(rule, "held"),
  drop: (rule) => ruled(rule, "dropped"),
  link: (rule) => `the link ${spelled(rule)}`,
  disk: (rule) => {
    const [, hosts, sync, fault] = rule.match(/^(.*?):(?: sync (.*?))?(?: ([a-z]+-[a-z]+|emptied))?$/) ?? [];
    const disk = hosts && `the disk of ${named(hosts)}`;
    const words = [sync && `a sync to ${disk} takes ${spelled(sync)}`, fault && `${disk}: ${DISK_FAULTS[fault] ?? fault}`].filter(Boolean);
    return words.join("; ") || null;
  },
};

/** Steps that a system has of its own: from their table. Null: it has no sentence here, and is listed. */
const SYSTEM_WORDS = {
  raft: ({ pin, timeout, jump, by, transfer_to: to }) => {
    if (jump && by) return `the clock of ${listed(jump)} jumps ahead by ${spelled(by)}`;
    if (pin && timeout) return `the election timeout of ${listed(pin)} is ${spelled(timeout)}`;
    return to ? `the leader is told to hand over to ${to}` : null;
  },
  balancer: ({ load, stop, backend, ...rest }) => {
    if (load !== undefined) return `the load is ${number(load)} requests a second`;
    if (stop) return `${listed(stop)} ${Array.isArray(stop) && stop.length > 1 ? "are" : "is"} told to stop`;
    if (backend) return Object.keys(rest).length ? `${listed(backend)}: ${tableWords(rest)}` : `${listed(backend)} ${Array.isArray(backend) && backend.length > 1 ? "are" : "is"} well again`;
    return null;
  },
};

function listed(value) { return named([value].flat().join(" ")); }

/** What a fault does, in a sentence's words. */
function faultWords(fault, action) {
  const roles = action.match(ROLES)?.[1].split("; ").map((role) => role.replace(/^@(\S+) = (.*)$/, (_, who, hosts) => `${spaced(who)}: ${named(hosts)}`));
  const words = bareWords(fault, action.replace(ROLES, ""));
  return roles ? `${words} (${roles.join("; ")})` : words;
}

function bareWords({ verb, groups, isOneWay }, action) {
  const sides = groups.map((group) => group.join(" "));
  if (verb === "partition" && sides.length > 1) return `cut off from each other: ${sides.join(" | ")}`;
  if (verb === "partition" && sides.length === 1) return `cut off from all others: ${sides[0]}`;
  if (isOneWay) return `nothing passes from ${named(sides[0])} to ${named(sides[1])}`;
  const rest = action.slice(verb.length + 1);
  return STEP_WORDS[verb]?.(rest) ?? ownWords(verb, rest) ?? spelled(action);
}

/** A step of a system's own: `raft pin = "n1", timeout = "155ms"`. */
function ownWords(system, rest) {
  const table = readTable(rest);
  return table && (SYSTEM_WORDS[system]?.(table) ?? `${system}: ${tableWords(table)}`);
}

/** A short name for a fault's bar. */
function faultName({ verb, groups, isOneWay, action }) {
  const sides = groups.map((group) => group.join(" "));
  if (verb === "partition" && sides.length) return `partition  ${sides.join(" ✕ ")}`;
  if (isOneWay) return `cut  ${sides[0]} ⇥ ${sides[1]}`;
  return bareWords({ verb, groups, isOneWay }, action.replace(ROLES, ""));
}

/** Each entry of a table in words: `close 50 %` is `close 0.5`, a list is joined, a table within stands in brackets. */
function tableWords(table) {
  return Object.entries(table).map(([key, value]) => (value === true ? spaced(key) : `${spaced(key)} ${valueWords(value)}`)).join(", ");
}

function valueWords(value) {
  if (Array.isArray(value)) return value.map(valueWords).join(", ");
  if (value && typeof value === "object") return `(${tableWords(value)})`;
  return typeof value === "string" ? (/^\d/.test(value) ? spelled(value) : value) : String(value);
}

/** Reads `key = value, …` as TOML writes it on one line; null if it is not that. */
function readTable(text) {
  let at = 0;
  const skip = () => { while (text[at] === " ") at++; };
  const take = (pattern) => {
    skip();
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) at = pattern.lastIndex;
    return match?.[0];
  };
  const entries = (close) => {
    const table = {};
    for (skip(); !(close ? text[at] === close : at >= text.length); take(/,/y)) {
      const key = take(/[\w-]+/y);
      if (!key || !take(/=/y)) throw new SyntaxError(text);
      table[key] = value();
      skip();
    }
    return table;
  };
  const value = () => {
    skip();
    if (text[at] === '"') return JSON.parse(take(/"(?:[^"\\]|\\.)*"/y) ?? "");
    if (text[at] === "{") { at++; const table = entries("}"); at++; return table; }
    if (text[at] === "[") {
      at++;
      const list = [];
      for (skip(); text[at] !== "]"; take(/,/y), skip()) list.push(value());
      at++;
      return list;
    }
    const word = take(/[^\s,\]}]+/y);
    if (!word) throw new SyntaxError(text);
    return word === "true" ? true : word === "false" ? false : Number.isNaN(Number(word)) ? word : Number(word);
  };
  try { return text ? entries("") : null; } catch { return null; }
}
