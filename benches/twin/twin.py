#!/usr/bin/env python3
"""Stormglass's simulated network against this machine's kernel, under the same loss and latency.

  twin.py build                    relay, cc.so and peer (Stormglass with one more system, as a release build), into target/twin
  twin.py sim    [CELL…] [--latency NAME]   the simulation's side
  twin.py kernel [CELL…] [--latency NAME]   the kernel's side: as root, on Linux
  twin.py grain  [CELL…] [--latency NAME]   the same, over a relay that hands packets on at whole milliseconds, as turmoil does:
                                   what is off without it and not with it comes of the tick
                                   --missing: only what was not measured yet; --loss X: only that loss
  twin.py table                    both next to each other, for src/guide/how_true.md

Cells: A pipeline 4, a request each 20 ms; B pipeline 1, back to back; C 2 MB one way; D connects; E after a cut of 1, 3 and
10 s; F UDP. Latencies: near, far, lopsided. What is measured lies in target/twin/out. Links stand side by side, and all that
the kernel's side runs is before everything else on the machine (SCHED_FIFO); the table says how late the relay was.
"""
import json, os, platform, re, shutil, signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from net import BUILT, HERE, Link

ROOT = os.path.normpath(f"{HERE}/../..")
STORM = os.environ.get("STORM", f"{BUILT}/peer")
OUT = f"{BUILT}/out"
EACH = [0, 0.01, 0.05, 0.1, 0.2]
LOSSES = {"A": EACH, "B": EACH, "C": [0, 0.01, 0.05], "D": [*EACH, 0.3], "E": [1, 3, 10], "F": EACH}
AT_ONCE = 8  # links of the kernel's side: they wait most of the time
# Server to client and client to server. The first is what the model's prototype was made with; the others it has not seen.
LATENCIES = {"near": ("1ms..5ms", "1ms..5ms"), "far": ("10ms..30ms", "10ms..30ms"), "lopsided": ("1ms..2ms", "5ms..15ms")}
MEASURES = {"A": ["rtt", "total"], "B": ["rtt", "total"], "C": ["bulk"], "D": ["connect"], "E": ["heal"], "F": ["rtt"]}


def save(side, cell, loss, latency, data):
    os.makedirs(OUT, exist_ok=True)
    with open(f"{OUT}/{side}-{cell}-{loss}-{latency}.json", "w") as file:
        json.dump({"load": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d"), **data}, file)
    print(side, cell, loss, latency, {key: len(value) for key, value in data.items() if isinstance(value, list)}, flush=True)


def load(side, cell, loss, latency):
    try:
        with open(f"{OUT}/{side}-{cell}-{loss}-{latency}.json") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def build():
    os.makedirs(BUILT, exist_ok=True)
    for command in (
        ["gcc", "-O2", "-Wall", "-o", f"{BUILT}/relay", f"{HERE}/relay.c"],
        ["gcc", "-O2", "-shared", "-fPIC", "-o", f"{BUILT}/cc.so", f"{HERE}/cc.c", "-ldl"],
        ["cargo", "build", "--release", "--target-dir", f"{ROOT}/target"],
    ):
        subprocess.run(command, check=True, cwd=HERE)
    shutil.copy2(f"{ROOT}/target/release/twin", f"{BUILT}/peer")


# The simulation

def settings(loss, latency):
    back, forth = LATENCIES[latency]
    links = [] if back == forth else [f'link=[{{ from = "server", to = "c*", latency = "{back}" }}]']
    return [f"network.loss={loss}", f'network.latency="{forth}"', *links]


def many(run, seeds):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, seeds))


def echo_run(sim, seed, *sets):
    """Round trips, totals and connect times of a run, in ms, and the times of the answers."""
    flags = [text for setting in sets for text in ("--set", setting)]
    child = subprocess.run([STORM, "show", f"{sim}:{seed}", "--json", *flags], capture_output=True, text=True)
    rtt, connect, answers, sent, began, done = [], [], [], {}, {}, {}
    for line in child.stdout.splitlines():
        if '"event"' not in line and '"started"' not in line:
            continue
        r = json.loads(line)
        if r["kind"] == "started":
            began[r["host"]] = r["t_ns"]
        if r["kind"] != "event":
            continue
        t, host, fields = r["t_ns"], r["host"], r["fields"]
        client = (host, fields.get("client"))
        if r["name"] == "connected":
            connect.append((t - began[host]) / 1e6)
        elif r["name"] == "sent":
            sent.setdefault((client, fields["id"]), t)
        elif r["name"] == "answered":
            rtt.append((t - sent[client, fields["id"]]) / 1e6)
            answers.append((client, t / 1e6))
            done[client] = t
    return rtt, [(t - began[host]) / 1e6 for (host, _), t in done.items()], connect, answers


def after(answers, end):
    """For each client the time from the end of a cut to its first answer after it."""
    by = {}
    for client, t in answers:
        by.setdefault(client, []).append(t)
    return [min(t for t in times if t > end) - end for times in by.values() if max(times) > end]


def sim(cell, loss, latency):
    sets = settings(0 if cell == "E" else loss, latency)
    joined = lambda runs, place: sum((run[place] for run in runs), [])
    # No two cells have a seed in common: what one of them draws by chance would be seen in all.
    first = 1000 * [(l, c, x) for l in LATENCIES for c in LOSSES for x in LOSSES[c]].index((latency, cell, loss))
    seeds = lambda count: range(first, first + count)
    # As on the kernel's side, all clients of a run are on one host.
    clients = lambda count: [f"echo.clients={count}", f"echo.clients_per_host={count}", "expect={}"]
    if cell in "AB":
        more = [] if cell == "A" else ["echo.pipeline=1", 'echo.interval="1us"']
        more += [*clients(30), 'echo.timeout="90s"', "echo.retries=20", 'duration="20m"']
        runs = many(lambda seed: echo_run("echo/tcp-loss", seed, *sets, *more), seeds(12))
        return {"rtt": joined(runs, 0), "total": joined(runs, 1)}
    if cell == "C":
        flags = [text for setting in sets for text in ("--set", setting)]
        def run(seed):
            child = subprocess.run([STORM, "run", "bulk/loss", "--seed", str(seed), *flags, "--json"], capture_output=True, text=True)
            return json.loads(child.stdout)["times"]["bulk"]["max_ms"]
        return {"bulk": many(run, seeds(160))}
    if cell == "D":
        more = [*clients(60), "echo.requests=1", 'echo.timeout="100s"', 'duration="200s"']
        return {"connect": joined(many(lambda seed: echo_run("echo/tcp-loss", seed, *sets, *more), seeds(40)), 2)}
    if cell == "E":
        def run(seed):
            begin = 497 + (seed - first) * 3
            steps = f'step=[{{ at = "{begin}ms", partition = [["server"], ["c*"]], for = "{loss}s" }}]'
            more = [*clients(40), "echo.pipeline=8", 'echo.timeout="90s"', "echo.retries=0", 'duration="200s"', steps]
            return after(echo_run("echo/tcp-loss", seed, *sets, *more)[3], begin + loss * 1000)
        return {"heal": sum(many(run, seeds(10)), [])}
    runs = many(lambda seed: echo_run("echo/udp-loss", seed, *sets, *clients(30), "echo.retries=50"), seeds(6))
    return {"rtt": joined(runs, 0)}


# The kernel

def script(loss, latency):
    back, forth = LATENCIES[latency]
    return f"""about = "a cell of the twin"
system = "echo"
duration = "1s"
[network]
loss = {loss}
latency = "{forth}"
[[link]]
from = "server"
to = "c1"
latency = "{back}"
"""


def values(lines, word, at):
    return [float(line[at]) for line in lines if line[0] == word]


def echoes(link, cell, loss):
    rtt, total = [], []
    # What is rare at heavy losses differs from one connection to the next by much.
    batches, batch = (6, 60) if loss >= 0.1 else (6, 30)
    how = {"pipeline": 4, "interval": 20} if cell == "A" else {"pipeline": 1, "interval": 0}
    for _ in range(batches):
        lines = link.client("echo", wait=300, clients=batch, requests=100, stagger=20 / batch, **how)
        rtt += values(lines, "a", 4)
        total += values(lines, "t", 2)
    return {"rtt": rtt, "total": total}


def bulks(link, loss):
    bulk, at_once, until = [], 1 if loss == 0 else 2 if loss < 0.05 else 8, time.time() + 300
    while len(bulk) < 160 and time.time() < until:
        bulk += values(link.client("bulk", wait=300, clients=at_once, stagger=5), "b", 2)
    return {"bulk": bulk}


def heals(link, cut):
    heal = []
    for batch in range(10):
        child = link.start("echo", clients=40, requests=100, pipeline=8, interval=20, stagger=0.5)
        time.sleep(0.5 + batch * 0.003)
        _, end = link.cut(cut * 1000)
        lines = link.lines(child)
        heal += [1000 * t for t in after([(line[1], float(line[3])) for line in lines if line[0] == "a"], end)]
    return {"heal": heal}


def datagrams(link):
    how = {"clients": 30, "requests": 100, "pipeline": 4, "interval": 20, "stagger": 0.66}
    return {"rtt": sum((values(link.client("udp", **how), "a", 4) for _ in range(6)), [])}


def connects(link):
    lines = sum((link.client("connect", clients=900, stagger=4, wait=130, limit=60) for _ in range(2)), [])
    return {"connect": values(lines, "c", 2) + [6e4] * len(values(lines, "x", 2))}


def grain(cell, loss, latency):
    return kernel(cell, loss, latency, grain=1000)


def kernel(cell, loss, latency, grain=None):
    packets = 1_000_000 if cell in "ABC" else 200_000
    with Link(script(0 if cell == "E" else loss, latency), seed=int(loss * 100) + ord(cell), packets=packets, grain=grain) as link:
        if cell in "AB":
            data = echoes(link, cell, loss)
        else:
            data = {"C": lambda: bulks(link, loss), "D": lambda: connects(link), "E": lambda: heals(link, loss), "F": lambda: datagrams(link)}[cell]()
    found = re.search(r"late on average (\d+) us, at most (\d+) us", link.report)
    return {**data, "late_us": int(found[1]), "late_max_us": int(found[2]), "kernel": platform.release()}


# The table

def quantile(numbers, q):
    numbers = sorted(numbers)
    return numbers[min(len(numbers) - 1, int(q * len(numbers)))]


def number(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}"


def table():
    for latency, ways in LATENCIES.items():
        rows = []
        for cell, losses in LOSSES.items():
            for measure in MEASURES[cell]:
                for loss, side in ((loss, side) for loss in losses for side in ("kernel", "grain")):
                    own, real = load("sim", cell, loss, latency).get(measure), load(side, cell, loss, latency).get(measure)
                    if not own or not real:
                        continue
                    cells = []
                    for q in (0.5, 0.9, 0.99):
                        if min(len(own), len(real)) * (1 - q) < 3.9:
                            cells.append("")
                            continue
                        s, k = quantile(own, q), quantile(real, q)
                        ratio = f"{s / k:.2f}"
                        bound = 0.15 if cell == "C" else 0.10
                        cells.append(f"{number(s)} / {number(k)} = " + (ratio if abs(s / k - 1) <= bound else f"**{ratio}**"))
                    limit = {"rtt": 100, "connect": 1500}.get(measure)
                    share = lambda all: f"{sum(ms > limit for ms in all) / len(all):.1%}"
                    late = f"{share(own)} / {share(real)}" if limit else ""
                    label = f"{loss} s" if cell == "E" else f"{loss:.0%}"
                    behind = load(side, cell, loss, latency)["late_us"]
                    rows.append(f"| {cell} {measure}{', whole ms' if side == 'grain' else ''} | {label} | {' | '.join(cells)} | {late} | {behind} |")
        if rows:
            print(f"\n{latency}: {ways[1]} there, {ways[0]} back\n\n| | loss | p50 | p90 | p99 | above 100 ms; D: 1.5 s | late, us |\n|---|---|---|---|---|---|---|")
            print("\n".join(rows))


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("build", "sim", "kernel", "grain", "table"):
        sys.exit(__doc__)
    side, rest = sys.argv[1], sys.argv[2:]
    rest = [word for word in rest if word != "--missing"]
    latencies = list(LATENCIES)
    chosen = None
    if "--loss" in rest:
        at = rest.index("--loss")
        chosen, rest = float(rest[at + 1]), rest[:at] + rest[at + 2:]
    if "--latency" in rest:
        at = rest.index("--latency")
        latencies, rest = [rest[at + 1]], rest[:at] + rest[at + 2:]
    if side in ("kernel", "grain") and (sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip")):
        sys.exit(f"twin.py {side} needs Linux, root and iproute2: it makes network namespaces")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that namespaces go
    if side in ("build", "table"):
        return globals()[side]()
    cells = [(latency, cell, loss) for latency in latencies for cell in rest or list(LOSSES) for loss in LOSSES[cell]
             if chosen is None or loss == chosen]
    # What takes long because it waits comes first.
    cells.sort(key=lambda each: (latencies.index(each[0]), each[1] == "C", -each[2]))
    if "--missing" in sys.argv:
        cells = [each for each in cells if not load(side, each[1], each[2], each[0])]

    def measure(each):
        latency, cell, loss = each
        try:
            save(side, cell, loss, latency, globals()[side](cell, loss, latency))
        except Exception as error:
            print(f"{side} {cell} {loss} {latency}: {error!r}", file=sys.stderr, flush=True)
            return 1
        return 0

    with ThreadPoolExecutor(1 if side == "sim" else AT_ONCE) as pool:
        sys.exit(sum(pool.map(measure, cells)) > 0)


if __name__ == "__main__":
    main()
