// Where everything is: positions along the time axis, what is in sight, what is shown how strongly.
"use strict";

const GUTTER = 92,
  HEAD = 40,
  KEEP = 24;
const MEMBER_HUES = [214, 28, 152, 330, 268, 186, 48, 4, 100];
const MARKS = {
  dies: ["✕", "--red"],
  starts: ["▲", "--lane"],
  wiped: ["∅", "--red"],
  eio: ["!", "--red"],
  fails: ["!", "--red"],
  blames: ["?", "--nack"],
  submit: ["▸", "--accent"],
  rejects: ["▹", "--soft"],
  outcome: ["◂", "--accent"],
  "gives-up": ["✗", "--red"],
  applies: ["•", "--decided"],
  clock: ["◷", "--soft"],
  fault: ["⚡", "--red"],
  heals: ["✚", "--decided"],
  harm: ["⚡", "--red"],
  misread: ["⚡", "--red"],
  swaps: ["⇄", "--red"],
  flood: ["≋", "--red"],
  refuses: ["⊘", "--red"],
  rule: ["◫", "--red"],
};
const QUIET = new Set([
  "sends",
  "gets",
  "misses",
  "write",
  "synced",
  "decides",
  "leader",
  "cuts",
  "mends",
  "clogs",
  "clog",
  "pause",
  "stall",
  "flow",
  "slow",
  "stranger",
]);

function makeView(model, canvas) {
  const view = {
    model,
    canvas,
    ctx: canvas.getContext("2d"),
    top: 0,
    scale: 1,
    even: true,
    hidden: new Set(["beat"]),
    members: new Set(),
    filter: null,
    pin: null,
    near: null,
    hits: [],
    colours: {},
    width: 0,
    height: 0,
  };
  relayout(view);
  return view;
}

// Positions along the time axis. Evenly spaced, each moment takes about a line, and a pause only
// a little more; else a position is a time.
function relayout(view) {
  const { model } = view;
  const times = new Set([0, model.end]);
  for (const e of model.events) if (isShown(view, e)) times.add(e.t);
  view.times = [...times].sort((a, b) => a - b);
  let place = 0;
  view.places = view.times.map((t, i) => {
    if (i > 0) place += 13 + 7 * Math.log10(1 + (t - view.times[i - 1]) / 1e4);
    return place;
  });
  view.total = Math.max(place, 1);
  const along = view.even
    ? (t) => between(view.times, view.places, t)
    : (t) => (t / Math.max(model.end, 1)) * view.total;
  view.along = along;
  view.timeAt = view.even
    ? (p) => between(view.places, view.times, p)
    : (p) => (p / view.total) * model.end;
  for (const e of model.events) e.p = along(e.t);
  const spans = [
    model.arrows,
    model.writes,
    model.downs,
    model.pauses,
    model.stalls,
    model.leads,
    model.prepares,
    model.slows,
    model.cuts,
    model.clogs,
  ];
  for (const span of spans.flat()) {
    span.p0 = along(span.t0);
    span.p1 = along(span.t1);
  }
  view.chunks = chunked(model.arrows);
  view.writeChunks = chunked(model.writes);
}

function between(xs, ys, x) {
  let low = 0,
    high = xs.length - 1;
  if (x <= xs[0]) return ys[0];
  if (x >= xs[high]) return ys[high];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return ys[low] + ((ys[high] - ys[low]) * (x - xs[low])) / (xs[high] - xs[low]);
}

// Spans in the order of their starts, with the latest end of each hundred, to pass over the rest.
function chunked(spans) {
  const chunks = [];
  for (let i = 0; i < spans.length; i += 128) {
    const part = spans.slice(i, i + 128);
    chunks.push({ part, from: part[0].p0, end: part.reduce((end, s) => Math.max(end, s.p1), 0) });
  }
  return chunks;
}

function visible(chunks, from, end) {
  const found = [];
  for (const chunk of chunks) {
    if (chunk.from > end) break;
    if (chunk.end < from) continue;
    for (const span of chunk.part) if (span.p0 <= end && span.p1 >= from) found.push(span);
  }
  return found;
}

function isShown(view, e) {
  if (e.kind !== null && view.hidden.has(e.kind)) return false;
  if (view.hidden.has("disk") && (e.word === "write" || e.word === "synced")) return false;
  return !(view.hidden.has("clients") && CLIENT_WORDS.has(e.word));
}
const CLIENT_WORDS = new Set(["submit", "rejects", "outcome", "applies", "gives-up"]);

// How strongly something is drawn: what is filtered out stays as a shadow.
function strength(view, e) {
  if (view.near) return view.near.has(e) ? 1 - 0.07 * Math.min(view.near.get(e), 8) : 0.07;
  if (view.filter && !view.filter(e)) return 0.07;
  if (view.members.size && !view.members.has(e.m) && !view.members.has(e.peer)) return 0.07;
  return 1;
}

const yOf = (view, p) => HEAD + (p - view.top) * view.scale;
const xOf = (view, m) => GUTTER + view.lane * (m + 0.5);

function resize(view) {
  const box = view.canvas.parentElement.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  view.width = box.width - 18;
  view.height = box.height;
  view.canvas.width = Math.round(view.width * ratio);
  view.canvas.height = Math.round(view.height * ratio);
  view.canvas.style.width = `${view.width}px`;
  view.canvas.style.height = `${view.height}px`;
  view.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  view.lane = (view.width - GUTTER - 14) / view.model.members;
}

function readColours(view) {
  const style = getComputedStyle(document.documentElement);
  const names = [
    "back",
    "panel",
    "line",
    "text",
    "soft",
    "lane",
    "down",
    "red",
    "shade",
    "disk",
    "disk-open",
    "decided",
    "pause",
    "accent",
    ...view.model.kinds,
  ];
  for (const name of names) view.colours[`--${name}`] = style.getPropertyValue(`--${name}`).trim();
  view.dark = document.documentElement.dataset.theme === "dark";
}

function firstAt(events, p) {
  let low = 0,
    high = events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (events[middle].p < p) low = middle + 1;
    else high = middle;
  }
  return low;
}

const ms = (t) => `${(t / 1e6).toFixed(3)} ms`;
