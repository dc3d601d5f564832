// What happened, and what follows from it: messages, writes, lives, leaderships, cuts.
"use strict";

const FIELDS = [
  "t",
  "m",
  "word",
  "text",
  "msg",
  "kind",
  "peer",
  "fate",
  "harm",
  "ballot",
  "from",
  "end",
  "write",
  "req",
  "until",
];

function readModel(data) {
  const events = data.events.map((row, i) => {
    const event = { i };
    FIELDS.forEach((field, place) => {
      event[field] = row[place] ?? null;
    });
    event.word = data.words[event.word];
    if (event.kind !== null) event.kind = data.kinds[event.kind];
    if (event.fate !== null) event.fate = data.fates[event.fate];
    return event;
  });
  const model = { ...data, events };
  model.end = Math.max(data.lasted, events.length ? events[events.length - 1].t : 0);
  Object.assign(model, {
    arrows: readArrows(events),
    writes: readWrites(events, model),
    ...readSpans(events, model),
    turns: readTurns(events),
  });
  return model;
}

// Each copy of a message is an arrow of its own. `state` says how it ends.
function readArrows(events) {
  const byNumber = new Map();
  for (const e of events) {
    if (e.msg === null || e.word === "blames") continue;
    if (!byNumber.has(e.msg)) byNumber.set(e.msg, { send: null, ends: [] });
    const message = byNumber.get(e.msg);
    if (e.word === "sends" || e.word === "stranger") message.send = e;
    else message.ends.push(e);
  }
  const arrows = [];
  for (const { send, ends } of byNumber.values()) {
    if (!send) continue;
    const base = { kind: send.kind, from: send.m, to: send.peer, t0: send.t, send };
    ends.forEach((end, copy) => {
      const state =
        end.word === "misses"
          ? "missed"
          : end.m !== send.peer
            ? "astray"
            : copy > 0
              ? "copy"
              : "came";
      arrows.push({ ...base, to: end.m, t1: end.t, end, state });
    });
    if (!ends.length) {
      const state = send.fate === "Sent" ? "open" : send.fate === "Held" ? "held" : "lost";
      arrows.push({ ...base, t1: send.t, end: null, state });
    }
  }
  for (const a of arrows) {
    a.send.arrows = [...(a.send.arrows ?? []), a];
    if (a.end) a.end.arrows = [a];
  }
  return arrows.sort((a, b) => a.t0 - b.t0);
}

// A write lasts until a sync covers it, or for ever.
function readWrites(events, model) {
  const open = new Map();
  const writes = [];
  const close = (m, t, upto, how) => {
    const mine = open.get(m) ?? [];
    open.set(
      m,
      mine.filter((w) => {
        if (upto !== null && w.e.write > upto.write) return true;
        Object.assign(w, { t1: t, how, synced: upto });
        return false;
      }),
    );
  };
  for (const e of events) {
    if (e.word === "write") {
      const mine = open.get(e.m) ?? [];
      const taken = new Set(mine.map((w) => w.row));
      let row = 0;
      while (taken.has(row)) row += 1;
      const w = { m: e.m, t0: e.t, t1: model.end, e, row: Math.min(row, 4), how: "open" };
      e.writeSpan = w;
      writes.push(w);
      open.set(e.m, [...mine, w]);
    } else if (e.word === "synced") close(e.m, e.t, e, "synced");
    else if (e.word === "dies") close(e.m, e.t, null, "lost");
  }
  for (const w of writes) {
    if (w.synced) w.synced.covers = [...(w.synced.covers ?? []), w];
  }
  return writes;
}

// Times in which a member is down, stopped, stalled or leads, and in which a link is cut.
function readSpans(events, model) {
  const slows = [],
    downs = [],
    pauses = [],
    stalls = [],
    leads = [],
    prepares = [],
    cuts = [],
    clogs = [];
  const open = {
    down: new Map(),
    stall: new Map(),
    lead: new Map(),
    prepare: new Map(),
    cut: new Map(),
    slow: new Map(),
  };
  for (let m = 0; m < model.members; m += 1) open.down.set(m, { m, t0: 0 });
  const end = (kind, key, t, into) => {
    const span = open[kind].get(key);
    if (!span) return;
    open[kind].delete(key);
    into.push({ ...span, t1: t });
  };
  for (const e of events) {
    const link = `${e.m} ${e.peer}`;
    switch (e.word) {
      case "starts":
        end("down", e.m, e.t, downs);
        break;
      case "dies":
        open.down.set(e.m, { m: e.m, t0: e.t, e });
        end("lead", e.m, e.t, leads);
        end("prepare", e.m, e.t, prepares);
        end("stall", e.m, e.t, stalls);
        pauses
          .filter((p) => p.m === e.m && p.t1 > e.t)
          .forEach((p) => {
            p.t1 = e.t;
          });
        break;
      case "pause":
        if (e.until > e.t) pauses.push({ m: e.m, t0: e.t, t1: Math.min(e.until, model.end), e });
        break;
      case "slow":
        end("slow", e.m, e.t, slows);
        if (!e.text.startsWith("by 0 ")) open.slow.set(e.m, { m: e.m, t0: e.t, e });
        break;
      case "stall":
        open.stall.set(e.m, { m: e.m, t0: e.t, e });
        break;
      case "flow":
        end("stall", e.m, e.t, stalls);
        break;
      case "sends": {
        // It prepares from its 1a on, until it leads, or promises another.
        const before = open.prepare.get(e.m);
        const other = e.ballot !== null && e.ballot !== before?.ballot;
        if (other && (e.kind === "1a" || e.kind === "1b" || e.kind === "2b")) {
          end("prepare", e.m, e.t, prepares);
          if (e.kind === "1a") open.prepare.set(e.m, { m: e.m, t0: e.t, e, ballot: e.ballot });
        }
        break;
      }
      case "leader":
        end("lead", e.m, e.t, leads);
        end("prepare", e.m, e.t, prepares);
        if (e.text.endsWith("itself")) open.lead.set(e.m, { m: e.m, t0: e.t, e, ballot: e.ballot });
        break;
      case "cuts":
        if (!open.cut.has(link)) {
          open.cut.set(link, { m: e.m, peer: e.peer, t0: e.t, e });
        }
        break;
      case "clogs":
        clogs.push({ m: e.m, peer: e.peer, t0: e.t, t1: Math.min(e.until, model.end), e });
        break;
      case "mends":
        end("cut", link, e.t, cuts);
        clogs
          .filter((c) => c.m === e.m && c.peer === e.peer && c.t1 > e.t)
          .forEach((c) => {
            c.t1 = e.t;
          });
        break;
    }
  }
  const kinds = [
    ["down", downs],
    ["stall", stalls],
    ["lead", leads],
    ["prepare", prepares],
    ["cut", cuts],
    ["slow", slows],
  ];
  for (const [kind, into] of kinds) {
    for (const key of [...open[kind].keys()]) end(kind, key, model.end, into);
  }
  return { slows, downs, pauses, stalls, leads, prepares, cuts, clogs };
}

// What a process does in one turn happens at one moment: its inputs caused its outputs.
function readTurns(events) {
  const turns = new Map();
  for (const e of events) {
    const key = `${e.m} ${e.t}`;
    if (!turns.has(key)) turns.set(key, []);
    turns.get(key).push(e);
  }
  return turns;
}

const INPUTS = new Set(["gets", "synced", "submit", "eio", "starts"]);
const OUTPUTS = new Set(["sends", "write", "decides", "applies", "outcome", "leader"]);

// What led to an event and what it led to, turn by turn, with the distance of each.
function causeAndEffect(model, event, depth) {
  const near = new Map([[event, 0]]);
  const walk = (start, next) => {
    let layer = [start];
    for (let step = 1; step <= depth && near.size < 400; step += 1) {
      const following = [];
      for (const e of layer) {
        for (const other of next(e)) {
          if (near.has(other)) continue;
          near.set(other, step);
          following.push(other);
        }
      }
      layer = following;
    }
  };
  const turn = (e) => model.turns.get(`${e.m} ${e.t}`) ?? [];
  walk(event, (e) => {
    if (e.word === "gets" || e.word === "misses") return (e.arrows ?? []).map((a) => a.send);
    if (e.word === "synced") return (e.covers ?? []).map((w) => w.e);
    if (OUTPUTS.has(e.word)) return turn(e).filter((o) => INPUTS.has(o.word) && o.i < e.i);
    return [];
  });
  walk(event, (e) => {
    if (e.word === "sends") return (e.arrows ?? []).flatMap((a) => a.end ?? []);
    if (e.word === "write") return e.writeSpan?.synced ? [e.writeSpan.synced] : [];
    if (INPUTS.has(e.word)) return turn(e).filter((o) => OUTPUTS.has(o.word) && o.i > e.i);
    return [];
  });
  return near;
}

// `slot:4 ballot:3.m1 m0 2a #17 word`: all must hold. Returns null for an empty filter.
function readFilter(text, kinds) {
  const tests = text
    .trim()
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const [, key, value] = /^(slot|ballot|m|msg|w):?(.*)$/.exec(word) ?? [];
      if (key === "slot" && /^\d+$/.test(value)) {
        // A 2b names the end of what it accepts: the slot before is what is new in it.
        const end = ` end=${+value + 1}`;
        return (e) =>
          e.kind === "2b"
            ? `${e.text} `.includes(`${end} `)
            : e.from !== null && e.from <= +value && +value < e.end;
      }
      if (key === "ballot" && value) return (e) => e.ballot === value;
      if (key === "m" && /^\d+$/.test(value)) return (e) => e.m === +value || e.peer === +value;
      if (key === "w" && /^\d+$/.test(value)) return (e) => e.write === +value;
      if (/^#\d+$/.test(word)) return (e) => e.msg === +word.slice(1);
      if (kinds.includes(word)) return (e) => e.kind === word;
      return (e) => e.word.includes(word) || e.text.toLowerCase().includes(word);
    });
  return tests.length ? (e) => tests.every((test) => test(e)) : null;
}
