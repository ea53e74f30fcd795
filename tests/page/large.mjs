// Very many records. What is held to is the work of a frame, which is the same on every machine; times are told, and are
// measured by `benches/page.sh`.

import assert from "node:assert/strict";
import { measureFrames } from "./browser.mjs";

/** Counts what is drawn in each of the frames of a zoom from all to a ten-thousandth, at several places. */
const workOfFrames = (page) => page.evaluate(() => {
  const calls = ["fillRect", "strokeRect", "fill", "stroke", "lineTo", "rect", "arc", "fillText", "strokeText"];
  const pen = CanvasRenderingContext2D.prototype, { state } = page;
  let drawn = 0;
  const own = calls.map((name) => pen[name]);
  calls.forEach((name, i) => { pen[name] = function (...given) { drawn++; return own[i].apply(this, given); }; });
  let most = 0, visited = 0;
  for (const part of [0, 0.21, 0.5, 0.83, 1]) {
    for (let i = 0; i < 40; i++) {
      const span = state.end / 10 ** (i / 10), centre = state.end * part;
      state.setWindow(centre - span / 2, centre + span / 2);
      drawn = 0;
      page.drawNow();
      most = Math.max(most, drawn);
      visited = Math.max(visited, page.views[0].lanes.visited);
    }
  }
  calls.forEach((name, i) => { pen[name] = own[i]; });
  return { most, visited };
});

export async function large({ check, open }) {
  await check("a frame costs what its pixels cost, however many records there are", async () => {
    for (const name of ["large.html", "long.html", "echo.html"]) {
      const page = await open(name, { width: 1920, height: 1080 });
      const { most, visited } = await workOfFrames(page);
      assert.ok(most < 16000, `${name}: ${most} calls in a frame`);
      assert.ok(visited < 12000, `${name}: ${visited} things looked at in a frame`);
      await page.done();
    }
  });

  await check("100,000 records", async () => {
    const began = performance.now();
    const page = await open("large.html", { width: 1920, height: 1080 });
    const opened = performance.now() - began;
    assert.equal(await page.evaluate(() => page.state.runs[0].count), 100000);
    const { drawing, frames } = await measureFrames(page, 120);
    console.log(`   open in ${opened.toFixed(0)} ms; drawing: half within ${drawing.half.toFixed(1)} ms, 95 % within ${drawing.most.toFixed(1)} ms; from frame to frame 95 % within ${frames.most.toFixed(1)} ms`);
    await page.focus(".scroller");
    await page.keyboard.press("End");
    await page.waitForFunction(() => [...document.querySelectorAll(".row")].some((row) => row.dataset.n === "99999"));
    assert.ok(await page.locator(".row").count() < 100, "only the rows in sight are in the document");
    await page.done();
  });

  await check("bars count every transmission, and one packet can be seen, from 0.2 to 10 s", async () => {
    const page = await open("large.html", { width: 1280, height: 800 });
    for (const span of [200, 500, 1000, 3000, 10000]) {
      await page.evaluate((span) => page.state.setWindow(9000, 9000 + span), span);
      await page.settled();
      const told = await page.evaluate(() => {
        const { lanes } = page.views[0], { run } = lanes;
        const grid = gridOf(lanes, BUCKET), from = grid.first * grid.step, to = (grid.first + grid.count) * grid.step;
        const room = lanes.lane / 2 - lanes.bandOf(0) / 2 - 7;
        const hosts = lanes.hosts.map((host) => {
          const { counts } = countSent(lanes, grid, host);
          const counted = FATES.map((_, fate) => counts[fate]?.reduce((sum, count) => sum + count, 0) ?? 0);
          const direct = FATES.map((_, fate) => run.tx.filter((tx) => tx.packet.from === host && tx.fate === fate && run.t[tx.begin] >= from && run.t[tx.begin] < to).length);
          return { counted, direct };
        });
        return { hosts, uses: lanes.usesDensity, arrows: lanes.arrows.length, tallest: lanes.tallest?.count ?? 0, room, width: grid.width };
      });
      for (const { counted, direct } of told.hosts) assert.deepEqual(counted, direct, `${span} ms`);
      if (told.uses) {
        assert.ok(told.width >= 5 && told.room >= 14, `a bar has ${told.width} x ${told.room} pixels`);
        assert.ok(told.room * Math.sqrt(1 / told.tallest) >= 2, `${span} ms: one packet beside ${told.tallest}`);
      } else {
        assert.ok(told.arrows > 20, `${told.arrows} arrows`);
      }
    }
    await page.done();
  });

  await check("a run of an hour does not flicker: what is drawn moves with its time", async () => {
    const page = await open("long.html", { width: 1280, height: 800 });
    const differing = await page.evaluate(() => {
      const { lanes } = page.views[0], { state } = page;
      const row = (from, width) => {
        const copy = document.createElement("canvas");
        copy.width = lanes.canvas.width; copy.height = lanes.canvas.height;
        const pen = copy.getContext("2d", { willReadFrequently: true });
        pen.drawImage(lanes.canvas, 0, 0);
        return lanes.hosts.flatMap((host) => [-6, 0, 6, 16].map((dy) => [...pen.getImageData(from, Math.round(lanes.y.get(host) + dy), width, 1).data]));
      };
      const found = [];
      state.setMoment(0);
      for (const [t0, span] of [[500000, 2e6], [100000, 4e5], [700000, 5e4]]) {
        state.setWindow(t0, t0 + span);
        page.drawNow();
        const from = Math.ceil(lanes.gutter) + 40, width = lanes.width - from - 60;
        const before = row(from, width);
        for (const pixels of [1, 7, 12]) {
          const by = pixels * lanes.perPixel;
          state.setWindow(t0 + by, t0 + by + span);
          page.drawNow();
          const after = row(from - pixels, width);
          let differ = 0, all = 0;
          before.forEach((line, i) => { for (let at = 0; at < line.length; at += 4) { all++; if (Math.abs(line[at] - after[i][at]) + Math.abs(line[at + 1] - after[i][at + 1]) > 24) differ++; } });
          found.push(differ / all);
          state.setWindow(t0, t0 + span);
          page.drawNow();
        }
      }
      return found;
    });
    for (const part of differing) assert.ok(part < 0.03, `${(part * 100).toFixed(1)} % of the pixels change: ${differing}`);
    await page.done();
  });
}
