// The space-time diagram: a lane for each member, time downward.
"use strict";

function draw(view) {
  const { ctx, model, width, height, colours } = view;
  const from = view.top,
    end = view.top + (height - HEAD) / view.scale;
  view.hits = [];
  view.taken = new Set();
  view.events = model.events.slice(
    firstAt(model.events, from - 8 / view.scale),
    firstAt(model.events, end + 8 / view.scale),
  );
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours["--back"];
  ctx.fillRect(0, 0, width, height);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, HEAD, width, height - HEAD);
  ctx.clip();
  drawGrid(view, from, end);
  drawCuts(view, from, end);
  drawLanes(view, from, end);
  const labels = [];
  drawViolation(view);
  drawWrites(view, from, end, labels);
  drawArrows(view, from, end, labels);
  drawMarks(view, labels);
  for (const label of labels.sort((a, b) => b.rank - a.rank)) drawLabel(view, label);
  ctx.restore();
  drawHead(view);
}

function drawGrid(view, from, end) {
  const { ctx, colours, width } = view;
  ctx.font = "10.5px ui-monospace, monospace";
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  let last = -Infinity;
  const line = (t, p) => {
    const y = yOf(view, p);
    if (y - last < 30) return;
    last = y;
    ctx.globalAlpha = 0.45;
    ctx.fillStyle = colours["--line"];
    ctx.fillRect(GUTTER - 6, Math.round(y), width, 1);
    ctx.globalAlpha = 1;
    ctx.fillStyle = colours["--soft"];
    ctx.fillText(ms(t), GUTTER - 10, y);
  };
  if (view.even) {
    let i = 0;
    while (i < view.places.length && view.places[i] < from) i += 1;
    // Far out there are more moments than lines: a few of them do.
    const step = Math.max(1, Math.floor(30 / (view.scale * 14)));
    for (i -= i % step; i < view.places.length && view.places[i] <= end; i += step) {
      line(view.times[i], view.places[i]);
    }
    return;
  }
  const wanted = view.timeAt(from + 60 / view.scale) - view.timeAt(from);
  let step = 10 ** Math.ceil(Math.log10(Math.max(wanted, 1e3)));
  if (step / 5 >= wanted) step /= 5;
  else if (step / 2 >= wanted) step /= 2;
  for (let t = Math.ceil(view.timeAt(from) / step) * step; t <= view.timeAt(end); t += step) {
    line(t, view.along(t));
  }
}

// A link that is cut shades the way between its ends; each direction also marks its lane.
function drawCuts(view, from, end) {
  const { ctx, colours, model } = view;
  const shade = (span, pattern) => {
    if (span.p1 < from || span.p0 > end) return;
    const y0 = Math.max(yOf(view, span.p0), HEAD - 2);
    const y1 = Math.max(Math.min(yOf(view, span.p1), view.height + 2), y0 + 2);
    const step = span.peer > span.m ? 1 : -1;
    const a = xOf(view, span.m),
      b = xOf(view, span.m + step);
    ctx.globalAlpha = pattern ? 0.06 : 0.11;
    ctx.fillStyle = colours[pattern ? "--soft" : "--shade"];
    if (Math.abs(span.peer - span.m) === 1) {
      ctx.fillRect(Math.min(a, b) + 12, y0, Math.abs(a - b) - 24, y1 - y0);
    }
    const x = a + step * (13 + 3 * Math.abs(span.peer - span.m));
    ctx.globalAlpha = pattern ? 0.5 : 0.75;
    ctx.fillRect(x - 1, y0, 2, y1 - y0);
    view.hits.push({
      x,
      y: (y0 + y1) / 2,
      half: (y1 - y0) / 2,
      e: span.e,
      span,
      text: `${pattern ? "clogged" : "cut"}: m${span.m} → m${span.peer}`,
    });
  };
  model.clogs.forEach((span) => shade(span, true));
  model.cuts.forEach((span) => shade(span, false));
}

function memberColour(view, m, alpha) {
  return `hsl(${MEMBER_HUES[m % 9]} 65% ${view.dark ? 58 : 48}% / ${alpha})`;
}

function drawLanes(view, from, end) {
  const { ctx, colours, model, height } = view;
  const box = (span, dx, w, style, alpha) => {
    if (span.p1 < from || span.p0 > end) return;
    const y0 = Math.max(yOf(view, span.p0), -9),
      y1 = Math.min(yOf(view, span.p1), height + 9);
    ctx.globalAlpha = alpha;
    ctx.fillStyle = style;
    ctx.fillRect(xOf(view, span.m) + dx, y0, w, Math.max(y1 - y0, 1.5));
  };
  for (let m = 0; m < model.members; m += 1) {
    ctx.globalAlpha = 1;
    ctx.fillStyle = colours["--lane"];
    ctx.fillRect(xOf(view, m) - 1, 0, 2, Math.min(height, yOf(view, view.total)));
  }
  for (const span of model.downs) {
    box(span, -2, 4, colours["--back"], 1);
    if (span.p1 < from || span.p0 > end) continue;
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colours["--down"];
    ctx.setLineDash([2, 5]);
    ctx.beginPath();
    ctx.moveTo(xOf(view, span.m), Math.max(yOf(view, span.p0), 0));
    ctx.lineTo(xOf(view, span.m), Math.min(yOf(view, span.p1), height));
    ctx.stroke();
    ctx.setLineDash([]);
  }
  for (const span of model.leads) box(span, -9, 18, memberColour(view, span.m, 1), 0.28);
  ctx.setLineDash([3, 3]);
  for (const span of model.prepares) {
    if (span.p1 < from || span.p0 > end) continue;
    ctx.globalAlpha = 0.9;
    ctx.strokeStyle = memberColour(view, span.m, 1);
    const y0 = Math.max(yOf(view, span.p0), -9),
      y1 = Math.min(yOf(view, span.p1), height + 9);
    ctx.strokeRect(xOf(view, span.m) - 9, y0, 18, Math.max(y1 - y0, 2));
    hitSpan(view, span, `prepares ${span.ballot}`);
  }
  ctx.setLineDash([]);
  for (const span of model.leads) hitSpan(view, span, `leads ${span.ballot}`);
  for (const span of model.slows) {
    box(span, -4, 8, colours["--pause"], 0.35);
    hitSpan(view, span, "slow");
  }
  for (const span of model.pauses) {
    box(span, -5, 10, colours["--pause"], 0.75);
    hitSpan(view, span, `stopped for ${ms(span.t1 - span.t0)}`);
  }
  for (const span of model.stalls) {
    box(span, 12, 20, colours["--disk-open"], 0.22);
  }
}

function hitSpan(view, span, text) {
  const y0 = yOf(view, span.p0),
    y1 = yOf(view, span.p1);
  if (y1 < 0 || y0 > view.height) return;
  view.hits.push({ x: xOf(view, span.m), y: (y0 + y1) / 2, half: (y1 - y0) / 2, e: span.e, text });
}

function drawViolation(view) {
  const { ctx, colours, model, width } = view;
  if (!model.violation) return;
  const y = yOf(view, view.along(model.lasted));
  if (y < -20 || y > view.height + 20) return;
  ctx.globalAlpha = 0.12;
  ctx.fillStyle = colours["--red"];
  ctx.fillRect(0, y - 7, width, 14);
  ctx.globalAlpha = 1;
  ctx.fillRect(0, y - 1, width, 2);
  if (model.violation.member === null) return;
  ctx.strokeStyle = colours["--red"];
  ctx.lineWidth = 2.5;
  ctx.beginPath();
  ctx.arc(xOf(view, model.violation.member), y, 13, 0, 7);
  ctx.stroke();
  ctx.lineWidth = 1;
}

// A write is a bar beside the lane, from when it was handed out until it is durable.
function drawWrites(view, from, end, labels) {
  const { ctx, colours } = view;
  if (view.hidden.has("disk")) return;
  for (const w of visible(view.writeChunks, from, end)) {
    const x = xOf(view, w.m) + 12 + w.row * 5;
    const y0 = yOf(view, w.p0),
      y1 = yOf(view, w.p1);
    ctx.globalAlpha = strength(view, w.e) * 0.9;
    ctx.fillStyle = colours[w.how === "synced" ? "--disk" : "--disk-open"];
    ctx.fillRect(x, y0, 3.5, Math.max(y1 - y0, 1.5));
    if (w.how === "lost" && y1 < view.height) {
      glyph(view, "✕", x + 2, y1, colours["--red"], 9);
    }
    view.hits.push({
      x: x + 2,
      y: (y0 + y1) / 2,
      half: (y1 - y0) / 2,
      e: w.e,
      text:
        w.how === "synced"
          ? `durable after ${ms(w.t1 - w.t0)}`
          : w.how === "lost"
            ? "lost in the crash, or part of it"
            : "not durable at the end",
    });
    const text = writeLabel(w.e);
    if (view.events.length < 40 + view.height / 2) {
      labels.push({
        x: x + 7,
        y: y0 + 1,
        text,
        rank: 2,
        colour: "--disk",
        alpha: strength(view, w.e),
        most: view.lane * 0.42,
      });
    }
  }
}

// `⇒ w4 promised=3.m0 decided=1 accepted [2=a@3.m0]` is `w4 [2=a@3.m0]`.
function writeLabel(e) {
  const text = e.text.replace(/^⇒ /, "").replace(/Incarnation\((\d{1,4})\d*\)/g, "$1");
  const body = text.replace(/promised=\S+ decided=\S+ /, "");
  if (!body.endsWith(" mark")) return body.replace("accepted ", "");
  return text.replace(" mark", "").replace("promised=", "p=").replace("decided=", "✓");
}

function glyph(view, sign, x, y, colour, size) {
  view.ctx.fillStyle = colour;
  view.ctx.font = `${size}px system-ui, sans-serif`;
  view.ctx.textAlign = "center";
  view.ctx.textBaseline = "middle";
  view.ctx.fillText(sign, x, y);
}

function drawArrows(view, from, end, labels) {
  const { ctx } = view;
  const shown = visible(view.chunks, from, end).filter((a) => !view.hidden.has(a.kind));
  // Far out, many arrows are a texture: heads and labels would only blot it.
  const crowd = shown.length / (view.height / 12);
  for (const a of shown) {
    const alpha = Math.max(strength(view, a.send), a.end ? strength(view, a.end) : 0);
    drawArrow(view, a, alpha, crowd, labels);
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

function drawArrow(view, a, alpha, crowd, labels) {
  const { ctx, colours } = view;
  const step = a.to > a.from ? 1 : -1;
  const x0 = xOf(view, a.from) + step * 3,
    y0 = yOf(view, a.p0);
  let x1 = xOf(view, a.to) - step * 3,
    y1 = yOf(view, a.p1);
  const whole = a.end !== null;
  if (!whole) {
    x1 = x0 + (x1 - x0) * 0.3;
    y1 = y0 + 7;
  }
  const colour = colours[`--${a.kind}`] || colours["--soft"];
  const bold = view.near?.has(a.send) && (!a.end || view.near.has(a.end));
  const plain = crowd > 3 && !bold;
  const rare = RARE.has(a.kind);
  ctx.globalAlpha = alpha * (plain ? Math.max(Math.min(2.4 / crowd, 0.8), rare ? 0.7 : 0.1) : 0.9);
  ctx.strokeStyle = colour;
  ctx.lineWidth = bold ? 2.4 : plain ? 0.8 : 1.3;
  ctx.setLineDash(
    a.state === "copy" || a.state === "astray" ? [5, 4] : a.end?.harm ? [1.5, 2.5] : [],
  );
  if (a.to === a.from) {
    drawLoop(view, a, x0 + 3, y0, y1, plain, labels, alpha);
    return;
  }
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
  view.hits.push({ x0, y0, x1, y1, a, e: a.end ?? a.send, text: arrowText(a) });
  const angle = Math.atan2(y1 - y0, x1 - x0);
  if (plain && !rare) return;
  if (whole && a.state !== "missed") head(ctx, x1, y1, angle, colour, bold ? 9 : 7);
  else if (a.state === "open" || a.state === "held") {
    glyph(view, a.state === "held" ? "◫" : "…", x1 + step * 6, y1, colour, 11);
  } else glyph(view, "✕", x1, y1, colours["--red"], 12);
  if (crowd > 1.6 && !bold && !rare) return;
  if (Math.abs(y1 - y0) > 3 * Math.abs(x1 - x0) && whole) return;
  const fall = whole ? "" : ` ${a.send.fate.toLowerCase()}`;
  labels.push({
    line: [x0, y0, x1, y1],
    angle,
    step,
    text: arrowLabel(a) + fall,
    colour: `--${a.kind}`,
    alpha,
    rank: bold ? 8 : a.kind === "beat" ? 1 : 4,
  });
}

// A frame that came back to its sender.
function drawLoop(view, a, x, y0, y1, plain, labels, alpha) {
  const { ctx, colours } = view;
  ctx.beginPath();
  ctx.moveTo(x, y0);
  ctx.bezierCurveTo(x + 34, y0, x + 34, y1, x + 4, y1);
  ctx.stroke();
  view.hits.push({
    x: x + 22,
    y: (y0 + y1) / 2,
    half: Math.abs(y1 - y0) / 2,
    e: a.end ?? a.send,
    text: arrowText(a),
  });
  if (plain) return;
  head(ctx, x + 4, y1, Math.PI, colours[`--${a.kind}`], 7);
  labels.push({
    x: x + 30,
    y: (y0 + y1) / 2,
    text: arrowLabel(a),
    rank: 3,
    colour: `--${a.kind}`,
    alpha,
    most: view.lane * 0.4,
  });
}

// Kinds of which there are few, and that tell most.
const RARE = new Set(["1a", "1b", "nack"]);

function head(ctx, x, y, angle, colour, size) {
  ctx.setLineDash([]);
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x - size * Math.cos(angle - 0.4), y - size * Math.sin(angle - 0.4));
  ctx.lineTo(x - size * Math.cos(angle + 0.4), y - size * Math.sin(angle + 0.4));
  ctx.fill();
}

// `→ m1 2a 3.m0 from=2 decided=1 [2=a@3.m0]  #7` is `2a 3.m0 2=a`.
function arrowLabel(a) {
  const text = a.send.text.replace(/^→ m\d+ /, "").replace(/ {2}(#\d+|✗).*$/, "");
  return text
    .replace(/@\d+\.m?\d+/g, (ballot) => (ballot.slice(1) === a.send.ballot ? "" : ballot))
    .replace(/from=\d+ (decided=\d+) (\[.*)$/, "$2 $1")
    .replace("decided=", "d=");
}

function arrowText(a) {
  const how = {
    came: "",
    copy: "a copy of it",
    missed: "did not get in",
    astray: `astray: it was for m${a.send.peer}`,
    lost: "lost on the way",
    held: "held back",
    open: "still under way at the end",
  }[a.state];
  const took = a.end ? `${ms(a.t1 - a.t0)} on the way` : "";
  return [took, a.end?.harm ? "damaged" : "", how].filter(Boolean).join(", ");
}

function drawMarks(view, labels) {
  const { ctx, colours } = view;
  const alone = view.events.length < 40 + view.height / 2;
  const replies = repliesByTurn(view);
  for (const e of view.events) {
    if (!isShown(view, e)) continue;
    const x = xOf(view, e.m),
      y = yOf(view, e.p);
    const alpha = strength(view, e);
    ctx.globalAlpha = alpha;
    if (e.word === "decides") {
      ctx.fillStyle = colours["--decided"];
      ctx.fillRect(x - 11, y - 1.5, 9, 3);
      const heard = replies.get(`${e.m}:${e.t}`) || [];
      mark(view, labels, e, [`✓ ${slots(e)}`, ...heard].join("  "), "--decided", 5, alone);
    } else if (e.word === "leader") {
      mark(view, labels, e, `leader ${e.text}`, "--text", e.text.endsWith("itself") ? 7 : 3, alone);
    } else if (MARKS[e.word] && (alone || e.word === "dies" || e.word === "starts")) {
      const [sign, colour] = MARKS[e.word];
      const big = e.word === "dies" || e.word === "starts" || e.word === "fault";
      // Who dies and starts at one moment does it in this order.
      const below = e.word === "starts" && e.t > 0 ? 11 : 0;
      glyph(view, sign, big ? x : x - 7, y + below, colours[colour], big ? 15 : 10);
      const text =
        e.word === "applies" ? (replies.get(`${e.m}:${e.t}`) || []).join("  ") : markLabel(e);
      mark(view, labels, e, text, colour, big ? 6 : 2, alone, below);
    } else if (!QUIET.has(e.word) && alone) {
      glyph(view, "◆", x, y, colours["--soft"], 9);
      mark(view, labels, e, `${e.word} ${e.text}`, "--soft", 3, alone);
    }
    if (e === view.pin) {
      ctx.globalAlpha = 1;
      ctx.strokeStyle = colours["--accent"];
      ctx.lineWidth = 2;
      ctx.strokeRect(x - 12, y - 7, 24, 14);
      ctx.lineWidth = 1;
    }
  }
  ctx.globalAlpha = 1;
}

// What clients hear is told beside what was decided in the same turn; in the slots that the
// violation names, what each member replied, whether or not anybody heard it there.
function repliesByTurn(view) {
  const replies = new Map();
  const story = view.model.violation?.story || "";
  const named = new Set([...story.matchAll(/\bslot (\d+)/g)].map((found) => Number(found[1])));
  const told = new Set();
  for (const e of view.events) {
    const applies = e.word === "applies" && named.has(e.from) && e.text.includes(": ");
    if (!(applies || e.word === "outcome") || !isShown(view, e)) continue;
    const once = `${e.m}:${e.t}:${e.req}`;
    if (told.has(once)) continue;
    told.add(once);
    const turn = `${e.m}:${e.t}`;
    const label = applies ? e.text.slice(e.text.indexOf(": ") + 2) : markLabel(e);
    replies.set(turn, [...(replies.get(turn) || []), label]);
  }
  return replies;
}

// `submit`, `r64bcbfa9 from client 1: buy` is `client 1: buy`.
function markLabel(e) {
  if (e.word === "applies") return "";
  if (e.word === "submit") return e.text.replace(/^r[0-9a-f]{8} from /, "");
  if (e.word === "gives-up") return `${e.text.replace(/^r[0-9a-f]{8} from /, "")} gives up`;
  if (e.word === "outcome") return e.text.replace(/^r[0-9a-f]{8} (applied in slot \d+: )?/, "");
  return `${e.word} ${e.text.replace(/ promised=.*/, "")}`;
}

const slots = (e) => (e.end - e.from === 1 ? `${e.from}` : `${e.from}..${e.end}`);

function mark(view, labels, e, text, colour, rank, alone, below = 0) {
  const x = xOf(view, e.m),
    y = yOf(view, e.p) + below;
  view.hits.push({ x: x - 6, y, half: 3, e, text: "" });
  if (!text || !alone) return;
  labels.push({
    x: x - 14,
    y,
    text,
    rank,
    colour,
    alpha: strength(view, e),
    left: true,
    most: view.lane * 0.42,
  });
}

// A label is drawn where it covers no other; the more important ones come first.
function drawLabel(view, label) {
  const { ctx, colours } = view;
  if (label.alpha < 0.2) return;
  ctx.font = `${label.rank > 5 ? 600 : 400} 10.5px ui-monospace, monospace`;
  const letter = 6.35;
  let { x, y, angle = 0 } = label;
  let room = label.most ?? 400;
  let left = label.left;
  if (label.line) {
    const [x0, y0, x1, y1] = label.line;
    const length = Math.hypot(x1 - x0, y1 - y0);
    room = label.rank > 5 ? 300 : Math.max(length, view.lane * 0.45) - 30;
    left = label.step < 0;
    x = x0 + Math.cos(angle) * 16;
    y = y0 + Math.sin(angle) * 16 - 6;
    if (left) angle += Math.PI;
  }
  const letters = Math.floor(room / letter);
  if (letters < 3) return;
  const text = label.text.length > letters ? `${label.text.slice(0, letters - 1)}…` : label.text;
  const width = text.length * letter;
  if (!claim(view, left ? x - width * Math.cos(angle) : x, y, width, angle, left)) return;
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(angle);
  ctx.textAlign = left ? "right" : "left";
  ctx.textBaseline = "middle";
  ctx.globalAlpha = label.alpha;
  ctx.strokeStyle = colours["--back"];
  ctx.lineWidth = 3;
  ctx.lineJoin = "round";
  ctx.strokeText(text, 0, 0);
  ctx.fillStyle = colours[label.colour] || colours["--text"];
  ctx.fillText(text, 0, 0);
  ctx.restore();
}

function claim(view, x, y, width, angle, left) {
  const cells = [];
  const sine = Math.sin(angle);
  for (let along = 0; along <= width; along += 12) {
    const row = Math.round((y + (left ? along - width : along) * sine) / 6);
    const column = Math.round((x + along) / 12);
    cells.push(row * 4096 + column, (row + 1) * 4096 + column);
  }
  if (cells.some((cell) => view.taken.has(cell))) return false;
  cells.forEach((cell) => view.taken.add(cell));
  return true;
}

function drawHead(view) {
  const { ctx, colours, model, width } = view;
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours["--panel"];
  ctx.fillRect(0, 0, width, HEAD);
  ctx.fillStyle = colours["--line"];
  ctx.fillRect(0, HEAD - 1, width, 1);
  const t = view.timeAt(view.top);
  for (let m = 0; m < model.members; m += 1) {
    const x = xOf(view, m);
    const lead = model.leads.find((span) => span.m === m && span.t0 <= t && t < span.t1);
    const down = model.downs.some((span) => span.m === m && span.t0 <= t && t < span.t1);
    ctx.globalAlpha = view.members.size && !view.members.has(m) ? 0.35 : 1;
    ctx.fillStyle = memberColour(view, m, 1);
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.font = "600 15px system-ui, sans-serif";
    ctx.fillText(`m${m}`, x, lead || down ? 13 : HEAD / 2);
    ctx.font = "10.5px system-ui, sans-serif";
    ctx.fillStyle = colours["--soft"];
    if (lead) ctx.fillText(`leads ${lead.ballot}`, x, 29);
    else if (down) ctx.fillText("down", x, 29);
  }
  ctx.globalAlpha = 1;
  ctx.textAlign = "right";
  ctx.font = "10.5px ui-monospace, monospace";
  ctx.fillStyle = colours["--soft"];
  ctx.fillText("time", GUTTER - 10, HEAD / 2);
}
