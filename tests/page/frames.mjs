// How long a page takes to open, and each frame of a zoom: `node frames.mjs CHROMIUM PAGE...`.

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launch, measureFrames, openPage } from "./browser.mjs";

const [, , executablePath, ...pages] = process.argv;
const ms = (time) => `${time.toFixed(1)} ms`;
const browser = await launch(executablePath);
for (const name of pages) {
  for (const [width, height] of [[1280, 800], [1920, 1080]]) {
    const before = performance.now();
    const page = await openPage(browser, pathToFileURL(resolve(name)).href, { width, height });
    const opened = performance.now() - before;
    const records = await page.evaluate(() => page.state.runs.reduce((sum, run) => sum + run.count, 0));
    const { drawing, frames, visited } = await measureFrames(page);
    console.log(`${name}  ${records} records, ${width}x${height}: open in ${(opened / 1000).toFixed(2)} s; drawing: half within ${ms(drawing.half)}, 95 % within ${ms(drawing.most)}, `
      + `longest ${ms(drawing.longest)}; from one frame to the next: 95 % within ${ms(frames.most)}; at most ${visited} things looked at`);
    await page.done();
  }
}
await browser.close();
