// A room with a delay: what its sender is told, and what those who keep order are.

import assert from "node:assert/strict";
import { test } from "node:test";

import { waitingText } from "../held.js";
import { changes } from "../manage.js";
import { Page, Server, settle } from "./world.mjs";

/** A page in a room with a delay of a minute; what is posted there waits, under 70 and the numbers after it. */
async function inDelayed() {
  const server = new Server();
  const page = new Page(server);
  await page.signUp("ada");
  await page.client.create("lobby");
  await settle();
  const lobby = server.rooms.get(1);
  server.happen(lobby, { set: { by: { id: 9, name: "eve" }, delay_seconds: 60 } });
  await settle();
  const waits = new Map();
  server.instead = ({ post, list_held }) => {
    if (list_held) return { held_posts: { room: 1, posts: [], more: false } };
    if (!post || lobby.origins.has(post.origin_id)) return undefined;
    const held = waits.get(post.origin_id) ?? 70 + waits.size;
    waits.set(post.origin_id, held);
    return { held: { room: 1, held, until: 65_000, repeat: false } };
  };
  const tell = (frame) => server.sockets.forEach((socket) => socket.tell(frame));
  return { server, page, lobby, tell };
}

const waits = (held, id, body) => ({ held_post: { room: 1, held, at: 5, until: 60_005, message: { n: 0, from: { id, name: "ben" }, body } } });
const line = (page) => page.client.rooms.get(1).timeline.pending[0];

test("what waits is shown as waiting, with the room's delay, and as told when it is said", async () => {
  const { server, page, lobby } = await inDelayed();
  page.client.post(1, "one");
  page.client.post(1, "two");
  await settle();
  assert.deepEqual(page.lines, ["one (held)", "two (held)"]);
  assert.equal(line(page).seconds, 60);
  server.say(lobby, "ada", "one", line(page).origin_id);
  await settle();
  assert.deepEqual(page.lines, ["one", "two (held)"]);
});

test("what was taken away, or refused when its time came, is said so and can be said again", async () => {
  const { page, tell } = await inDelayed();
  page.client.post(1, "one");
  page.client.post(1, "two");
  await settle();
  tell({ unheld: { room: 1, held: 70, seq: 0 } });
  tell({ unheld: { room: 1, held: 71, seq: 0, refused: { code: 211, name: "muted", text: "you are muted in this room" } } });
  await settle();
  assert.deepEqual(page.lines, ["one (failed)", "two (failed)"]);
  const why = page.client.rooms.get(1).timeline.pending.map((one) => one.why);
  assert.deepEqual(why, ["It was taken away before it was seen.", "You are muted in this room."]);
});

test("what waits is asked for again with its own id when the connection is back", async () => {
  const { server, page, lobby } = await inDelayed();
  page.client.post(1, "one");
  await settle();
  const { origin_id } = line(page);
  // It is said while nobody hears.
  server.unreachable = true;
  server.cut();
  lobby.origins.set(origin_id, server.say(lobby, "ada", "one", origin_id));
  server.unreachable = false;
  await page.clock.advance(60_000);
  assert.deepEqual(page.lines, ["one"]);
  assert.equal(lobby.events.filter((event) => event.message).length, 1);
});

test("those who keep order are told what waits, from others, until it does no longer", async () => {
  const { page, tell } = await inDelayed();
  tell(waits(81, 7, "second"));
  tell(waits(80, 7, "first"));
  tell(waits(82, page.client.user.id, "one's own"));
  await settle();
  const { waiting } = page.client.rooms.get(1);
  assert.deepEqual(waiting.posts.map((post) => post.message.body), ["first", "second"]);
  assert.equal(waitingText(waiting.size), "Room (2 wait)");
  tell({ unheld: { room: 1, held: 80, seq: 9 } });
  await settle();
  assert.equal(waitingText(waiting.size), "Room (1 waits)");
  assert.equal(waitingText(0), "Room");
});

test("what waits is listed anew, all of it, after a connection was lost", async () => {
  const { server, page, tell } = await inDelayed();
  tell(waits(80, 7, "gone by then"));
  server.rooms.get(1).delay = 60;
  const pages = [
    { posts: [waits(81, 7, "first").held_post], more: true },
    { posts: [waits(82, 7, "second").held_post], more: false },
  ];
  server.instead = ({ list_held }) => (list_held ? { held_posts: { room: 1, ...pages.shift() } } : undefined);
  await page.client.listHeld(page.client.rooms.get(1));
  assert.deepEqual(page.client.rooms.get(1).waiting.posts.map((post) => post.held), [81, 82]);
  assert.equal(server.requests.filter((asked) => asked.list_held).at(-1).list_held.after, 81);
});

test("a delay is set like other settings", () => {
  const was = { topic: "", speak: "everyone", history: "members", slow_seconds: 0, delay_seconds: 0, words: [] };
  assert.deepEqual(changes(1, was, { ...was, delay_seconds: 60 }), { set_room: { room: 1, delay_seconds: 60 } });
});
