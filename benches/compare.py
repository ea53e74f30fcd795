#!/usr/bin/env python3
"""Simulated and live runs of Stormglass's own scripts side by side: what `stormglass live SIM --seeds A..B --compare` says of
each, as the table of src/guide/how_true.md.

  compare.py run [--missing] [SIM…]   makes the runs, one script after the other: Linux, with what live runs need
  compare.py table                    what was measured, as Markdown

STORM is the command (target/release/stormglass unless it is set; its services stand beside it), SEEDS how many seeds each script
has (10), JOBS how many live runs stand side by side (4: they wait most of the time). What is measured lies in target/compare.
The kernel's side wants a machine that does nothing else: the last column says within what time the relay handed 99 % on, and what is
measured has the load beside it.
"""
import json, os, platform, re, shutil, subprocess, sys, time

ROOT = os.path.normpath(f"{os.path.dirname(os.path.abspath(__file__))}/..")
OUT = f"{ROOT}/target/compare"
STORM = os.environ.get("STORM", f"{ROOT}/target/release/stormglass")
SEEDS = int(os.environ.get("SEEDS", "10"))
JOBS = os.environ.get("JOBS", "4")

# Of Raft: all scripts that no live run refuses, but those of clients, and those that end once somebody leads.
SIMS = """
echo/tcp-quiet echo/tcp-loss echo/tcp-partition-heals echo/tcp-server-crash echo/tcp-slow-reader echo/tcp-crowd echo/tcp-chaos
echo/udp-quiet echo/udp-loss echo/udp-burst-loss echo/udp-reorder echo/udp-duplicates echo/udp-oversize echo/chaos
balancer/backend-crash balancer/one-way balancer/packet-loss
raft/all-stand-still raft/cloudflare-2020 raft/cloudflare-2020@no-pre-vote raft/deaf-candidate
raft/delayed-request-vote-after-restart raft/disruptive-rejoin raft/double-vote-after-crash raft/dueling-candidates
raft/flapping-link raft/former-candidate-double-vote raft/leader-pause raft/lost-answers raft/mute-receiver raft/partial-mesh-1
raft/partial-mesh-2 raft/quorum-loss-hub raft/rolling-restart raft/simultaneous-boot raft/slow-disks raft/slow-links
raft/split-vote raft/split-vote-livelock raft/switch-restarts
""".split()


def path(sim):
    return f"{OUT}/{sim.replace('/', '-')}.json"


def load(sim):
    try:
        with open(path(sim)) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def run(sim):
    # As the relay does, what it joins runs before all else where it may: processes that wait for a processor are not the network.
    first = ["chrt", "--fifo", "5"] if os.geteuid() == 0 and shutil.which("chrt") else []
    command = [*first, STORM, "live", sim, "--seeds", f"0..{SEEDS}", "--jobs", JOBS, "--compare", "--json"]
    began, before = time.time(), os.getloadavg()[0]
    # A simulated disk takes no time unless the script says so: so the hosts' directories are in memory.
    env = {**os.environ, "TMPDIR": "/dev/shm"}
    child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    if child.returncode == 2:
        # What no real process can do is refused, and the table says so.
        data = {"refused": re.sub(r"^error: ", "", child.stderr.splitlines()[0])}
    else:
        data = json.loads(child.stdout)
    data |= {"date": time.strftime("%Y-%m-%d"), "kernel": platform.release(), "load": before}
    os.makedirs(OUT, exist_ok=True)
    with open(path(sim), "w") as file:
        json.dump(data, file)
    print(f"{sim}: {data.get('agreement', data.get('refused'))}, {time.time() - began:.0f} s, load {before:.1f}", flush=True)
    return child.returncode


def number(measure, side):
    value = measure[side]
    if value is None:
        return "-"
    if measure["unit"] == "ms":
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:.0f}" if value >= 100 or value == round(value) else f"{value:.1f}"


def ratio(measure):
    """`simulated / live = ratio`, and what is to be said of it."""
    both = f"{number(measure, 'simulated')} / {number(measure, 'live')}"
    if measure["distance"] == "alone":
        return both
    found = "-" if measure["ratio"] is None else f"{measure['ratio']:.2f}"
    mark = {"within": found, "tick": f"{found} (tick)", "chance": f"{found} (chance)", "off": f"**{found}**"}
    return f"{both} = {mark[measure['distance']]}"


def verdicts(report):
    of = lambda side: sorted({run[side]["verdict"] for run in report["runs"]})
    agree = sum(run["agreement"] == "agree" for run in report["runs"])
    words = " and ".join(of("live"))
    if report["agreement"] == "agree":
        return f"{agree} agree: {words}"
    return f"**{report['agreement']}**: {agree} of {len(report['runs'])}; {' and '.join(of('simulated'))} / {words}"


def counts(report):
    """How many counts are within their bounds, and which are not."""
    all = [measure for measure in report["measures"] if measure["percent"] is None]
    # Of what happens only inside of a process nobody tells.
    untold = [measure for measure in all if measure["group"] == "work" and measure["live"] == 0]
    told = [measure for measure in all if measure not in untold]
    off = [f"{measure['name']} {ratio(measure)}" for measure in told if measure["distance"] != "within"]
    names = ", ".join(f"{measure['name']} {number(measure, 'simulated')}" for measure in untold)
    none = [f"none live: {names}"] if untold else []
    return "; ".join([f"{len(told) - len(off)} of {len(told)}", *off, *none])


def table():
    for systems, has_times in ((("echo", "balancer"), True), (("raft",), False)):
        head = ["script", "verdicts", "counts within their bounds", *(["time", "p50", "p90", "p99"] if has_times else []), "late, us"]
        rows = []
        for sim in SIMS:
            report = load(sim)
            if report is None or sim.split("/")[0] not in systems:
                continue
            if "refused" in report:
                rows.append([sim, f"refused: {report['refused']}", *([""] * (len(head) - 2))])
                continue
            late = f"{1000 * report['relay_late']['p99_ms']:.0f}" if report["relay_late"] else ""
            begin = [sim, verdicts(report), counts(report)]
            if not has_times:
                rows.append([*begin, late])
                continue
            times = {}
            for measure in report["measures"]:
                if measure["percent"] is not None:
                    times.setdefault(measure["name"], {})[measure["percent"]] = ratio(measure)
            for name, of in (times or {"": {}}).items():
                rows.append([*begin, name, *(of.get(percent, "") for percent in (50, 90, 99)), late])
                begin, late = ["", "", ""], ""
        if rows:
            lines = [head, ["---"] * len(head), *rows]
            print("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")


def main():
    words = sys.argv[1:]
    if words[:1] == ["table"]:
        return table()
    if words[:1] != ["run"]:
        sys.exit(__doc__)
    sims = [word for word in words[1:] if word != "--missing"] or SIMS
    if "--missing" in words:
        sims = [sim for sim in sims if load(sim) is None]
    sys.exit(max((run(sim) for sim in sims), default=0))


if __name__ == "__main__":
    main()
