// Transmissions that are too many to tell apart: how many each lane sent, as bars. Lost ones stand on the band, all others
// hang below it. All bars of a frame have one scale, and the gutter says how many the tallest is. A bar is as high as the
// root of its count: so one packet is seen beside a bar of hundreds.

const BUCKET = 5;
const HANGING = [DELIVERED, LATE, DUPLICATE, CORRUPTED, UNDER_WAY];

function drawDensity(lanes, pen) {
  const grid = gridOf(lanes, BUCKET);
  const counted = lanes.hosts.filter((host) => lanes.isInSight(host)).map((host) => countSent(lanes, grid, host));
  const most = counted.reduce((most, { tallest }) => Math.max(most, tallest), 1);
  lanes.tallest = { count: most, step: grid.step };
  const width = Math.max(grid.width - 1, 1);
  for (const { host, counts, piles } of counted) {
    const y = lanes.y.get(host), half = lanes.bandOf(host) / 2;
    const room = lanes.lane / 2 - half - 7;
    const height = (count, pile) => Math.sqrt(pile / most) * room * (count / pile);
    const below = new Float64Array(grid.count).fill(y + half + 2);
    for (const fate of HANGING) {
      if (!counts[fate]) continue;
      pen.globalAlpha = fate === DELIVERED ? 0.7 : 1;
      fillBars(pen, counts[fate], PALETTE.fates[fate], (column, count) => {
        const tall = Math.max(height(count, piles[0][column]), 2);
        pen.fillRect(grid.left(column), below[column], width, tall);
        below[column] += tall;
      });
    }
    pen.globalAlpha = 1;
    if (!counts[LOST]) continue;
    fillBars(pen, counts[LOST], PALETTE.lost, (column, count) => {
      const tall = Math.max(height(count, count), 2);
      pen.fillRect(grid.left(column), y - half - 5 - tall, width, tall);
    });
  }
}

/** Of one host, how many transmissions began in each column, by their fate; and the tallest pile. */
function countSent(lanes, grid, host) {
  const piles = [new Uint32Array(grid.count), new Uint32Array(grid.count)];
  let tallest = 0;
  const counts = FATES.map((_, fate) => {
    const times = lanes.levels.sentBy(host, fate);
    if (!times.length) return null;
    const columns = new Uint32Array(grid.count), pile = piles[fate === LOST ? 1 : 0];
    lanes.visited += countColumns(times, grid, (column, count) => {
      columns[column] = count;
      pile[column] += count;
      tallest = Math.max(tallest, pile[column]);
    });
    return columns;
  });
  return { host, counts, piles, tallest };
}

function fillBars(pen, columns, colour, bar) {
  pen.fillStyle = colour;
  columns.forEach((count, column) => { if (count) bar(column, count); });
}
