// What the page says and how it lies in a window: words, sizes, the cursor, the story.

import assert from "node:assert/strict";

const texts = (page, ...calls) => page.evaluate((calls) => calls.map((call) => (0, eval)(call)), calls);

export async function looks({ check, open, leader, records }) {
  await check("times and lengths read as words, at every size", async () => {
    const page = await open("long.html");
    const said = await texts(page, "length(2e6)", "length(999600)", "length(999.6)", "length(0.9996)", "length(734171000)", "length(20000)", "length(1.5)", "length(0)",
      "moment(2e6)", "moment(1234567.891, 0.1)", "moment(2e6, 1000)", "exactMoment(175.002)", "exactMoment(150)");
    assert.deepEqual(said, ["2,000 s", "1,000 s", "1 s", "1 ms", "734,171 s", "20 s", "1.5 ms", "0 µs",
      "2,000.000 s", "1,234.567891 s", "2,000 s", "0.175002 s", "0.150 s"]);
    const all = await page.evaluate(() => document.querySelector("main").innerText);
    assert.doesNotMatch(all, /\de\+\d/);
    assert.match(await page.textContent(".facts"), /^3,000 s simulated/);
    assert.ok(await page.locator(".story > li").count() < 60, "what repeats is told once");
    await page.done();
  });

  await check("a log is shown as it grows, and calls as they take", async () => {
    const page = await open("kv.html");
    const [first, last, calls, highest] = await texts(page, "gaugeWords(page.state.runs[0], 0, 0)", "gaugeWords(page.state.runs[0], 0, 6000)",
      "page.state.runs[0].spans.length", "page.state.runs[0].gaugeMost");
    assert.equal(first, "log 0");
    assert.equal(last, `log ${highest}, committed ${highest}`);
    assert.ok(highest > 100 && calls > 100);
    assert.match(await page.textContent("#legend"), /log.*committed/);
    await page.done();
  });

  await check("steps and timers are in words", async () => {
    const page = await open("long.html");
    const words = (action) => `faultWords(parseFault(${JSON.stringify(action)}), ${JSON.stringify(action)})`;
    const steps = {
      'raft pin = "n3", timeout = "100ms"': "the election timeout of n3 is 100 ms",
      'raft pin = ["n1", "n2"], timeout = "1h"': "the election timeout of n1 and n2 is 1 h",
      'raft transfer_to = "n2"': "the leader is told to hand over to n2",
      "balancer load = 500.0": "the load is 500 requests a second",
      'balancer backend = "b2", fail = 0.4, slow = "20ms..60ms"': "b2: fail 0.4, slow 20 ms to 60 ms",
      'balancer backend = ["b1", "b2"]': "b1 and b2 are well again",
      'balancer reload = { checks = { path = "/healthz" }, backend = [{ url = "http://b1:8081" }] }': "balancer: reload (checks (path /healthz), backend (url http://b1:8081))",
      'kv put = "x", odd = true': "kv: put x, odd",
      "kill n1 n2": "n1 and n2 are killed", "power n1": "n1 loses power", "restart n1": "n1 starts again", heal: "all faults end",
      "hold 1 RequestVote n1 -> n2": "the next RequestVote from n1 to n2 is held", "drop n1 -> *": "every packet from n1 to any host is dropped",
      "drop 3 SYN c1 -> n1 n2": "the next 3 SYN from c1 to n1 and n2 are dropped",
      "link c1 <-> server: latency 1ms..5ms, loss 1 %": "the link c1 ↔ server: latency 1 ms to 5 ms, loss 1 %",
      'link * -> *: latency { min = "10.5795ms", median = "21.159ms", p99 = "42.318ms" }': "the link * → *: latency min 10.6 ms, median 21.2 ms, p99 42.3 ms",
      "disk n1 n2: sync 1ms..5ms": "a sync to the disk of n1 and n2 takes 1 ms to 5 ms", "cut n1 -> n2 n3": "nothing passes from n1 to n2 and n3",
      'raft jump = ["n1", "n2"], by = "1h"': "the clock of n1 and n2 jumps ahead by 1 h",
      "disk n2: sync-fails": "the disk of n2: syncs fail",
      "disk n1: sync 1ms no-space": "a sync to the disk of n1 takes 1 ms; the disk of n1: no space is left",
      "kill n1 (@leader = n1)": "n1 is killed (leader: n1)",
      "frobnicate n1 by 3ms": "frobnicate n1 by 3 ms",
    };
    assert.deepEqual(await texts(page, ...Object.keys(steps).map(words)), Object.values(steps));
    await page.done();
    const raft = await open("raft.html");
    const all = await raft.evaluate(() => { const [run] = page.state.runs; return Array.from({ length: run.count }, (_, n) => recordWords(run, n)); });
    assert.ok(all.some((words) => /^booted: .*, timer at \d+\.\d{3,6} s$/.test(words)), "a timer has a moment");
    assert.deepEqual(all.filter((words) => / (us|ns) | = |[{}]/.test(words)), []);
    await raft.done();
  });

  await check("every kind of packet and every reason has a name, or shows its own", async () => {
    const page = await open("raft.html");
    const said = await page.evaluate(() => {
      const [run] = page.state.runs, known = run.field.bind(run);
      const n = run.tx[0].packet.sent, as = (kind, fields) => {
        run.kind = () => kind; run.field = (at, key) => (at === n && key in fields ? fields[key] : known(at, key));
        const words = recordWords(run, n);
        delete run.kind; delete run.field;
        return words;
      };
      return [as("retransmitted", { attempt: 1, why: "fast" }), as("retransmitted", { attempt: 1, why: "new-way" }), as("lost", { reason: "checksum" }), as("lost", { reason: "solar-flare" }), as("brand-new", {})];
    });
    assert.match(said[0], /^sent again .*, attempt 1: fast retransmission, later ones arrived$/);
    assert.match(said[1], /, attempt 1: new way$/);
    assert.match(said[2], /: a bit was flipped, and its checksum told$/);
    assert.match(said[3], /: solar-flare$/);
    assert.match(said[4], /^brand new: .*packet \d+/);
    await page.done();
  });

  await check("at 1024x700 every lane can be seen, and no name lies on another", async () => {
    for (const [name, hosts] of [["raft.html", 3], ["large.html", 7], ["compare.html", 3]]) {
      const page = await open(name, { width: 1024, height: 700 });
      const lanes = await page.evaluate(() => page.views.map(({ lanes }) => ({ lane: lanes.lane, ys: [...lanes.y.values()], overflow: lanes.overflow, top: lanes.top, bottom: lanes.bottom, rolls: lanes.box.scrollHeight - lanes.box.clientHeight })));
      for (const { lane, ys, overflow, top, bottom, rolls } of lanes) {
        assert.equal(ys.length, hosts);
        assert.ok(lane >= 50 && ys.every((y, i) => i === 0 || y - ys[i - 1] >= 50), `a lane of ${name} is ${lane} high`);
        assert.equal(rolls, overflow, "what has no room can be scrolled to");
        assert.ok(overflow || ys.at(-1) + lane / 2 <= bottom + 1, "else all is in sight");
        assert.ok(bottom - top > 60, `${name}: ${bottom - top} pixels for the lanes`);
      }
      await page.evaluate(() => { for (const { lanes } of page.views) lanes.box.scrollTop = 9999; });
      await page.settled();
      assert.ok(await page.evaluate(() => page.views.every(({ lanes }) => [...lanes.y.values()].at(-1) + lanes.band / 2 <= lanes.bottom)), "the last lane comes into sight");
      await page.done();
    }
    const page = await open("large.html", { width: 1024, height: 700, hash: "#record=9" });
    const [host, inSight] = await page.evaluate(() => { const [run] = page.state.runs, { lanes } = page.views[0]; return [run.host[9], lanes.isInSight(run.host[9])]; });
    assert.ok(inSight, `the lane of the chosen record, of host ${host}, is scrolled to`);
    const box = await page.locator("canvas.lanes").boundingBox();
    const scrolled = () => page.evaluate(() => page.views[0].lanes.box.scrollTop);
    const before = await scrolled(), window = await page.window();
    await page.mouse.move(box.x + 30, box.y + 100);
    await page.mouse.wheel(0, before ? -500 : 500);
    await page.waitForFunction((before) => page.views[0].lanes.box.scrollTop !== before, before);
    assert.deepEqual(await page.window(), window, "over the names the wheel scrolls, and does not zoom");
    await page.done();
  });

  await check("the head folds, and is folded where there is little room", async () => {
    const small = await open("raft.html", { width: 1024, height: 700 });
    const height = () => small.evaluate(() => document.getElementById("top").offsetHeight);
    assert.ok(await height() < 50, `${await height()} pixels`);
    assert.match(await small.textContent("#heads"), /raft\/cloudflare-2020@no-pre-vote/);
    await small.click("#fold");
    assert.ok(await small.locator(".reproduce").isVisible());
    await small.keyboard.press("h");
    assert.ok(await small.locator(".reproduce").isHidden());
    await small.done();
    const tall = await open("raft.html", { width: 1280, height: 1000 });
    assert.ok(await tall.locator(".reproduce").isVisible());
    await tall.done();
  });

  await check("a tooltip goes when the window moves", async () => {
    for (const move of [(page) => page.mouse.wheel(0, -240), (page) => page.keyboard.press("+"), (page) => page.keyboard.press("0")]) {
      const page = await open("raft.html", { hash: `#record=${leader}` });
      const [x, y] = await page.evaluate((n) => { const { lanes } = page.views[0], [x, y] = placeOfRecord(lanes, n), box = lanes.canvas.getBoundingClientRect(); return [box.left + x, box.top + y]; }, leader);
      await page.mouse.move(x, y);
      assert.ok(await page.locator("#tip").isVisible());
      await move(page);
      await page.settled();
      assert.ok(await page.locator("#tip").isHidden());
      await page.done();
    }
  });

  await check("labels describe what is in sight, not a cursor that is not", async () => {
    const page = await open("raft.html", { hash: `#record=${leader}` });
    assert.equal(await page.textContent("#hosts-title"), "Hosts at 0.284 s");
    await page.evaluate(() => page.state.setWindow(18000, 20000));
    await page.settled();
    assert.equal(await page.textContent("#hosts-title"), "Hosts at 18.000 s, at the left edge of what is shown");
    assert.match(await page.textContent("#hosts"), /term [67]\d/);
    assert.doesNotMatch(await page.textContent("#hosts"), /term [0-9]\b(?!\d)/);
    await page.evaluate(() => { page.state.setMoment(19000); page.state.setWindow(0, 1000); });
    await page.settled();
    assert.equal(await page.textContent("#hosts-title"), "Hosts at 1.000 s, at the right edge of what is shown");
    await page.done();
  });

  await check("a click on the story leaves the entry where it is, and the story follows the cursor", async () => {
    const page = await open("raft.html", { width: 1280, height: 800 });
    const inSight = (entry) => entry.evaluate((entry) => {
      const box = document.getElementById("stories").getBoundingClientRect(), its = entry.getBoundingClientRect();
      return its.top >= box.top - 1 && its.top < box.bottom - 10;
    });
    const entries = page.locator(".story > li[data-n]");
    for (let i = 0; i < Math.min(await entries.count(), 6); i++) {
      await entries.nth(i).scrollIntoViewIfNeeded();
      const before = await entries.nth(i).boundingBox();
      await entries.nth(i).locator(".story-head").click();
      await page.settled();
      assert.ok(await inSight(entries.nth(i)), `entry ${i} is in sight after the click`);
      assert.ok(Math.abs((await entries.nth(i).boundingBox()).y - before.y) < 130, "and nearly where it was");
      assert.match(await entries.nth(i).getAttribute("class"), /is-now/);
    }
    await page.locator(".unfold").first().click();
    await page.evaluate(() => page.state.setMoment(15000));
    await page.settled();
    const now = page.locator(".story .is-now");
    const at = Number(await now.getAttribute("data-t"));
    assert.ok(at <= 15000 && at > 14000, `the entry of ${at} ms is marked`);
    assert.ok(await inSight(now), "and in sight");
    await page.keyboard.press("Home");
    await page.done();
  });

  await check("the bands have a legend in this run's words", async () => {
    const page = await open("raft.html");
    assert.deepEqual(await page.locator(".legend-entry").allTextContents(), ["leader", "candidate", "follower", "cut off from each other", "a fault"]);
    const painted = await page.evaluate(() => [...document.querySelectorAll(".legend-swatch")].every((swatch) => swatch.getContext("2d").getImageData(0, 0, 60, 24).data.some((value) => value > 0)));
    assert.ok(painted, "every swatch is drawn");
    await page.done();
  });

  await check("what the seed drew stands in the head, where the result carries it", async () => {
    const page = await open("raft.html", { height: 1000 });
    assert.equal(await page.locator(".drawn").count(), 0);
    const text = await page.evaluate(() => {
      const [run] = page.state.runs;
      run.drawn = [{ what: "raft.pre_vote", value: "true", from: '"drawn"' }, { what: "step 2", value: "at 1.3s", from: null }];
      return headOf(run, "").querySelector(".drawn").textContent;
    });
    assert.equal(text, 'The seed drewraft.pre_votetrue of "drawn"step 2at 1.3s');
    await page.done();
  });
}
