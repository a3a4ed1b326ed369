// The live page: asks its worker once a second, and draws what it says. Everything that comes from a worker is set as
// text, never as markup: dead letters hold what strangers sent.
"use strict";

const ASK_EVERY_MS = 1000;
const ANSWER_MS_MAX = 4000;
const STALE_AFTER_MS = 3500;
const RATE_OVER_S = 5;
const WINDOW_S = 60;
const SPARK_POINTS = 90;
const SHARDS_SHOWN = 96;
const REASONS_SHOWN = 4;
const BEHIND_OFFSETS = 1000;
const BEHIND_S = 10;
// A lag below both (offsets, and seconds of the present rate) is what is on its way.

const byId = (id) => document.getElementById(id);

// Characters that are not seen, or turn the direction of what follows, are written as their numbers.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const visible = (text) => String(text).replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

function element(name, attributes, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...content.map((one) => (one instanceof Node ? one : visible(one))));
  return made;
}

function drawn(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = visible(text);
  return made;
}

// -- Words for numbers ----------------------------------------------------------------------------------------

const whole = new Intl.NumberFormat("en");
const number = (value) => (value === null || value === undefined ? "–" : whole.format(Math.round(value)));

function rate(value) {
  if (value === null) return "–";
  if (value === 0) return "0";
  return value < 10 ? value.toFixed(1) : number(value);
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 1) return `${value < 0.01 ? (value * 1000).toFixed(1) : Math.round(value * 1000)} ms`;
  if (value < 90) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

const megabytes = (bytes) => (bytes === undefined ? "–" : `${number(bytes / 1048576)} MiB`);

function instant(ms) {
  const at = new Date(ms);
  const is_today = at.toDateString() === new Date().toDateString();
  return is_today ? at.toLocaleTimeString() : at.toLocaleString();
}

// -- What the last minute was ------------------------------------------------------------------------------------
// Counters begin anew with a worker's process, so each process has its own history, by its start.

const histories = new Map();

function remember(worker) {
  const key = `${worker.app}/${worker.worker}/${worker.started_at_ms}`;
  for (const known of histories.keys()) {
    if (known !== key && known.startsWith(`${worker.app}/${worker.worker}/`)) histories.delete(known);
  }
  const history = histories.get(key) || [];
  const last = history[history.length - 1];
  if (!last || worker.clock_s > last.clock_s) history.push(worker);
  while (history.length > 2 && worker.clock_s - history[1].clock_s > WINDOW_S) history.shift();
  histories.set(key, history);
  return history;
}

function before(history, span_s) {
  const last = history[history.length - 1];
  let found = history[0];
  for (const one of history) {
    if (last.clock_s - one.clock_s < span_s * 0.9) break;
    found = one;
  }
  return found;
}

function gained(history, span_s, read) {
  const last = history[history.length - 1], first = before(history, span_s);
  const passed_s = last.clock_s - first.clock_s;
  if (passed_s <= 0) return null;
  return { amount: (read(last) || 0) - (read(first) || 0), passed_s };
}

function perSecond(all, read, span_s = RATE_OVER_S) {
  let sum = null;
  for (const history of all) {
    const gain = gained(history, span_s, read);
    if (gain) sum = (sum || 0) + Math.max(0, gain.amount) / gain.passed_s;
  }
  return sum;
}

const total = (workers, read) => workers.reduce((sum, one) => sum + (read(one) || 0), 0);

function histogramOf(all, read) {
  let result = null;
  for (const history of all) {
    const last = read(history[history.length - 1]), first = read(before(history, WINDOW_S));
    if (!last || !first || last === first) continue;
    result = result || { bounds: last.bounds, counts: last.counts.map(() => 0), sum: 0 };
    last.counts.forEach((count, at) => { result.counts[at] += Math.max(0, count - first.counts[at]); });
    result.sum += last.sum - first.sum;
  }
  if (result) result.count = result.counts.reduce((sum, one) => sum + one, 0);
  return result && result.count ? result : null;
}

function quantile(histogram, share) {
  const wanted = histogram.count * share;
  let seen = 0;
  for (let at = 0; at < histogram.counts.length; at++) {
    const count = histogram.counts[at];
    if (count && seen + count >= wanted) {
      const low = at ? histogram.bounds[at - 1] : 0;
      const high = at < histogram.bounds.length ? histogram.bounds[at] : low;
      return low + ((high - low) * (wanted - seen)) / count;
    }
    seen += count;
  }
  return null;
}

// -- Verdict ----------------------------------------------------------------------------------------------------

function verdictOf(found, shards) {
  const workers = [found.own, ...found.others];
  const silent = workers.filter((one) => one.is_silent);
  if (silent.length) return ["bad", "✕", `not serving: ${silent.map((one) => one.worker).join(", ")} does not answer`];
  const waiting = workers.filter((one) => one.broker !== "up");
  if (waiting.length) {
    const is_start = waiting.every((one) => one.broker === "connecting");
    return is_start ? ["warn", "◐", "connecting to the broker"] : ["bad", "✕", "not serving: the broker is away"];
  }
  const closed = shards.filter((one) => one.state !== "open");
  if (closed.length) {
    const is_failed = closed.some((one) => one.state === "failed");
    return [is_failed ? "bad" : "warn", is_failed ? "✕" : "◐", `${shards.length - closed.length} of ${shards.length} shards open`];
  }
  if (!shards.length) {
    return found.own.has_joined ? ["warn", "◐", "standing by: no shard is assigned to this worker"] : ["warn", "◐", "waiting for the group to assign shards"];
  }
  return ["good", "✓", "serving"];
}

function reasonsOf(found, shards) {
  const workers = [found.own, ...found.others];
  const reasons = [];
  for (const one of workers) {
    if (one.is_silent) reasons.push(`${one.worker} (${one.app}, process ${one.pid || "none"}) does not answer`);
    else if (one.broker !== "up" && one.broker !== "connecting") reasons.push(`${one.worker} (${one.app}): ${one.broker}`);
  }
  const failed = shards.filter((one) => one.state === "failed");
  for (const one of failed.slice(0, REASONS_SHOWN)) reasons.push(`shard ${one.shard} (${one.app}): ${one.detail}`);
  if (failed.length > REASONS_SHOWN) reasons.push(`${failed.length - REASONS_SHOWN} more shards failed`);
  return reasons;
}

function shardsOf(found) {
  const rows = new Map();
  const order = ["open", "opening", "failed", "unowned"];
  const apps = new Set([found.own, ...found.others].map((one) => one.app));
  if (found.shards !== null) {
    for (const app of apps) {
      for (let shard = 0; shard < found.shards; shard++) rows.set(`${app}/${shard}`, { app, shard, state: "unowned", inputs: {} });
    }
  }
  for (const worker of [found.own, ...found.others]) {
    for (const one of worker.shards || []) {
      const key = `${worker.app}/${one.shard}`, known = rows.get(key);
      if (known && order.indexOf(known.state) <= order.indexOf(one.state)) continue;
      rows.set(key, { ...one, app: worker.app, worker: worker.worker });
    }
  }
  return [...rows.values()].sort((a, b) => a.app.localeCompare(b.app) || a.shard - b.shard);
}

const STATES = { open: ["good", "✓"], opening: ["warn", "◐"], failed: ["bad", "✕"], unowned: ["bad", "–"] };
const MEANING = { unowned: "no worker that answers has it" };

function stateOf(word, kind, mark) {
  return element("span", { class: "state", "data-state": kind }, element("span", { "aria-hidden": "true" }, mark), word);
}

// -- Tiles ------------------------------------------------------------------------------------------------------

const sparks = new Map();

function spark(name, value) {
  const points = sparks.get(name) || [];
  if (value !== null) points.push(value);
  while (points.length > SPARK_POINTS) points.shift();
  sparks.set(name, points);
  const top = Math.max(...points) || 1;
  const step = 100 / (SPARK_POINTS - 1), begin = 100 - (points.length - 1) * step;
  const path = points.map((one, at) => `${at ? "L" : "M"}${(begin + at * step).toFixed(2)} ${(25 - (one / top) * 24).toFixed(2)}`).join("");
  const svg = drawn("svg", { viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(drawn("path", { d: path }));
  return svg;
}

function tile(name, value, unit, line) {
  const content = element("dd", {}, value, unit ? element("small", {}, ` ${unit}`) : "");
  const made = element("div", {}, element("dt", {}, name), content);
  if (line) made.append(line);
  return made;
}

function drawTiles(all, workers, shards, latency) {
  const asked = perSecond(all, (one) => one.records_in && one.records_in["ingest.requests"]);
  const sequenced = perSecond(all, (one) => one.records_in && one.records_in["inbox.appends"]);
  const units = perSecond(all, (one) => one.counters["engine.units"]);
  const lag = shards.reduce((sum, one) => sum + Object.values(one.inputs).reduce((inner, input) => inner + (input.lag || 0), 0), 0);
  byId("tiles").replaceChildren(
    tile("Requests", rate(asked), "/s", spark("requests", asked)),
    tile("Inbox updates", rate(sequenced), "/s", spark("updates", sequenced)),
    tile("Latency p50", latency ? seconds(quantile(latency, 0.5)) : "–", latency ? "" : "nothing delivered", spark("p50", latency && quantile(latency, 0.5))),
    tile("Latency p99", latency ? seconds(quantile(latency, 0.99)) : "–", "", spark("p99", latency && quantile(latency, 0.99))),
    tile("Lag, all inputs", number(lag), "offsets", spark("lag", lag)),
    tile("Units of work", rate(units), "/s", spark("units", units)),
    tile("Dead letters", number(total(workers, deadLettersOf)), "since start"),
  );
}

const deadLettersOf = (one) => one.counters["engine.dead_letters"] || one.counters["split_store.dead_letters"] || 0;

// -- The picture ---------------------------------------------------------------------------------------------------

const WIDTH = 1200, HEIGHT = 350;
const BOXES = {
  senders: [5, 20, 90, 130, "senders", "any client"],
  ingest: [255, 20, 110, 130, "ingest"],
  fanout: [525, 20, 110, 130, "fanout"],
  sequencer: [765, 20, 110, 130, "sequencer"],
  delivery: [883, 20, 84, 130, "delivery"],
  endpoints: [1098, 20, 97, 320, "endpoints", "devices"],
  dead: [248, 230, 124, 90, "dead letters", "from any stage"],
  split_store: [525, 230, 110, 90, "split_store"],
  queues: [720, 230, 110, 90, "inboxes", "kept queues"],
  replay: [883, 210, 84, 130, "replay"],
};
// topic, path, where its words stand (and whether they begin there); what a topic's arrow means comes from the worker.
const ARROWS = [
  ["ingest.requests", "M95 50H248", 173, 40],
  ["ingest.results", "M255 112H102", 178, 102],
  ["thread.operations", "M365 50H518", 443, 40],
  ["ingest.refusals", "M525 112H372", 447, 102],
  ["inbox.appends", "M635 80H758", 698, 70],
  ["thread.messages", "M580 150V223", 590, 180, true],
  ["inbox.updates", "M795 150V223", 805, 180, true],
  ["delivery.*", "M967 80H1091", 1030, 70],
  ["endpoint.commands", "M1098 240H974", 1033, 230],
  ["replay.updates", "M967 302H1091", 1030, 292],
  ["dead.letters", "M310 150V223", 320, 180, true],
];

function topicsOf(stages) {
  const topics = new Map();
  const of = (topic) => {
    if (!topics.has(topic)) topics.set(topic, { topic, from: [], to: [] });
    return topics.get(topic);
  };
  for (const stage of stages) {
    stage.reads.forEach((topic) => of(topic).to.push(stage.name));
    stage.writes.forEach((topic) => of(topic).from.push(stage.name));
  }
  return topics;
}

function flowsOf(found, all, workers) {
  const flows = [];
  for (const { topic, from, to } of topicsOf(found.stages).values()) {
    const side = from.length ? "records_out" : "records_in";
    flows.push({ topic, from, to, rate: perSecond(all, (one) => one[side] && one[side][topic]), total: total(workers, (one) => one[side] && one[side][topic]) });
  }
  const dead = { topic: "dead.letters", from: ["any stage"], to: ["an operator"] };
  flows.push({ ...dead, rate: perSecond(all, deadLettersOf), total: total(workers, deadLettersOf) });
  return flows;
}

function flowOf(flows, name) {
  const matching = name.endsWith("*") ? flows.filter((one) => one.topic.startsWith(name.slice(0, -1))) : flows.filter((one) => one.topic === name);
  if (!matching.length) return null;
  return matching.some((one) => one.rate === null) ? null : matching.reduce((sum, one) => sum + one.rate, 0);
}

function drawPicture(found, flows, shards) {
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const marker = drawn("marker", { id: "tip", viewBox: "0 0 10 10", refX: 8, refY: 5, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" });
  marker.append(drawn("path", { d: "M0 0L10 5L0 10z" }));
  const definitions = drawn("defs");
  definitions.append(marker);
  svg.append(definitions);
  const stages = new Map(found.stages.map((one) => [one.name, one]));
  for (const [name, [x, y, width, height, title, below]] of Object.entries(BOXES)) {
    const stage = stages.get(name);
    svg.append(drawn("rect", { class: stage ? "box stage" : "box", x, y, width, height, rx: 9 }));
    const middle = x + width / 2, centre = y + height / 2;
    svg.append(drawn("text", { class: "name", x: middle, y: centre - 2 }, title));
    let words = below, kind = "small";
    if (name === "delivery") words = "same unit";
    else if (stage) {
      const lags = stage.reads.flatMap((topic) => shards.map((one) => one.inputs[topic]).filter((input) => input && input.lag !== null && input.lag !== undefined).map((input) => input.lag));
      const lag = lags.reduce((sum, one) => sum + one, 0);
      const is_open = shards.some((one) => one.app === stage.app && one.state === "open");
      words = !is_open ? "not open" : lags.length ? `lag ${number(lag)}` : "lag unknown";
      const taken = stage.reads.reduce((sum, topic) => sum + (flowOf(flows, topic) || 0), 0);
      if (!is_open || lag > Math.max(BEHIND_OFFSETS, BEHIND_S * taken)) kind = "small behind";
    }
    svg.append(drawn("text", { class: kind, x: middle, y: centre + 18 }, words));
  }
  for (const [topic, path, x, y, is_beside] of ARROWS) {
    const value = flowOf(flows, topic);
    const group = drawn("g", { class: value > 0 ? (topic === "dead.letters" ? "flows trouble" : "flows") : "" });
    const anchor = is_beside ? " left" : "";
    group.append(drawn("path", { class: "arrow", d: path, "marker-end": "url(#tip)" }));
    group.append(drawn("text", { class: `topic${anchor}`, x, y }, topic));
    group.append(drawn("text", { class: `rate${anchor}`, x, y: y + (is_beside ? 18 : 28) }, value === null ? "–" : `${rate(value)}/s`));
    svg.append(group);
  }
  byId("picture").replaceChildren(svg);
  byId("flows").replaceChildren(...flows.map((one) => element("tr", {},
    element("td", {}, element("code", {}, one.topic), element("span", { class: "quiet narrow" }, `${one.from.join(", ") || "clients"} → ${one.to.join(", ") || "clients"}`)),
    element("td", { class: "drop" }, one.from.join(", ") || "clients"), element("td", { class: "drop" }, one.to.join(", ") || "clients"), element("td", { class: "number" }, rate(one.rate)),
    element("td", { class: "number drop" }, number(one.total)))));
}

// -- Latency, workers, shards, dead letters ---------------------------------------------------------------------

function drawLatency(latency) {
  const words = byId("latency-words"), bars = byId("latency");
  if (!latency) {
    words.textContent = "Nothing was delivered in the last minute.";
    bars.replaceChildren();
    return;
  }
  words.textContent = `${number(latency.count)} updates in the last minute: half within ${seconds(quantile(latency, 0.5))}, 99 % within ${seconds(quantile(latency, 0.99))}`;
  const used = latency.counts.map((count, at) => (count ? at : -1)).filter((at) => at >= 0);
  const most = Math.max(...latency.counts);
  const rows = [];
  for (let at = used[0]; at <= used[used.length - 1]; at++) {
    const low = at ? seconds(latency.bounds[at - 1]) : "0", high = at < latency.bounds.length ? seconds(latency.bounds[at]) : null;
    const share = (100 * latency.counts[at]) / latency.count;
    const fill = element("div", { class: "fill" });
    fill.style.width = `${(100 * latency.counts[at]) / most}%`;
    rows.push(element("li", {},
      element("span", { class: "range" }, high ? `${low} – ${high}` : `over ${low}`),
      element("div", { class: "track", "aria-hidden": "true" }, latency.counts[at] ? fill : ""),
      element("span", {}, share && share < 1 ? "< 1 %" : `${Math.round(share)} %`)));
  }
  bars.replaceChildren(...rows);
}

function drawWorkers(found, of) {
  byId("workers").replaceChildren(...[found.own, ...found.others].map((one) => {
    const history = of.get(one);
    const state = one.is_silent ? ["bad", "✕", "silent"] : one.broker === "up" ? ["good", "✓", "serving"] : one.broker === "connecting" ? ["warn", "◐", "connecting"] : ["bad", "✕", "waiting"];
    const name = element("td", { class: "name" }, one.worker, one === found.own ? element("span", { class: "quiet" }, " this one") : "");
    const words = element("td", {}, stateOf(state[2], state[0], state[1]));
    const units = history ? perSecond([history], (each) => each.counters["engine.units"]) : null;
    const cpu = history ? perSecond([history], (each) => each.cpu_s) : null;
    return element("tr", {}, name, element("td", { class: "drop" }, one.app), words,
      element("td", { class: "number" }, one.app === "pipeline" ? rate(units) : "–"),
      element("td", { class: "number" }, cpu === null ? "–" : `${Math.round(cpu * 100)} %`),
      element("td", { class: "number" }, megabytes(one.memory_bytes)),
      element("td", { class: "number drop" }, seconds(one.loop_delay_s)));
  }));
}

function drawUnits(all) {
  const sizes = histogramOf(all, (one) => one.unit_records);
  const facts = [["records a unit", sizes ? number(sizes.sum / sizes.count) : "–"]];
  for (const phase of ["run", "commit", "local"]) {
    const times = histogramOf(all, (one) => one.unit_seconds && one.unit_seconds[phase]);
    facts.push([phase === "local" ? "local batch, mean" : `${phase}, mean`, times ? seconds(times.sum / times.count) : "–"]);
  }
  byId("units").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

// Copies follow a shard of the pipeline on other workers: who has one, and how many offsets it is behind.
function copiesOf(found, shard) {
  const copies = [];
  for (const worker of [found.own, ...found.others]) {
    if (worker.app !== shard.app) continue;
    for (const one of worker.standbys || []) if (one.shard === shard.shard) copies.push(`${worker.worker}, ${one.behind === null ? "opening" : `${number(one.behind)} behind`}`);
  }
  return copies.join("; ") || "–";
}

function drawShards(found, shards) {
  const open = shards.filter((one) => one.state === "open").length;
  byId("shards-words").textContent = shards.length ? `${open} of ${shards.length} open` : "none assigned to this worker";
  const shown = shards.length > SHARDS_SHOWN ? [...shards.filter((one) => one.state !== "open"), ...shards.filter((one) => one.state === "open")].slice(0, SHARDS_SHOWN) : shards;
  byId("shards-more").hidden = shown.length === shards.length;
  byId("shards-more").textContent = `${shards.length - shown.length} more; all of them: lockstep status`;
  byId("shards").replaceChildren(...shown.map((one) => {
    const [kind, mark] = STATES[one.state] || ["warn", "?"];
    const inputs = Object.values(one.inputs);
    const known = (read) => (inputs.some((input) => read(input) !== null && read(input) !== undefined) ? number(inputs.reduce((sum, input) => sum + (read(input) || 0), 0)) : "–");
    const detail = element("td", { class: "detail" });
    if (one.state === "opening" && one.rows_total) {
      detail.append(element("progress", { max: one.rows_total, value: Math.min(one.rows_read, one.rows_total), "aria-label": `restoring shard ${one.shard}` }), `restored ${number(one.rows_read)} of ${number(one.rows_total)} records`);
    } else {
      const behind = Object.entries(one.inputs).filter(([, input]) => input.lag).map(([topic, input]) => `${topic} ${number(input.lag)}`).join(", ");
      detail.append(visible(one.detail || MEANING[one.state] || behind));
    }
    return element("tr", {}, element("td", {}, one.app), element("td", { class: "number" }, one.shard), element("td", {}, stateOf(one.state, kind, mark)),
      element("td", { class: "name" }, one.worker || "–"), element("td", { class: "number drop" }, number(one.claim)), element("td", { class: "number" }, known((input) => input.lag)),
      element("td", { class: "number drop" }, known((input) => input.pending)), element("td", { class: "drop" }, copiesOf(found, one)), detail);
  }));
}

function drawDeadLetters(workers) {
  const letters = workers.flatMap((worker) => (worker.dead_letters || []).map((one) => ({ ...one, worker: worker.worker })));
  letters.sort((a, b) => b.at_ms - a.at_ms);
  byId("dead-none").hidden = letters.length > 0;
  byId("dead-table").hidden = letters.length === 0;
  byId("dead").replaceChildren(...letters.slice(0, 20).map((one) => element("tr", {},
    element("td", {}, element("strong", {}, one.code)), element("td", {}, element("code", {}, one.topic)), element("td", { class: "number", "data-label": "partition" }, one.partition),
    element("td", { class: "number", "data-label": "offset" }, one.offset), element("td", {}, element("time", { datetime: new Date(one.at_ms).toISOString() }, instant(one.at_ms))),
    element("td", { class: "name" }, one.worker), element("td", { class: "detail" }, one.detail))));
}

// -- Asking -----------------------------------------------------------------------------------------------------

let answered_at = null, lost_since = null;

function draw(found) {
  const workers = [found.own, ...found.others.filter((one) => !one.is_silent)];
  const of = new Map(workers.map((one) => [one, remember(one)]));
  const all = [...of.values()];
  const shards = shardsOf(found);
  const latency = histogramOf(all, (one) => one.latency);
  const [kind, mark, words] = verdictOf(found, shards);
  show(kind, mark, words);
  const reasons = reasonsOf(found, shards);
  byId("reasons").hidden = reasons.length === 0;
  byId("reasons").replaceChildren(...reasons.map((one) => element("li", {}, one)));
  byId("where").textContent = visible(found.shards === null ? `${found.own.worker} (${found.own.app}), this worker alone` : `seen from ${found.own.worker}`);
  byId("version").textContent = `version ${found.own.version}, process ${found.own.pid}, up ${seconds((found.own.at_ms - found.own.started_at_ms) / 1000)}`;
  document.title = kind === "good" ? "Lockstep" : `${mark} Lockstep: ${words}`;
  drawTiles(all, workers, shards, latency);
  drawPicture(found, flowsOf(found, all, workers), shards);
  drawLatency(latency);
  drawWorkers(found, of);
  drawUnits(all);
  drawShards(found, shards);
  drawDeadLetters(workers);
}

function show(kind, mark, words) {
  const verdict = byId("verdict");
  if (verdict.dataset.state === kind && verdict.querySelector(".words").textContent === visible(words)) return;
  verdict.dataset.state = kind;
  verdict.querySelector(".mark").textContent = mark;
  verdict.querySelector(".words").textContent = visible(words);
}

function showAge() {
  const lost = byId("lost");
  const now = performance.now();
  if (answered_at !== null) {
    const age_s = (now - answered_at) / 1000;
    byId("age").textContent = age_s < 1.5 ? "figures of this second" : `figures are ${seconds(age_s)} old`;
  }
  const is_stale = answered_at !== null ? now - answered_at > STALE_AFTER_MS : lost_since !== null;
  byId("figures").classList.toggle("stale", is_stale);
  lost.hidden = !is_stale;
  if (!is_stale) return;
  const said = answered_at === null ? "The worker does not answer; trying again each second." : "The connection to the worker is lost: what stands below is what it last said. Trying again each second.";
  if (lost.textContent !== said) lost.textContent = said;
  show("bad", "✕", "connection lost");
  document.title = "✕ Lockstep: connection lost";
}

async function ask() {
  if (!document.hidden) {
    try {
      const response = await fetch("../lockstep/live", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      if (!response.ok) throw new Error(`the worker answered ${response.status}`);
      const found = await response.json();
      answered_at = performance.now();
      lost_since = null;
      draw(found);
    } catch (error) {
      if (lost_since === null) lost_since = performance.now();
      console.warn("lockstep:", error);
    }
    showAge();
  }
  setTimeout(ask, ASK_EVERY_MS);
}

const narrow = matchMedia("(max-width: 50rem)");
const openTable = () => { byId("flow-details").open = narrow.matches; };
narrow.addEventListener("change", openTable);
openTable();
setInterval(showAge, 250);
ask();
