// A room's lines on the page: what the timeline holds, as list items, changed only where it has changed. All
// text goes in as text; nothing that anybody wrote is ever read as markup.

import { names, said, sent } from "./files.js";
import { called, isGone } from "./guests.js";

/** The items to show: events, then what is said here and is not yet one; of whom one has `blocked`, by number, no text. */
export function items(timeline, blocked = new Map()) {
  const line = (event) => (blocked.has(event.message?.from?.id) ? unseen(event.message) : told(event, timeline, blocked));
  const lines = timeline.events.map((event) => ({ key: `e${event.seq}`, event, ...line(event) }));
  const shown = lines.filter((line) => line.text !== undefined);
  if (!timeline.atHead) return shown;
  const waiting = timeline.pending.map((line) => {
    const text = said({ body: line.body, attachments: line.files });
    return { key: `p${line.origin_id}`, pending: line, text };
  });
  return shown.concat(waiting);
}

/** What is said, where that is more than the names of the files that are shown. */
function text(body, files) {
  return files.length > 0 && body === names(files) ? "" : body;
}

/** What is shown of one who is blocked. */
function unseen({ from }) {
  return { who: called(from), text: "(you have blocked the sender)", state: "deleted" };
}

/** What an event says; nothing for kinds that this version does not know. */
function told({ message, joined, left, created, moderated, set }, timeline, blocked) {
  if (message?.deleted) return { who: called(message.from), text: "(deleted)", state: "deleted" };
  if (message) {
    const files = message.attachments ?? [];
    const body = text(message.body, files);
    const quote = message.in_reply_to ? quoted(message.in_reply_to, timeline, blocked) : undefined;
    const reactions = message.reactions ?? [];
    const given = reactions.map((one) => `${one.reaction} ${one.count} ${one.mine}`);
    const who = called(message.from);
    const shown = JSON.stringify([who, message.edited ?? 0, quote, given]);
    const unseen = body === "" && files.length > 0 ? sent(files) : undefined;
    return { who, text: message.edited ? `${body} (edited)`.trim() : body, unseen, quote, files, reactions, shown };
  }
  if (joined) return { text: `${called(joined.user)} joined` };
  if (left) return { text: isGone(left.user) ? `${called(left.user)} is gone` : `${called(left.user)} left` };
  if (created) return { text: `${called(created.by)} made the room` };
  if (moderated) {
    const did = ACTS[moderated.act] ?? "did something to";
    const role = moderated.act === "set_role" ? ` ${moderated.role}` : "";
    return { text: `${called(moderated.by)} ${did} ${called(moderated.user)}${role}` };
  }
  if (set?.name !== undefined) return { text: `${called(set.by)} named the room ${set.name}` };
  if (set) return { text: `${called(set.by)} changed the room's settings` };
  return {};
}

/** What a line answers, as far as it is held here. */
function quoted(seq, timeline, blocked) {
  const message = timeline.events.find((event) => event.seq === seq)?.message;
  if (!message) return "an older message";
  if (blocked.has(message.from?.id)) return "a message of one you have blocked";
  return message.deleted ? "a deleted message" : `${called(message.from)}: ${said(message)}`.slice(0, QUOTE_CHARS);
}

/** So much of a message is shown above its answer. */
const QUOTE_CHARS = 80;
/** What a click gives where nobody has reacted. */
const THUMB = "\u{1F44D}";

const ACTS = {
  kick: "removed",
  ban: "banned",
  unban: "lifted the ban of",
  mute: "muted",
  unmute: "unmuted",
  voice: "gave voice to",
  unvoice: "took voice from",
  invite: "invited",
  set_role: "made",
  delete_all: "deleted all messages of",
};

/**
 * Makes `list` show `wanted`, by key; `act(what, origin_id)` is called for a failed line's buttons, and
 * `carried(event, file)` makes what shows a file.
 */
export function show(list, wanted, me, act, carried) {
  const have = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const keys = new Set(wanted.map((line) => line.key));
  for (const [key, item] of have) if (!keys.has(key)) item.remove();
  let place = list.firstElementChild;
  for (const line of wanted) {
    let item = have.get(line.key);
    if (!item) item = element("li", { key: line.key });
    paint(item, line, me, act, carried);
    if (item === place) place = place.nextElementSibling;
    else list.insertBefore(item, place);
  }
}

function paint(item, line, me, act, carried) {
  const state = line.pending?.state ?? line.state ?? "told";
  const shown = `${state} ${line.shown ?? line.who ?? line.text}`;
  if (item.dataset.shown === shown) return;
  Object.assign(item.dataset, { state, shown });
  const who = line.pending ? me : line.who;
  item.className = who === undefined ? "fact" : who === me ? "line mine" : "line";
  const parts = [];
  if (who !== undefined) parts.push(element("b", {}, who));
  if (line.quote !== undefined) parts.push(element("q", {}, line.quote));
  if (line.unseen !== undefined) parts.push(heard(line.unseen));
  parts.push(element("span", {}, line.text));
  if (line.reactions) parts.push(...reactions(line, act));
  if (line.event) parts.push(time(line.event.at));
  if (line.event?.message && !line.event.message.deleted) parts.push(more(line, act));
  // They are fetched once, whatever else of the line changes.
  if (line.files) parts.push(...(item.carried ??= line.files.map((file) => carried(line.event, file))));
  if (state === "pending") parts.push(element("small", {}, "sending…"));
  if (state === "held") parts.push(element("small", {}, `waits for ${line.pending.seconds} s`));
  if (state === "failed") {
    const { origin_id, why } = line.pending;
    parts.push(element("small", {}, `Not sent. ${why}`));
    parts.push(button("Retry", () => act("retry", origin_id)));
    parts.push(button("Discard", () => act("discard", origin_id)));
  }
  item.replaceChildren(...parts);
}

/** What is not seen, because there is a picture of it. */
function heard(text) {
  const made = element("span", {}, text);
  made.className = "unseen";
  return made;
}

/** One button for each reaction, pressed where it is one's own; a click gives it or takes it back. */
function reactions({ event, reactions }, act) {
  const given = reactions.map(({ reaction, count, mine }) => {
    const made = button(`${reaction} ${count}`, () => act("react", { seq: event.seq, reaction, on: !mine }));
    made.setAttribute("aria-pressed", `${mine}`);
    return made;
  });
  if (reactions.some((one) => one.reaction === THUMB)) return given;
  const first = button(THUMB, () => act("react", { seq: event.seq, reaction: THUMB, on: true }));
  first.className = "plain react";
  first.setAttribute("aria-label", "React with a thumb up");
  return [...given, first];
}

/** What else can be done with a message. */
function more({ event }, act) {
  const made = button("⋯", () => act("more", event));
  made.className = "plain react";
  made.setAttribute("aria-label", `More about the message of ${called(event.message.from)}`);
  return made;
}

export function time(at) {
  const date = new Date(at);
  const made = element("time", {}, date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  made.dateTime = date.toISOString();
  made.title = date.toLocaleString();
  return made;
}

export function element(name, data = {}, text = undefined) {
  const made = document.createElement(name);
  Object.assign(made.dataset, data);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** A notice: of trouble, or (`well`) of what was done. */
export function tell(notice, text = "", well = false) {
  notice.textContent = text;
  notice.classList.toggle("well", Boolean(well));
}

export function button(text, does) {
  const made = element("button", {}, text);
  made.type = "button";
  made.className = "plain";
  made.addEventListener("click", does);
  return made;
}
