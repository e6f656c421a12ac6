// What the dialogs of a room and of a message ask; the page itself is tried by hand (`browsers.mjs`).

import assert from "node:assert/strict";
import { test } from "node:test";

import { changes, keptChoices, keptFor, moderate, reported, rules, wordsOf } from "../manage.js";
import { tell } from "../lines.js";
import { Page, Server, settle } from "./world.mjs";

test("a notice of what was done is not one of trouble, and the next one is again", () => {
  const shown = { classes: new Set(), textContent: null };
  shown.classList = { toggle: (name, on) => (on ? shown.classes.add(name) : shown.classes.delete(name)) };
  for (const [text, well, says] of [["Done.", true, "Done."], ["Forbidden.", undefined, "Forbidden."], [undefined, undefined, ""]]) {
    tell(shown, text, well);
    assert.deepEqual([shown.textContent, shown.classes.has("well")], [says, Boolean(well)]);
  }
});

test("an act names somebody once, and a role is given by set_role", () => {
  assert.deepEqual(moderate(3, "mute", { user: 7 }), { moderate: { room: 3, act: "mute", user: 7 } });
  const owner = { moderate: { room: 3, act: "set_role", role: "owner", name: "ben" } };
  assert.deepEqual(moderate(3, "owner", { name: "ben" }), owner);
});

test("only what was changed is set, so that moderators do not ask for what is the owners'", () => {
  const was = { topic: "tea", speak: "everyone", history: "members", slow_seconds: 0, keep_seconds: 0, words: ["spam"] };
  assert.equal(changes(1, was, { ...was }), null);
  const kept = changes(1, was, { ...was, keep_seconds: 86400 });
  assert.deepEqual(kept, { set_room: { room: 1, keep_seconds: 86400 } });
  const forEver = changes(1, { ...was, keep_seconds: 60 }, was);
  assert.deepEqual(forEver, { set_room: { room: 1, keep_seconds: 0 } }, "for ever is said, not left out");
  const slow = changes(1, was, { ...was, slow_seconds: 30 });
  assert.deepEqual(slow, { set_room: { room: 1, slow_seconds: 30 } });
  const named = changes(1, { ...was, name: "tea" }, { ...was, name: "tea house" });
  assert.deepEqual(named, { set_room: { room: 1, name: "tea house" } });
  const words = changes(1, was, { ...was, words: [] });
  assert.deepEqual(words, { set_room: { room: 1, words: { list: [] } } });
});

test("how long a room keeps what was said can be chosen, and what holds is always among it", () => {
  assert.deepEqual([0, 3600, 90].map(keptFor), ["for ever", "an hour", "90 s"]);
  const values = (seconds) => keptChoices(seconds).map(([value]) => value);
  assert.deepEqual(values(604800), [3600, 86400, 604800, 2592000, 31536000, 0]);
  assert.deepEqual(values(90), [90, 3600, 86400, 604800, 2592000, 31536000, 0]);
  assert.doesNotMatch(rules({}), /Keeps/);
  assert.match(rules({ keep_seconds: 604800 }), /Keeps what was said for a week\.$/);
});

test("a report shows what was said, and which files were sent", () => {
  const about = { id: 2, name: "ben" };
  const attachments = [{ name: "a.png" }, { name: "b.txt" }];
  assert.equal(reported({ about, body: "hello" }), "ben said: hello");
  assert.equal(reported({ about, body: "look", attachments }), "ben said: look (a.png, b.txt)");
  assert.equal(reported({ about, body: "", attachments }), "ben sent files and said nothing (a.png, b.txt)");
});

test("a word filter is typed one word to a line", () => {
  assert.deepEqual(wordsOf(" roses \n\n*spam*\n"), ["roses", "*spam*"]);
});

test("a dialog is told what came of it, and that the server could not be reached", async () => {
  const server = new Server();
  const page = new Page(server);
  await page.signUp("ada");
  server.instead = (asked) => (asked.pin ? { rejected: { code: 210, name: "forbidden", text: "your role does not allow that" } } : undefined);
  const refused = await page.client.does({ pin: { room: 1, seq: 4 } });
  assert.equal(refused.says, "Your role does not allow that.");
  server.unreachable = true;
  server.cut();
  await settle();
  const lost = await page.client.does({ pin: { room: 1, seq: 4 } });
  assert.match(lost.says, /could not be reached/);
});

test("an answer says which message it answers, also when it is sent again after a cut", async () => {
  const server = new Server();
  const page = new Page(server);
  await page.signUp("ada");
  await page.client.create("lobby");
  await settle();
  page.client.post(1, "first");
  await settle();
  page.client.post(1, "answer", [], 3);
  await settle();
  const posts = server.requests.filter((asked) => asked.post).map((asked) => asked.post.in_reply_to);
  assert.deepEqual(posts, [undefined, 3]);
});

test("what is changed in a room's settings is known at once", async () => {
  const server = new Server();
  const page = new Page(server);
  await page.signUp("ada");
  await page.client.create("lobby");
  await settle();
  server.happen(server.rooms.get(1), { set: { by: { id: 1, name: "ada" }, topic: "tea", slow_seconds: 30, words: 2 } });
  await settle();
  const { topic, slow_seconds, words } = page.client.rooms.get(1);
  assert.deepEqual([topic, slow_seconds, words], ["tea", 30, undefined]);
});
