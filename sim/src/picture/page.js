// The page around the picture: zoom and pan, filters, the list of events, what is pinned.
"use strict";

const $ = (id) => document.getElementById(id);
const model = readModel(JSON.parse($("data").textContent));
const view = makeView(model, $("picture"));
let pending = false;

function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    draw(view);
    drawMap();
    drawList();
  });
}

function clampView() {
  const rows = (view.height - HEAD) / view.scale;
  view.top = Math.min(
    Math.max(view.top, -rows * 0.2),
    Math.max(view.total - rows * 0.8, -rows * 0.2),
  );
}

function zoom(factor, y) {
  const p = view.top + (y - HEAD) / view.scale;
  const least = (view.height - HEAD - KEEP) / view.total;
  view.scale = Math.min(Math.max(view.scale * factor, Math.min(least, 1)), 400);
  view.top = p - (y - HEAD) / view.scale;
  clampView();
  redraw();
}

function pan(pixels) {
  view.top += pixels / view.scale;
  clampView();
  redraw();
}

function goTo(t, share = 0.5) {
  view.top = view.along(t) - ((view.height - HEAD) * share) / view.scale;
  clampView();
  redraw();
}

// What led to the violation, at a scale at which it can be read.
function goToViolation() {
  view.scale = 1;
  if (!view.even) {
    const shown = model.events.filter((e) => isShown(view, e));
    const first = shown[Math.max(shown.length - 40, 0)]?.p ?? 0;
    view.scale = Math.min(((view.height - HEAD) * 0.8) / Math.max(view.total - first, 1e-3), 400);
  }
  goTo(model.violation ? model.lasted : model.end, 0.9);
}

function fit() {
  view.scale = (view.height - HEAD - KEEP) / view.total;
  view.top = 0;
  redraw();
}

function again(change) {
  const middle = view.timeAt(view.top + ((view.height - HEAD) * 0.5) / view.scale);
  change();
  relayout(view);
  goTo(middle);
}

function setScale() {
  again(() => {
    view.even = !view.even;
  });
  tellScale();
}

function tellScale() {
  $("scale").textContent = view.even ? "even steps" : "true time";
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  readColours(view);
  redraw();
}

// Kinds, with how many there are of each.
function buildKinds() {
  const counts = new Map();
  for (const e of model.events)
    if (e.word === "sends") counts.set(e.kind, (counts.get(e.kind) ?? 0) + 1);
  const rows = model.kinds.map((kind) => [kind, counts.get(kind) ?? 0, `--${kind}`]);
  rows.push(["disk", model.writes.length, "--disk"]);
  const clients = model.events.filter((e) => CLIENT_WORDS.has(e.word)).length;
  rows.push(["clients", clients, "--accent"]);
  // Where clients do most of the talking, they are looked at when wanted.
  if (clients > 400) again(() => view.hidden.add("clients"));
  for (const [kind, count, colour] of rows) {
    if (!count) continue;
    const button = document.createElement("button");
    button.style.setProperty("--colour", `var(${colour})`);
    button.innerHTML = "<i></i><b></b><span></span>";
    button.children[1].textContent = kind;
    button.children[2].textContent = count;
    button.title = "click: show or hide; double click: only this";
    button.onclick = () => {
      toggle([kind]);
    };
    button.ondblclick = () => {
      again(() => {
        view.hidden = new Set(rows.map((row) => row[0]).filter((k) => k !== kind));
      });
      tellKinds();
    };
    button.dataset.kind = kind;
    $("kinds").append(button);
  }
  tellKinds();
}

function toggle(kinds) {
  again(() => {
    for (const kind of kinds) if (!view.hidden.delete(kind)) view.hidden.add(kind);
  });
  tellKinds();
}

function tellKinds() {
  for (const button of $("kinds").children) {
    button.classList.toggle("off", view.hidden.has(button.dataset.kind));
  }
  refreshList();
}

// The list shows what the filter and the kinds leave.
let listed = [];
function refreshList() {
  listed = model.events.filter(
    (e) => isShown(view, e) && strength({ ...view, near: null }, e) > 0.5,
  );
  $("count").textContent = `${listed.length} of ${model.events.length}`;
  $("spacer").style.height = `${listed.length * 18}px`;
  redraw();
}

function drawList() {
  const list = $("list");
  const first = Math.max(Math.floor(list.scrollTop / 18) - 4, 0);
  const count = Math.ceil(list.clientHeight / 18) + 8;
  const end = view.top + (view.height - HEAD) / view.scale;
  const rows = listed.slice(first, first + count).map((e, place) => {
    const row = document.createElement("div");
    row.className = "row";
    row.classList.toggle("pin", e === view.pin);
    row.classList.toggle("in", e.p >= view.top && e.p <= end);
    row.style.top = `${(first + place) * 18}px`;
    row.textContent = `${ms(e.t).padStart(14)} m${e.m} ${e.word.padEnd(8)} ${e.text}`;
    row.title = e.text;
    row.onclick = () => {
      pin(e);
      goTo(e.t);
    };
    return row;
  });
  for (const row of [...list.querySelectorAll(".row")]) row.remove();
  list.append(...rows);
}

function showInList(e) {
  const place = listed.indexOf(e);
  if (place >= 0) $("list").scrollTop = place * 18 - $("list").clientHeight / 2;
}

// The rows of the list that the picture shows.
function followList() {
  const place = listed.findIndex(
    (e) => e.p >= view.top + (0.5 * (view.height - HEAD)) / view.scale,
  );
  $("list").scrollTop = (place < 0 ? listed.length : place) * 18 - $("list").clientHeight / 2;
}

function pin(e) {
  view.pin = e;
  view.near = e ? causeAndEffect(model, e, 8) : null;
  const box = $("pinned");
  box.hidden = !e;
  if (e) {
    box.replaceChildren();
    const what = document.createElement("div");
    what.className = "what";
    what.textContent = `${ms(e.t)}  m${e.m} ${e.word}\n${e.text}`;
    const title = document.createElement("h2");
    title.textContent = "Pinned, with causes and effects";
    const buttons = document.createElement("div");
    buttons.className = "buttons";
    const offer = (text, act) => {
      const button = document.createElement("button");
      button.textContent = text;
      button.onclick = act;
      buttons.append(button);
    };
    const search = (text) =>
      offer(`only ${text}`, () => {
        setFilter(text);
      });
    if (e.from !== null) {
      const last = Math.min(e.end, e.from + 4);
      for (let slot = e.from; slot < last; slot += 1) search(`slot:${slot}`);
    }
    if (e.ballot !== null) search(`ballot:${e.ballot}`);
    if (e.msg) search(`#${e.msg}`);
    if (e.req !== null) search(e.req);
    const send = e.word === "sends" ? null : e.arrows?.[0]?.send;
    if (send)
      offer("to where it was sent", () => {
        pin(send);
        goTo(send.t);
      });
    const end = e.word === "sends" ? e.arrows?.find((a) => a.end)?.end : null;
    if (end)
      offer("to where it came", () => {
        pin(end);
        goTo(end.t);
      });
    offer("unpin", () => pin(null));
    box.append(title, what, buttons);
    showInList(e);
  }
  redraw();
}

function setFilter(text) {
  $("filter").value = text;
  pin(null);
  view.filter = readFilter(text, model.kinds);
  refreshList();
  $("filter").classList.toggle("wrong", Boolean(view.filter) && listed.length === 0);
  const hit = view.filter && listed.length && !listed.some((e) => isVisible(e));
  if (hit) goTo(listed[listed.length - 1].t);
}

const isVisible = (e) => e.p >= view.top && e.p <= view.top + (view.height - HEAD) / view.scale;

// The whole run in a strip: how much happens when, who leads, and where the picture is.
function drawMap() {
  const canvas = $("map"),
    ctx = canvas.getContext("2d");
  const height = view.height,
    ratio = window.devicePixelRatio || 1;
  if (canvas.height !== Math.round(height * ratio)) {
    canvas.width = 18 * ratio;
    canvas.height = Math.round(height * ratio);
  }
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.fillStyle = view.colours["--panel"];
  ctx.fillRect(0, 0, 18, height);
  const y = (p) => (p / view.total) * height;
  for (const span of model.leads) {
    ctx.fillStyle = memberColour(view, span.m, 0.7);
    ctx.fillRect(2, y(span.p0), 6, Math.max(y(span.p1) - y(span.p0), 1));
  }
  ctx.fillStyle = view.colours["--shade"];
  for (const span of model.cuts)
    ctx.fillRect(10, y(span.p0), 2, Math.max(y(span.p1) - y(span.p0), 1));
  for (const span of model.downs)
    ctx.fillRect(13, y(span.p0), 2, Math.max(y(span.p1) - y(span.p0), 1));
  if (model.violation) ctx.fillRect(0, y(view.along(model.lasted)) - 1, 18, 3);
  ctx.strokeStyle = view.colours["--text"];
  const tall = Math.max(((height - HEAD) / view.scale / view.total) * height, 6);
  ctx.strokeRect(0.5, y(view.top) + 0.5, 17, tall);
}

function hitAt(x, y) {
  let best = null,
    least = 7;
  for (const hit of view.hits) {
    const away = hit.a
      ? awayFromLine(hit, x, y)
      : Math.hypot(Math.abs(hit.x - x), Math.max(Math.abs(hit.y - y) - hit.half, 0));
    if (away < least && hit.e && strength(view, hit.e) > 0.2) {
      least = away;
      best = hit;
    }
  }
  return best;
}

function awayFromLine({ x0, y0, x1, y1 }, x, y) {
  const dx = x1 - x0,
    dy = y1 - y0;
  const share = Math.min(
    Math.max(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1), 0),
    1,
  );
  return Math.hypot(x - x0 - share * dx, y - y0 - share * dy) + 1;
}

function tell(hit, x, y) {
  const tip = $("tip");
  tip.hidden = !hit;
  if (!hit) return;
  const { e, a, text } = hit;
  const about = a ? a.send : e;
  tip.replaceChildren();
  const line = (words, name) => {
    const div = document.createElement("div");
    div.textContent = words;
    div.className = name;
    tip.append(div);
  };
  const head = document.createElement("b");
  head.textContent = a ? `m${a.from} → m${a.to}  ${a.kind}` : `m${e.m} ${e.word}`;
  tip.append(head);
  line(about.text.replace(/^→ m\d+ /, ""), "");
  line([ms(about.t), text].filter(Boolean).join(" · "), "soft");
  const wide = tip.offsetWidth,
    tall = tip.offsetHeight;
  tip.style.left = `${x + 16 + wide > view.width ? Math.max(x - wide - 12, 4) : x + 16}px`;
  tip.style.top = `${y + 16 + tall > view.height ? y - tall - 10 : y + 16}px`;
}

function listen() {
  const canvas = $("picture");
  let drag = null;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      if (event.ctrlKey || event.metaKey) zoom(Math.exp(-pixels / 300), event.offsetY);
      else if (event.shiftKey) pan(pixels || event.deltaX);
      else zoom(Math.exp(-pixels / 500), event.offsetY);
    },
    { passive: false },
  );
  canvas.addEventListener("pointerdown", (event) => {
    drag = { y: event.clientY, top: view.top, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const pixels = event.clientY - drag.y;
      drag.moved ||= Math.abs(pixels) > 3;
      view.top = drag.top - pixels / view.scale;
      clampView();
      canvas.classList.toggle("dragged", drag.moved);
      redraw();
      return;
    }
    const hit = hitAt(event.offsetX, event.offsetY);
    canvas.classList.toggle("over", Boolean(hit));
    tell(hit, event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointerup", (event) => {
    const click = drag && !drag.moved;
    drag = null;
    canvas.classList.remove("dragged");
    if (!click) {
      followList();
      return;
    }
    if (event.offsetY < HEAD) {
      const m = Math.floor((event.offsetX - GUTTER) / view.lane);
      if (m >= 0 && m < model.members && !view.members.delete(m)) view.members.add(m);
      refreshList();
      return;
    }
    pin(hitAt(event.offsetX, event.offsetY)?.e ?? null);
  });
  canvas.addEventListener("pointerleave", () => tell(null));
  const jump = (event) => {
    if (!event.buttons) return;
    view.top = (event.offsetY / view.height) * view.total - (view.height - HEAD) / 2 / view.scale;
    clampView();
    followList();
    redraw();
  };
  $("map").addEventListener("pointerdown", jump);
  $("map").addEventListener("pointermove", jump);
  $("list").addEventListener("scroll", redraw);
  $("filter").addEventListener("input", (event) => setFilter(event.target.value));
  $("to-violation").onclick = goToViolation;
  $("fit").onclick = fit;
  $("scale").onclick = setScale;
  $("theme").onclick = flipTheme;
  $("help").onclick = () => {
    $("keys").hidden = !$("keys").hidden;
  };
  window.addEventListener("resize", () => {
    resize(view);
    clampView();
    redraw();
  });
  window.addEventListener("keydown", onKey);
}

function flipTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

const KEYS = [
  [
    "+ -, wheel",
    "zoom",
    {
      "+": () => zoom(1.4, view.height / 2),
      "=": () => zoom(1.4, view.height / 2),
      "-": () => zoom(1 / 1.4, view.height / 2),
    },
  ],
  [
    "↑ ↓, drag, shift wheel",
    "pan",
    {
      ArrowUp: () => pan(-60),
      ArrowDown: () => pan(60),
      PageUp: () => pan(-view.height * 0.8),
      PageDown: () => pan(view.height * 0.8),
    },
  ],
  ["Home End", "begin, end", { Home: () => goTo(0, 0), End: () => goTo(model.end, 0.9) }],
  ["v", "the violation", { v: goToViolation }],
  ["f", "the whole run", { f: fit }],
  ["t", "even steps, or true time", { t: setScale }],
  ["j k", "next, previous event of the list", { j: () => step(1), k: () => step(-1) }],
  ["/", "filter", { "/": () => $("filter").focus() }],
  ["b", "heartbeats", { b: () => toggle(["beat"]) }],
  ["d", "dark, light", { d: flipTheme }],
  [
    "Esc",
    "unpin, no filter",
    {
      Escape: () => {
        view.members.clear();
        setFilter("");
      },
    },
  ],
  ["click", "pin, with causes and effects; on a lane's name: only that member", {}],
];

function step(by) {
  const place = view.pin ? listed.indexOf(view.pin) : listed.findIndex(isVisible) - by;
  const next = listed[Math.min(Math.max(place + by, 0), listed.length - 1)];
  if (!next) return;
  pin(next);
  if (!isVisible(next)) goTo(next.t);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("filter")) {
    if (event.key === "Escape") {
      setFilter("");
      $("filter").blur();
    }
    return;
  }
  if (event.key === "?") {
    $("help").click();
    return;
  }
  const act = KEYS.map(([, , acts]) => acts[event.key]).find(Boolean);
  if (!act) return;
  event.preventDefault();
  act();
}

function buildTexts() {
  $("title").textContent = model.title;
  const verdict = $("verdict");
  verdict.classList.toggle("failed", Boolean(model.violation));
  const head = document.createElement("div");
  if (model.violation) {
    const name = document.createElement("b");
    name.textContent = `${model.violation.property}: `;
    head.append(name, model.violation.story);
  } else head.textContent = `Passed after ${ms(model.lasted)}.`;
  const details = document.createElement("details");
  details.innerHTML = "<summary>the plan of this run</summary><pre></pre>";
  details.querySelector("pre").textContent = model.plan;
  verdict.append(head, details);
  $("story").hidden = !model.story.length;
  for (const { t, text, event, last } of model.story) {
    const item = document.createElement("li");
    item.classList.toggle("last", last);
    const time = document.createElement("time");
    time.textContent = (t / 1e6).toFixed(3);
    item.append(time, text);
    item.onclick = () => {
      if (event !== null) pin(model.events[event]);
      goTo(t, last ? 0.9 : 0.5);
    };
    $("story").querySelector("ol").append(item);
  }
  const table = document.createElement("table");
  for (const [keys, what] of KEYS) {
    const row = table.insertRow();
    row.insertCell().textContent = keys;
    row.insertCell().textContent = what;
  }
  $("keys").append(table);
}

resize(view);
setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
buildTexts();
buildKinds();
tellScale();
listen();
goToViolation();
followList();
