// Places in ordered lists: all by halving.

/** The first place of `count` for which `isPast` holds, where it holds for all that come after. */
function placeWhere(count, isPast) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isPast(middle)) high = middle; else low = middle + 1;
  }
  return low;
}

/** The first place whose number is at least `value`, looking from `low` on. */
function lowerBound(list, value, low = 0, high = list.length) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** The first place whose number is more than `value`. */
function upperBound(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= value) low = middle + 1; else high = middle;
  }
  return low;
}

/** The first place after `from` whose number is at least `value`: near ones are found in few steps. */
function leap(list, from, value) {
  let step = 1, low = from;
  while (low + step < list.length && list[low + step] < value) { low += step; step *= 2; }
  return lowerBound(list, value, low, Math.min(low + step, list.length));
}

/** The first place of an ordered list of record numbers whose time is at least `t`. */
function firstFrom(records, times, t) { return placeWhere(records.length, (at) => times[records[at]] >= t); }

/** The place of the last entry that begins at or before `t`, or 0. */
function firstBefore(list, t) { return Math.max(placeWhere(list.length, (at) => list[at].t > t) - 1, 0); }
