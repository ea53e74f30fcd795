// The search: what is found, how it is counted, and that the list stays where the reader is.

import assert from "node:assert/strict";

/** Searches, and waits until all has been looked through. */
async function search(page, text) {
  await page.fill("#search", text);
  await page.waitForFunction((text) => page.state.search.query.text === text && page.state.search.isDone, text);
  await page.settled();
  return page.textContent("#found");
}

const rowsInSight = (page) => page.evaluate(() => {
  const box = page.table.scroller.getBoundingClientRect();
  return [...document.querySelectorAll(".row")].filter((row) => { const { top, bottom } = row.getBoundingClientRect(); return top >= box.top && bottom <= box.bottom; }).map((row) => Number(row.dataset.n));
});

export async function searches({ check, open, leader, records }) {
  const leaders = records.filter(({ name }) => name === "became-leader").map(({ n }) => n);

  await check("the search finds names, phrases, fields, numbers, and what the story says", async () => {
    const page = await open("raft.html");
    const found = () => page.evaluate(() => page.state.search.found[0].list);
    for (const asked of ["became-leader", '"became leader"', "leader became", "BECAME-LEADER"]) {
      await search(page, asked);
      const list = await found();
      assert.ok(leaders.every((n) => list.includes(n)), `${asked} finds every one`);
      if (asked !== "leader became") assert.deepEqual(list, leaders, asked);
    }
    await search(page, '"leader became"');
    assert.deepEqual(await found(), [], "a phrase has an order");
    await search(page, "became-leader term=2");
    assert.deepEqual(await found(), [leader], "a number is found whole: term 2 is not term 25");
    await search(page, '"n1 becomes leader, term 2"');
    assert.deepEqual(await found(), [leader], "as the story says it");
    await search(page, "pin timeout 100ms");
    assert.deepEqual(await found(), [0], "as the script says it");
    for (const asked of ["#2650", "record 2,650", "record 2650"]) {
      assert.equal(await search(page, asked), "1 found", asked);
      assert.deepEqual(await found(), [2650], asked);
    }
    const [{ packet }] = records.filter(({ kind }) => kind === "lost");
    await search(page, `lost "packet ${packet}"`);
    assert.deepEqual(await found(), records.filter((record) => record.kind === "lost" && record.packet === packet).map(({ n }) => n), "by the packet");
    await search(page, "2650");
    assert.ok((await found()).includes(2650));
    await page.keyboard.press("Enter");
    assert.equal(await page.chosen(), 2650, "a number goes to its record first");
    await page.done();
  });

  await check("matches are counted, stepped through, and marked", async () => {
    const page = await open("raft.html");
    assert.equal(await search(page, "became-leader"), `${leaders.length} found`);
    await page.keyboard.press("Enter");
    assert.equal(await page.textContent("#found"), `1 of ${leaders.length}`);
    assert.equal(await page.chosen(), leaders[0]);
    await page.keyboard.press("Enter");
    await page.click("#found-next");
    assert.equal(await page.textContent("#found"), `3 of ${leaders.length}`);
    await page.click("#found-before");
    assert.equal(await page.chosen(), leaders[1]);
    assert.equal(await page.textContent(".row.selected mark"), "became leader");
    assert.equal(await page.textContent("#record mark"), "became leader");
    await page.focus("canvas.lanes");
    await page.keyboard.press("N");
    await page.keyboard.press("N");
    assert.equal(await page.chosen(), leaders.at(-1), "from the first back to the last");
    await page.keyboard.press("n");
    assert.equal(await page.chosen(), leaders[0]);
    await page.click("#found-only");
    assert.equal(await page.tableCount(), `${leaders.length} of ${records.length.toLocaleString("en-US")} records`);
    await page.click("#found-only");
    assert.equal(await page.tableCount(), `${records.length.toLocaleString("en-US")} records`);
    await page.done();
  });

  await check("a search leaves the list at what is chosen", async () => {
    const page = await open("raft.html", { hash: "#record=2000" });
    for (const asked of ["a", "ap", "append", "append no-such-word", ""]) {
      await search(page, asked);
      assert.ok((await rowsInSight(page)).includes(2000), `after "${asked}"`);
    }
    await search(page, "became-leader");
    await page.click("#found-only");
    const rows = await rowsInSight(page);
    assert.ok(rows[0] < 2000 && rows.at(-1) > 2000, `of the matches, the list shows those around it: ${rows}`);
    await page.done();
  });

  await check("no match is said, and so is a record that there is not", async () => {
    const page = await open("raft.html");
    assert.equal(await search(page, "no-such-word"), "no record says that");
    assert.ok(await page.locator("#found.is-none").isVisible());
    assert.equal(await page.textContent("#said"), "no record says that");
    await page.click("#found-only");
    assert.equal(await page.textContent(".table-none"), "no record says that");
    await page.keyboard.press("Enter");
    assert.equal(await page.chosen(), null);
    assert.equal(await search(page, "#999999"), `no record 999,999: the last is ${(records.length - 1).toLocaleString("en-US")}`);
    await search(page, "");
    assert.ok(await page.locator(".found").isHidden());
    await page.done();
  });
}
