// Colours, read from the style sheet, so that both themes and the canvas agree. The hues are those of Okabe and Ito, which
// people who see colours differently can tell apart; a shape or a dash always says the same again.

let PALETTE = {};

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "ink", "soft", "faint", "line", "grid", "accent", "bad", "delivered", "late", "duplicate",
    "corrupted", "lost", "under-way", "lead", "lead-ink", "seek", "seek-ink", "calm", "calm-ink", "down", "down-ink", "side-a", "side-b", "fault",
    "fault-ink", "cause", "effect", "found"];
  PALETTE = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  PALETTE.up = PALETTE.calm;
  PALETTE["up-ink"] = PALETTE["calm-ink"];
  PALETTE.fates = ["delivered", "late", "duplicate", "corrupted", "lost", "under-way"].map((name) => PALETTE[name]);
  patterns.clear();
}

/** Dashes by fate: solid only where it arrived as it was meant to. */
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [3, 3], [1, 4]];

const patterns = new Map();

/** Slanted lines to fill a shape with, so that it reads without its colour. */
function hatch(context, colour, slant) {
  const key = colour + slant;
  if (patterns.has(key)) return patterns.get(key);
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const shift of [-8, 0, 8]) {
    pen.moveTo(shift, slant > 0 ? 8 : 0);
    pen.lineTo(shift + 8, slant > 0 ? 0 : 8);
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  patterns.set(key, pattern);
  return pattern;
}
