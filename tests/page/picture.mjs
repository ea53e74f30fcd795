// Takes the picture of a page around its first change of who leads, and writes into it which run it is of:
// `node picture.mjs CHROMIUM PAGE OUT RUN`. `picture.sh` calls it.

import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { crc32 } from "node:zlib";
import { launch, openPage } from "./browser.mjs";

const [, , executablePath, name, out, run] = process.argv;
const WINDOW_MS = [80, 660];

/** A PNG with a text in it, after its header. */
function withText(png, key, text) {
  const body = Buffer.from(`tEXt${key}\0${text}`, "latin1");
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  const header = 8 + 25;
  return Buffer.concat([png.subarray(0, header), chunk, png.subarray(header)]);
}

const browser = await launch(executablePath);
const page = await openPage(browser, pathToFileURL(resolve(name)).href, { width: 1400, height: 900 });
const hash = await page.evaluate(([t0, t1]) => {
  const { state } = page, [run] = state.runs;
  const leads = run.states.filter(([, , what]) => toneOf(what) === "lead");
  state.setMoment(run.t[leads[1][0]]);
  state.setWindow(t0, t1);
  return run.hash;
}, WINDOW_MS);
await page.settled();
const png = await page.screenshot();
writeFileSync(out, withText(withText(png, "Hash", hash), "Run", run));
await page.done();
await browser.close();
console.log(`${out}: ${run}, hash ${hash}`);
