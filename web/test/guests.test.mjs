import assert from "node:assert/strict";
import { test } from "node:test";

import { guestTime, isGuest } from "../guests.js";
import { items } from "../lines.js";
import { Timeline } from "../timeline.js";

function socket(does) {
  const made = { close: () => made.onclose?.({ code: 1000 }) };
  queueMicrotask(() => does(made));
  return made;
}
const welcome = (limits) => ({ data: JSON.stringify({ welcome: { limits } }) });

test("a guest is known by its number", () => {
  assert.equal(isGuest(null), false);
  assert.equal(isGuest({ id: 2 ** 40 - 1, name: "ada" }), false);
  assert.equal(isGuest({ id: 2 ** 40, name: "gus" }), true);
});

test("the server's first frame says for how long one may be a guest", async () => {
  const heard = (limits) => guestTime(() => socket((it) => it.onmessage(welcome(limits))));
  assert.equal(await heard({ guest_ms: 3_600_000 }), 3_600_000);
  assert.equal(await heard({}), 0);
  assert.equal(await guestTime(() => socket((it) => it.onclose({ code: 1006 }))), 0);
});

test("what a guest says is shown as a guest's", () => {
  const timeline = new Timeline();
  timeline.reset(0);
  const says = (seq, id, name) => ({ room: 1, seq, prev: seq - 1, at: 1, message: { n: seq, from: { id, name }, body: "hi" } });
  timeline.apply(says(1, 1, "ada"));
  timeline.apply(says(2, 2 ** 40 + 1, "gus"));
  assert.deepEqual(items(timeline).map((line) => line.who), ["ada", "gus (guest)"]);
});
