// What a room's window of lines keeps, and what it makes of each event.

import assert from "node:assert/strict";
import { test } from "node:test";

import { items } from "../lines.js";
import { KEPT_LINES, KEPT_LINES_READING, Timeline } from "../timeline.js";

const said = (seq, prev = seq - 1, origin_id = undefined) => ({ seq, prev, message: { origin_id, body: `${seq}` } });
const page = (from, to, more) => ({ events: Array.from({ length: to - from + 1 }, (_, i) => said(from + i)), more });

function live(seen) {
  const timeline = new Timeline();
  timeline.reset(seen);
  return timeline;
}

test("events are applied once and in order, and a gap is not papered over", () => {
  const timeline = live(3);
  assert.equal(timeline.apply(said(3)), "known");
  assert.equal(timeline.apply(said(4)), "applied");
  assert.equal(timeline.apply(said(4)), "known");
  assert.equal(timeline.apply(said(7, 5)), "gap");
  assert.equal(timeline.seen, 4);
  assert.equal(timeline.apply(said(7, 4)), "applied", "seqs in between were not pushed");
  assert.deepEqual(timeline.events.map((event) => event.seq), [4, 7]);
});

test("nothing is applied while it is not known where live begins", () => {
  assert.equal(new Timeline().apply(said(1, 0)), "known");
});

test("a page is put before what is held and never doubles it", () => {
  const timeline = live(9);
  timeline.apply(said(10));
  timeline.prepend(page(5, 10, true));
  assert.deepEqual(timeline.events.map((event) => event.seq), [5, 6, 7, 8, 9, 10]);
  assert.equal(timeline.before, 5);
});

test("whoever follows keeps the newest lines only", () => {
  const timeline = live(0);
  for (let seq = 1; seq <= KEPT_LINES + 50; seq += 1) timeline.apply(said(seq));
  timeline.prune();
  assert.equal(timeline.events.length, KEPT_LINES);
  assert.equal(timeline.events.at(-1).seq, KEPT_LINES + 50);
  assert.equal(timeline.more, true);
});

test("whoever reads far back holds a window, counts what is new below, and can return", () => {
  const timeline = live(1000);
  timeline.prepend(page(1000 - KEPT_LINES_READING + 1, 1000, true));
  assert.equal(timeline.atHead, true);
  timeline.prepend(page(300, 400, true));
  assert.equal(timeline.events.length, KEPT_LINES_READING);
  assert.equal(timeline.atHead, false);
  assert.equal(timeline.apply(said(1001)), "applied");
  assert.equal(timeline.below, 1);
  assert.notEqual(timeline.events.at(-1).seq, 1001, "no hole in the window");
  assert.equal(timeline.toHead(), true);
  assert.equal(timeline.before, 1002);
});

test("lines that come without end to a reader further up are bounded too", () => {
  const timeline = live(0);
  for (let seq = 1; seq <= 5000; seq += 1) timeline.apply(said(seq));
  assert.equal(timeline.events.length, KEPT_LINES_READING);
  assert.equal(timeline.seen, 5000);
});

test("a line said here is settled by its event or its ack, whichever comes first", () => {
  const timeline = live(4);
  timeline.say("a", "one");
  timeline.apply(said(5, 4, "a"));
  timeline.sent("a", 5);
  assert.deepEqual(timeline.pending, []);
  timeline.say("b", "two");
  timeline.sent("b", 6);
  assert.equal(timeline.pending[0].state, "sent");
  assert.equal(timeline.next, undefined);
  timeline.apply(said(6, 5, "b"));
  assert.deepEqual(timeline.pending, []);
  assert.equal(timeline.events.length, 2);
});

test("a line that was sent and whose event was skipped by a reset does not stay for ever", () => {
  const timeline = live(4);
  timeline.say("a", "one");
  timeline.sent("a", 5);
  timeline.reset(null);
  timeline.reset(9);
  assert.deepEqual(timeline.pending, []);
});

test("an edit and a deletion change the line they name, once, and a deleted text does not come back", () => {
  const timeline = live(3);
  timeline.apply(said(4));
  timeline.apply(said(5));
  timeline.apply({ seq: 6, prev: 5, edited: { of: 4, body: "four" } });
  timeline.apply({ seq: 7, prev: 6, deleted: { of: 5 } });
  timeline.apply({ seq: 8, prev: 7, edited: { of: 5, body: "five" } });
  timeline.apply({ seq: 9, prev: 8, deleted: { of: 1 } });
  const [first, second] = timeline.events.map((event) => event.message);
  assert.deepEqual([first.body, first.edited], ["four", 6]);
  assert.deepEqual([second.body, second.deleted], ["", true]);
});

test("an edit whose text is gone leaves the line as it is, and so does one that is older than what is shown", () => {
  const timeline = live(3);
  timeline.apply(said(4));
  timeline.apply({ seq: 5, prev: 4, edited: { of: 4, body: "", deleted: true } });
  const shown = () => timeline.events.slice(0, 2).filter((event) => event.message).map(({ message }) =>
    [message.body, message.edited, message.deleted]);
  assert.deepEqual(shown(), [["4", undefined, undefined]], "a later edit replaced it");
  timeline.apply({ seq: 6, prev: 5, edited: { of: 4, body: "four" } });
  assert.deepEqual(shown(), [["four", 6, undefined]]);
  // A resume gives the message as it is now, and then each edit in its place.
  const resumed = live(3);
  resumed.apply({ seq: 4, prev: 3, message: { body: "four", edited: 7 } });
  for (const [seq, edited] of [[5, { of: 4, body: "", deleted: true }], [6, { of: 4, body: "fo" }]]) {
    resumed.apply({ seq, prev: seq - 1, edited });
    assert.deepEqual([resumed.events[0].message.body, resumed.events[0].message.edited], ["four", 7]);
  }
  resumed.apply({ seq: 7, prev: 6, edited: { of: 4, body: "four" } });
  resumed.apply({ seq: 8, prev: 7, edited: { of: 4, body: "4!" } });
  assert.deepEqual([resumed.events[0].message.body, resumed.events[0].message.edited], ["4!", 8]);
});

test("all that one has said so far goes with one event, and nobody else's", () => {
  const timeline = live(0);
  const of = (seq, id) => timeline.apply({ seq, prev: seq - 1, message: { body: `${seq}`, from: { id, name: "x" } } });
  of(1, 7);
  of(2, 8);
  of(3, 7);
  timeline.apply({ seq: 4, prev: 3, moderated: { by: { id: 8 }, user: { id: 7 }, act: "delete_all" } });
  of(5, 7);
  const stand = timeline.events.filter((event) => event.message && !event.message.deleted).map(({ message }) => message.body);
  assert.deepEqual(stand, ["2", "5"]);
});

test("reactions are counted by their events, once, and one's own are known", () => {
  const timeline = live(3);
  timeline.me = 7;
  timeline.apply(said(4));
  const react = (seq, by, count, removed) =>
    timeline.apply({ seq, prev: seq - 1, reaction: { by: { id: by }, of: 4, reaction: "+1", count, removed } });
  react(5, 1, 1);
  react(6, 7, 2);
  const shown = () => timeline.events[0].message.reactions.map(({ count, mine }) => [count, mine]);
  assert.deepEqual(shown(), [[2, true]]);
  react(7, 1, 1, true);
  assert.deepEqual(shown(), [[1, true]]);
  react(8, 7, 0, true);
  assert.deepEqual(shown(), []);
  react(9, 1, 1);
  timeline.apply({ seq: 10, prev: 9, deleted: { of: 4 } });
  assert.deepEqual(shown(), [], "they go with the message");
});

test("a reaction that came while its page was on its way is counted once the page is here", () => {
  const timeline = live(9);
  const react = (seq, count) =>
    timeline.apply({ seq, prev: seq - 1, reaction: { by: { id: 1 }, of: 5, reaction: "+1", count } });
  react(10, 2);
  react(11, 3);
  const older = page(5, 9, true);
  older.events[0].message.reactions = [{ reaction: "+1", count: 2, mine: false, seq: 10 }];
  timeline.prepend(older);
  assert.deepEqual(timeline.events[0].message.reactions, [{ reaction: "+1", count: 3, mine: false, seq: 11 }]);
});

test("one that is named no more is called by no name in what it has said and what was done to it before", () => {
  const timeline = live(0);
  const [ada, ben] = [{ id: 1, name: "ada" }, { id: 2, name: "ben" }];
  const message = (seq, from) => timeline.apply({ seq, prev: seq - 1, message: { from, body: `${seq}` } });
  message(1, ada);
  message(2, ben);
  timeline.apply({ seq: 3, prev: 2, moderated: { by: ben, user: ada, act: "mute" } });
  timeline.apply({ seq: 4, prev: 3, left: { user: { id: 1, name: "ada" } } });
  assert.equal(items(timeline)[0].who, "ada", "to leave is not to be forgotten");
  timeline.apply({ seq: 5, prev: 4, left: { user: { id: 1, name: ".gone" } } });
  const shown = items(timeline).map(({ who, text }) => `${who ?? ""}: ${text}`);
  assert.deepEqual(shown, [
    "somebody who left: 1",
    "ben: 2",
    ": ben muted somebody who left",
    ": somebody who left is gone",
    ": somebody who left is gone",
  ]);
});
