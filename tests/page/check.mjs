// Opens the pages that `main.rs` made and uses them as a reader would. Prints a line for each thing that holds, and ends
// with an error at the first that does not: `node check.mjs FOLDER CHROMIUM [PART OF A TITLE]`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import { launch, openPage } from "./browser.mjs";
import { looks } from "./looks.mjs";
import { searches } from "./searches.mjs";
import { large } from "./large.mjs";

const [, , folder, executablePath] = process.argv;
const browser = await launch(executablePath);

const lines = (name) => readFileSync(join(folder, name), "utf8").trim().split("\n").map((line) => JSON.parse(line));
const kinds = (records) => records.reduce((count, { kind }) => count.set(kind, (count.get(kind) ?? 0) + 1), new Map());
const plain = (text) => Number(text.replaceAll(",", ""));
const open = (name, { hash = "", ...options } = {}) => openPage(browser, pathToFileURL(join(folder, name)).href + hash, options);

const [, , , , only = ""] = process.argv;

async function check(title, body) {
  if (!title.includes(only)) return;
  await body();
  console.log(`ok ${title}`);
}

const records = lines("raft.jsonl").slice(1, -1);
const leader = records.find(({ name, fields }) => name === "became-leader" && fields.term === 2).n;

await check("the counts on the page are the trace's", async () => {
  const page = await open("raft.html");
  const count = kinds(records);
  assert.equal(await page.tableCount(), `${records.length.toLocaleString("en-US")} records`);
  for (const fate of ["delivered", "lost"]) {
    assert.equal(plain(await page.textContent(`.chip[data-fate="${fate}"] .chip-count`)), count.get(fate), fate);
  }
  const story = await page.textContent("#stories");
  assert.match(story, /cut off from each other: n1 \| n3, until the end/);
  assert.match(story, /n1 becomes leader, term 2/);
  assert.match(story, /the last 3 AppendEntries from n3 did not arrive/);
  await page.done();
});

await check("a click on the diagram opens the record and lights its causes", async () => {
  const page = await open("raft.html", { hash: `#record=${leader}` });
  assert.equal(await page.chosen(), leader);
  const sent = await page.evaluate(() => page.state.runs[0].causesOf(page.state.selected.n).find((n) => page.state.runs[0].kind(n) === "sent"));
  const [x, y] = await page.evaluate((n) => {
    const { lanes } = page.views[0], { run } = lanes;
    const end = arrowEnds(lanes, run.txOf[n]), box = lanes.canvas.getBoundingClientRect();
    return [box.left + end.x0 + (end.x1 - end.x0) * 0.2, box.top + end.y0 + (end.y1 - end.y0) * 0.2];
  }, sent);
  await page.mouse.click(x, y);
  assert.equal(await page.chosen(), sent);
  assert.equal(await page.textContent(".record-number"), `record ${sent}`);
  assert.equal(new URL(page.url()).hash, `#record=${sent}`);
  assert.ok(await page.locator(".row.selected").isVisible());
  await page.goBack();
  assert.equal(await page.chosen(), leader, "the way back leads to the record before");
  await page.goForward();
  assert.equal(await page.chosen(), sent);
  await page.done();
});

await check("a link to a record opens there, and a wrong one says so", async () => {
  const page = await open("raft.html", { hash: "#record=999999999" });
  assert.match(await page.textContent("#said"), /There is no record 999999999: the last one is \d+/);
  await page.evaluate((n) => { location.hash = `#record=${n}`; }, leader);
  await page.waitForFunction((n) => page.state.selected?.n === n, leader);
  const [t0, t1] = await page.window();
  const at = records[leader].t_ns / 1e6;
  assert.ok(t0 < at && at < t1 && t1 - t0 < 1000, "the moment is in sight");
  await page.done();
});

await check("filters by host, message and fate", async () => {
  const page = await open("raft.html");
  const count = kinds(records);
  await page.click('.chip[data-fate="delivered"]');
  const without = records.length - await page.evaluate(() => {
    const [run] = page.state.runs;
    let hidden = 0;
    for (let n = 0; n < run.count; n++) if (run.txOf[n] >= 0 && run.tx[run.txOf[n]].fate === DELIVERED) hidden++;
    return hidden;
  });
  assert.match(await page.tableCount(), new RegExp(`^${without.toLocaleString("en-US")} of `));
  assert.ok(without <= records.length - count.get("delivered"));
  await page.click('.chip[data-fate="delivered"]');
  await page.click("summary:has-text('Messages')");
  await page.uncheck('input[data-key="AppendEntries"]');
  assert.equal(await page.evaluate(() => [...page.table.list].some((n) => /AppendEntries \(/.test(recordWords(page.state.runs[0], n)))), false);
  await page.check('input[data-key="AppendEntries"]');
  await page.click("summary:has-text('Hosts')");
  await page.uncheck('input[data-key="n2"]');
  await page.settled();
  assert.equal(await page.evaluate(() => page.views[0].lanes.hosts.length), 2);
  await page.check('input[data-key="n2"]');
  await page.keyboard.press("Escape");
  await page.done();
});

await check("the scrubber moves and every host's state follows", async () => {
  const page = await open("raft.html");
  await page.focus("canvas.overview");
  await page.keyboard.press("End");
  await page.settled();
  const atEnd = await page.textContent("#hosts");
  assert.match(atEnd, /term 7\d/);
  await page.keyboard.press("Home");
  await page.settled();
  assert.match(await page.textContent("#hosts"), /follower.*term 0/);
  const box = await page.locator("canvas.overview").boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 20, { steps: 5 });
  await page.mouse.up();
  const moment = await page.evaluate(() => page.state.moment);
  assert.ok(moment > 9000 && moment < 13000, `the moment is ${moment}`);
  assert.equal(await page.getAttribute("canvas.overview", "aria-valuenow"), String(Math.round(moment)));
  await page.done();
});

await check("the keyboard is enough", async () => {
  const page = await open("raft.html", { hash: `#record=${leader}` });
  await page.focus("canvas.lanes");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.chosen(), leader + 1);
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("[");
  assert.equal(await page.chosen(), records[leader].cause);
  await page.keyboard.press("]");
  await page.keyboard.press("ArrowDown");
  assert.equal(records[await page.chosen()].host, "n1");
  const before = await page.window();
  await page.keyboard.press("+");
  const closer = await page.window();
  assert.ok(closer[1] - closer[0] < before[1] - before[0]);
  await page.keyboard.press("0");
  assert.equal((await page.window())[0], 0);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  assert.ok(await page.locator("#help").isVisible());
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#help").isHidden());
  await page.keyboard.press("Escape");
  assert.equal(await page.chosen(), null);
  await page.done();
});

await check("the wheel zooms and a drag moves", async () => {
  const page = await open("raft.html");
  const box = await page.locator("canvas.lanes").boundingBox();
  await page.mouse.move(box.x + 400, box.y + 150);
  for (let i = 0; i < 4; i++) await page.mouse.wheel(0, -240);
  const [t0, t1] = await page.window();
  assert.ok(t1 - t0 < 15000, `${t1 - t0} ms are shown`);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 150, { steps: 4 });
  await page.mouse.up();
  const moved = await page.window();
  assert.ok(moved[0] > t0 && Math.abs(moved[1] - moved[0] - (t1 - t0)) < 1, "it is moved, not zoomed");
  await page.done();
});

await check("light and dark, by preference and by the switch", async () => {
  const paper = (page) => page.evaluate(() => {
    const { lanes } = page.views[0];
    const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    copy.drawImage(lanes.canvas, 0, 0);
    return [...copy.getImageData(3, 3, 1, 1).data].slice(0, 3);
  });
  const dark = await open("raft.html", { colorScheme: "dark" });
  assert.deepEqual(await paper(dark), [21, 24, 28]);
  await dark.click("#theme");
  await dark.settled();
  assert.deepEqual(await paper(dark), [255, 255, 255]);
  await dark.done();
  const light = await open("raft.html");
  assert.deepEqual(await paper(light), [255, 255, 255]);
  await light.keyboard.press("t");
  await light.settled();
  assert.deepEqual(await paper(light), [21, 24, 28]);
  await light.done();
});

await check("what TCP does to a lost segment is seen", async () => {
  const page = await open("echo.html");
  const echo = lines("echo.jsonl").slice(1, -1), count = kinds(echo);
  const shown = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll(".chip")].map((chip) => [chip.dataset.fate, chip.querySelector(".chip-count").textContent])));
  assert.equal(plain(shown.lost), count.get("lost"));
  assert.equal(plain(shown.delivered) + plain(shown.late), count.get("delivered"));
  assert.equal(plain(shown.late), echo.filter(({ kind, attempt }) => kind === "delivered" && attempt > 0).length);
  const again = await page.evaluate(() => page.state.runs[0].tx.filter((tx) => tx.before >= 0).length);
  assert.equal(again, count.get("retransmitted"));
  assert.match(await page.textContent(".headline"), /300 of 300 requests answered/);
  await page.done();
});

await check("two runs part where their traces do, and move together", async () => {
  const page = await open("compare.html", { width: 1500, height: 950 });
  const other = lines("raft-pre-vote.jsonl").slice(1, -1);
  const parts = records.findIndex((record, n) => JSON.stringify(record) !== JSON.stringify(other[n]));
  assert.match(await page.textContent("#comparison .headline"), new RegExp(`^The first ${parts} records are the same`));
  assert.match(await page.textContent("#comparison"), /pre_vote/);
  const box = await page.locator("canvas.lanes").nth(1).boundingBox();
  await page.mouse.move(box.x + 400, box.y + 100);
  await page.mouse.wheel(0, -600);
  await page.settled();
  const domains = await page.evaluate(() => page.views.map(({ lanes }) => lanes.x.domain()));
  assert.deepEqual(domains[0], domains[1]);
  assert.ok(domains[0][1] - domains[0][0] < 20000);
  await page.evaluate(() => { location.hash = "#record=75&run=b"; });
  await page.waitForFunction(() => page.state.selected?.run === 1);
  assert.equal(await page.locator('.table-runs [aria-pressed="true"]').textContent(), "B");
  await page.done();
});

await check("a violation is seen first, and nothing in a run can be taken for the page's own", async () => {
  const page = await open("hostile.html");
  assert.match(await page.textContent(".banner-fail"), /one leader a term<\/script>/);
  assert.equal(await page.chosen(), 2);
  const [t0, t1] = await page.window();
  assert.ok(t0 <= 0.001 && t1 >= 0.002 && t1 < 1000);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.equal(await page.locator("img").count(), 0);
  assert.match(await page.textContent("#record"), /<\/script><img src=x onerror=/);
  await page.done();
});

await check("it fits a narrow window", async () => {
  const page = await open("raft.html", { width: 420, height: 800 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out");
  const [diagram, table] = [await page.locator("#diagrams").boundingBox(), await page.locator("#table").boundingBox()];
  assert.ok(diagram.height > 250 && diagram.y + diagram.height <= table.y + 1, "nothing covers the diagram");
  await page.done();
});

await looks({ check, open, leader, records });
await searches({ check, open, leader, records });
await large({ check, open });
await browser.close();
