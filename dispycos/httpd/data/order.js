/**
 * Order and choice: how rows are sorted, and which a filter leaves. Pure.
 * @module
 */

const SLICE = 12; // ms of sorting before the page has its turn
const MOST_KEPT = 60_000; // addresses of which the key is known

/** @typedef {string | number | null | undefined} Key */

/**
 * Compare two keys; unknown ones stand last whatever the direction.
 * @param {Key} a
 * @param {Key} b
 * @param {number} sign 1 or -1
 * @returns {number}
 */
export function compare(a, b, sign) {
  if (a === b) return 0;
  if (a === null || a === undefined) return b === null || b === undefined ? 0 : 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -sign : sign;
}

/**
 * An address or location as a text that sorts by number: "10.0.0.9" before "10.0.0.10".
 * @param {string | null} address
 * @returns {string | null}
 */
export function byNumber(address) {
  if (address === null || address === undefined) return null;
  let key = numbered.get(address);
  if (key === undefined) {
    // Each row is sorted by its own with every update.
    if (numbered.size >= MOST_KEPT) numbered.clear();
    numbered.set(address, (key = inNumbers(address)));
  }
  return key;
}
/** @type {Map<string, string>} */
const numbered = new Map();

/** @param {string} address @returns {string} */
function inNumbers(address) {
  // IPv6 groups are hexadecimal: padded, they sort as text; IPv4 goes before.
  const colons = address.split(":").length - 1;
  if (colons > 1) return "~" + address.replace(/[0-9a-f]+/gi, (part) => part.padStart(5, "0"));
  return address.replace(/\d+/g, (part) => part.padStart(5, "0"));
}

/**
 * The number in a row's id.
 * @param {string} id
 * @returns {number}
 */
export function idNumber(id) {
  return Number(id.slice(1));
}

/**
 * Sort in slices: what takes long goes on in the next one, so that the page stays alive.
 * Merging from below, 8,192 rows at a time; equal keys keep their order.
 * @template T
 * @param {T[]} rows
 * @param {(row: T) => Key} key
 * @param {boolean} descending
 * @returns {Generator<void, T[], void>}
 */
export function* sortInSlices(rows, key, descending) {
  const sign = descending ? -1 : 1;
  const run = 8192;
  let pairs = rows.map((row) => ({ row, key: key(row) }));
  /** @param {{key: Key}} a @param {{key: Key}} b */
  const order = (a, b) => compare(a.key, b.key, sign);
  if (pairs.length <= run) return pairs.sort(order).map((pair) => pair.row);
  yield;
  /** @type {typeof pairs} */
  let sorted = [];
  for (let at = 0; at < pairs.length; at += run) {
    sorted = sorted.concat(pairs.slice(at, at + run).sort(order));
    yield;
  }
  for (let width = run; width < pairs.length; width *= 2) {
    pairs = sorted;
    sorted = new Array(pairs.length);
    let out = 0;
    for (let from = 0; from < pairs.length; from += 2 * width) {
      let left = from;
      let right = Math.min(from + width, pairs.length);
      const middle = right;
      const end = Math.min(from + 2 * width, pairs.length);
      while (left < middle || right < end) {
        const takeLeft = right >= end || (left < middle && order(pairs[left], pairs[right]) <= 0);
        sorted[out] = pairs[takeLeft ? left++ : right++];
        out += 1;
        if (out % 16384 === 0) yield;
      }
    }
  }
  return sorted.map((pair) => pair.row);
}

/**
 * Sort at once.
 * @template T
 * @param {T[]} rows
 * @param {(row: T) => Key} key
 * @param {boolean} descending
 * @returns {T[]}
 */
export function sort(rows, key, descending) {
  const slices = sortInSlices(rows, key, descending);
  for (;;) {
    const { done, value } = slices.next();
    if (done) return value;
  }
}

/**
 * Sort now, if that is quick, else bit by bit while the page lives on.
 * @template T
 * @param {T[]} rows
 * @param {(row: T) => Key} key
 * @param {boolean} descending
 * @param {(sorted: T[]) => void} done
 * @returns {() => void} gives it up
 */
export function sortSoon(rows, key, descending, done) {
  const slices = sortInSlices(rows, key, descending);
  let timer = 0;
  const step = () => {
    const until = Date.now() + SLICE;
    do {
      const next = slices.next();
      if (next.done) return done(next.value);
    } while (Date.now() < until);
    timer = setTimeout(step, 0);
  };
  step();
  return () => clearTimeout(timer);
}

/** @typedef {{field: string, values: string[]}} Term */

/**
 * A filter such as `state:failed,lost name:foo node:10.0.0.3 "any text"` as terms that must all hold.
 * @param {string} text
 * @returns {Term[]} field "" for plain text; values in lower case, one of them is enough
 */
export function terms(text) {
  const found = [];
  for (const [, field, quoted, plain] of text.matchAll(/(?:([a-z_]+):)?(?:"([^"]*)"?|(\S+))/gi)) {
    const value = (quoted ?? plain ?? "").toLowerCase();
    const values = field && quoted === undefined ? value.split(",").filter(Boolean) : [value];
    if (values.length) found.push({ field: (field ?? "").toLowerCase(), values });
  }
  return found;
}

/**
 * Whether a row passes a filter.
 * @param {Term[]} wanted
 * @param {Record<string, Key>} fields the row's texts by field
 * @returns {boolean} a field that the row does not have lets nothing pass
 */
export function passes(wanted, fields) {
  return wanted.every(({ field, values }) => {
    if (field) {
      const own = fields[field];
      if (own === null || own === undefined) return false;
      const text = String(own).toLowerCase();
      // States are whole words: "run" finds running, and "sent" nothing that is absent.
      return values.some((value) => (field === "state" ? text.startsWith(value) : text.includes(value)));
    }
    return values.some((value) =>
      Object.values(fields).some((own) => own !== null && own !== undefined && String(own).toLowerCase().includes(value)),
    );
  });
}
