// A headless Chromium, and a page in it that must stay without errors and ask for nothing but its own file.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

export const launch = (executablePath) => chromium.launch({ executablePath, args });

export async function openPage(browser, url, { width = 1280, height = 800, colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) faults.push(message.text()); });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("dialog", (dialog) => { faults.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!/^(file|data):/.test(request.url())) faults.push(`asks for ${request.url()}`); });
  await page.goto(url);
  await page.waitForSelector("html[data-ready]").catch((error) => assert.fail(`${error}\n${faults.join("\n")}`));
  page.settled = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  page.done = async () => { assert.deepEqual(faults, [], `${url} has errors`); await context.close(); };
  page.chosen = () => page.evaluate(() => page.state.selected?.n ?? null);
  page.window = () => page.evaluate(() => page.state.window);
  page.tableCount = () => page.textContent(".table-count");
  return page;
}

/** Times of frames while the window zooms in and out and moves, in milliseconds: of the drawing, and of whole frames. */
export async function measureFrames(page, steps = 300) {
  return page.evaluate(async (steps) => {
    const { state } = page, drawing = [], frames = [];
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    await frame();
    let visited = 0;
    for (let i = 0; i < steps; i++) {
      const deep = Math.abs(((i / 60) % 2) - 1);
      const span = state.end / 5000 ** (1 - deep), centre = state.end * (0.5 + 0.45 * Math.sin(i / 37));
      const before = performance.now();
      state.setWindow(centre - span / 2, centre + span / 2);
      await frame();
      frames.push(performance.now() - before);
      drawing.push(page.frames.times.at(-1));
      visited = Math.max(visited, page.views[0].lanes.visited);
    }
    const at = (list, part) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * part)];
    const told = (list) => ({ half: at(list, 0.5), most: at(list, 0.95), longest: at(list, 1) });
    return { drawing: told(drawing), frames: told(frames), visited };
  }, steps);
}
