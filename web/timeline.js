// One room's lines, as far as this page holds them: a window of the room's order, and what was said here and
// is not yet in it. Pure: no DOM, no network, no clock. `client.js` feeds it, `lines.js` shows it.

import { isGone } from "./guests.js";

/** More lines than this are not kept; older ones are a page of history away. */
export const KEPT_LINES = 300;
/** While somebody reads old lines, more are kept, but not without end. */
export const KEPT_LINES_READING = 600;
/** Reactions to lines that are not held, kept for a page that may be on its way. */
export const KEPT_REACTIONS = 200;
/** What is left of a message that is deleted. */
const GONE = { body: "", deleted: true, reactions: [], attachments: [] };

export class Timeline {
  constructor() {
    /** Grows when all lines are forgotten: what was asked for before is of no use then. */
    this.life = 0;
    this.pending = [];
    /** Who looks: the number of the account, so that its own reactions are known. */
    this.me = null;
    this.reset(null);
  }

  /** Forgets all places; `seen` is where live events begin, or null while that is not known. */
  reset(seen) {
    /**
     * Said here, not yet an event: { origin_id, body, files, state: "pending" | "held" | "sent" | "failed", why, seq }.
     * What the room delays is held: { held, seconds }.
     */
    this.pending = this.pending.filter((line) => line.state !== "sent" || line.seq > seen);
    this.life += 1;
    this.events = [];
    this.unplaced = [];
    this.seen = seen;
    /** There is more history before the first line held. */
    this.more = true;
    /** The last line held is the newest one; otherwise the window lies further back. */
    this.atHead = true;
    /** Messages that came while the window lay further back. */
    this.below = 0;
  }

  /** A live or resumed event: "applied", "known" (nothing to do) or "gap" (something was missed). */
  apply(event) {
    if (this.seen === null || event.seq <= this.seen) return "known";
    if (event.prev > this.seen) return "gap";
    this.seen = event.seq;
    if (event.message?.origin_id) this.forget(event.message.origin_id);
    this.#change(event);
    if (isGone(event.left?.user)) this.#rename(event.left.user);
    // Somebody reads further up and does not follow: the window stays where it is.
    if (this.events.length >= KEPT_LINES_READING) this.atHead = false;
    if (this.atHead) this.events.push(event);
    else if (event.message) this.below += 1;
    return "applied";
  }

  /** An edit, a deletion or a reaction changes the message it names, if that is held; history tells it changed. */
  #change(event) {
    const { seq, edited, deleted, reaction, moderated } = event;
    if (moderated?.act === "delete_all") this.#takeAway(moderated.user.id, seq);
    const of = (edited ?? deleted ?? reaction)?.of;
    const at = of === undefined ? -1 : this.events.findIndex((event) => event.seq === of);
    const message = this.events[at]?.message;
    if (reaction && at < 0) this.unplaced = [...this.unplaced, event].slice(-KEPT_REACTIONS);
    if (!message || message.deleted) return;
    // A text that is gone says nothing of its message, and one that is older than what is shown neither.
    if (edited && (edited.deleted || seq < (message.edited ?? 0))) return;
    let now = GONE;
    if (edited) now = { body: edited.body, edited: seq };
    if (reaction) now = { reactions: counted(message.reactions ?? [], seq, reaction, this.me) };
    this.events[at] = { ...this.events[at], message: { ...message, ...now } };
  }

  /** All that one has said before this place is deleted. */
  #takeAway(id, before) {
    this.events = this.events.map((event) =>
      event.message?.from?.id === id && event.seq < before ? { ...event, message: { ...event.message, ...GONE } } : event);
  }

  /** One is named no more, in what it has said and done before neither. */
  #rename({ id, name }) {
    const renamed = (told) => {
      const people = Object.entries(told).filter(([, value]) => value?.id === id && value.name !== undefined);
      return people.length === 0 ? told : { ...told, ...Object.fromEntries(people.map(([key]) => [key, { id, name }])) };
    };
    this.events = this.events.map((event) => {
      const kinds = Object.entries(event).filter(([, told]) => told !== null && typeof told === "object");
      return { ...event, ...Object.fromEntries(kinds.map(([kind, told]) => [kind, renamed(told)])) };
    });
  }

  /** The page before the first line held, or the newest one if none is held. */
  prepend(page) {
    const first = this.events[0]?.seq ?? Infinity;
    const older = page.events.filter((event) => event.seq < first);
    this.events = older.concat(this.events);
    this.more = page.more;
    for (const event of older) if (event.message?.origin_id) this.forget(event.message.origin_id);
    const unplaced = this.unplaced;
    this.unplaced = [];
    for (const event of unplaced) this.#change(event);
    if (this.events.length > KEPT_LINES_READING) {
      this.events.length = KEPT_LINES_READING;
      this.atHead = false;
    }
  }

  /** Forgets what is held, for a page from further back. */
  leaveHead() {
    this.reset(this.seen);
    this.atHead = false;
  }

  /** That page: what comes after it is read from the newest lines again. */
  placed(page) {
    this.prepend(page);
    this.atHead = (this.events.at(-1)?.seq ?? 0) >= this.seen;
  }

  /** The place of the newest message held, or 0. */
  get newest() {
    return this.events.findLast((event) => event.message)?.seq ?? 0;
  }

  /** Where the next older page ends. */
  get before() {
    return (this.events[0]?.seq ?? this.seen + 1);
  }

  /** Nobody reads old lines: keep the newest only. */
  prune() {
    const surplus = this.events.length - KEPT_LINES;
    if (!this.atHead || surplus <= 0) return;
    this.events.splice(0, surplus);
    this.more = true;
  }

  /** Back to the newest lines, which are then to be read again. */
  toHead() {
    if (this.atHead) return false;
    this.reset(this.seen);
    return true;
  }

  /** `files`: what it carries, as { id, name }; `answers`: the place of the message that it answers, or 0. */
  say(origin_id, body, files = [], answers = 0) {
    this.pending.push({ origin_id, body, files, answers, state: "pending" });
  }

  /** The server has it, at this place; the line stays until the event itself is here. */
  sent(origin_id, seq) {
    const line = this.pending.find((line) => line.origin_id === origin_id);
    if (!line) return;
    if (seq <= this.seen) return this.forget(origin_id);
    line.state = "sent";
    line.seq = seq;
  }

  /** It waits for the room's delay, under this number. */
  held(origin_id, held, seconds) {
    const line = this.pending.find((line) => line.origin_id === origin_id);
    if (line) Object.assign(line, { state: "held", held, seconds });
  }

  /** What waited under this number has a place now, or has none and why. */
  unheld(held, seq, why) {
    const { origin_id } = this.pending.find((line) => line.state === "held" && line.held === held) ?? {};
    if (origin_id !== undefined && seq > 0) this.sent(origin_id, seq);
    else if (origin_id !== undefined) this.failed(origin_id, why);
  }

  /** Another connection: what waited may be said by now, or forgotten; said again, it is answered with what it came to. */
  askAgain() {
    for (const line of this.pending) if (line.state === "held") line.state = "pending";
  }

  failed(origin_id, why) {
    const line = this.pending.find((line) => line.origin_id === origin_id);
    if (line) Object.assign(line, { state: "failed", why });
  }

  retry(origin_id) {
    const line = this.pending.find((line) => line.origin_id === origin_id);
    if (line) Object.assign(line, { state: "pending", why: undefined });
  }

  forget(origin_id) {
    this.pending = this.pending.filter((line) => line.origin_id !== origin_id);
  }

  /** The line to send next: the oldest one that waits. One at a time, so that the order stays. */
  get next() {
    return this.pending.find((line) => line.state === "pending");
  }
}

/** The reactions of a message after this event; one that they hold already changes nothing. */
function counted(reactions, seq, { reaction, by, count, removed }, me) {
  const known = reactions.find((one) => one.reaction === reaction);
  if (known && seq <= known.seq) return reactions;
  const others = reactions.filter((one) => one !== known);
  if (count === 0) return others;
  const mine = by?.id === me ? !removed : (known?.mine ?? false);
  const after = { reaction, count, mine, seq };
  return known ? reactions.map((one) => (one === known ? after : one)) : [...others, after];
}
