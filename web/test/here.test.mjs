// Who is here and who types: what a person reads of it, and what is asked for it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { whoIsHere, whoTypes } from "../here.js";
import { Page, refused, Server, settle } from "./world.mjs";

const names = new Map([[1, "ada"], [2, "ben"], [3, "cy"], [4, "di"], [5, "eve"]]);

test("who is here is named where names are told, and counted where they are not", () => {
  assert.equal(whoIsHere(null, names), "");
  assert.equal(whoIsHere({ members: 3, here: 2, users: [1, 2] }, names), "2 of 3 here: ada, ben");
  assert.equal(whoIsHere({ members: 9, here: 2, users: [1, 99] }, names), "2 of 9 here: ada and 1 more");
  assert.equal(whoIsHere({ members: 10_000, here: 7_200, users: [] }, names), "7200 of 10000 here");
  const many = new Map(Array.from({ length: 12 }, (_, i) => [i, `user${i}`]));
  const text = whoIsHere({ members: 12, here: 12, users: [...many.keys()] }, many);
  assert.ok(text.endsWith("user7 and 4 more"), text);
});

test("who types is told of others, by name up to three", () => {
  const types = (typists, typing = typists.length) => whoTypes({ typing, typists }, names, 1, false);
  assert.equal(types([]), "");
  assert.equal(types([1]), "", "oneself");
  assert.equal(types([1, 2]), "ben is typing…");
  assert.equal(types([2, 3]), "ben and cy are typing…");
  assert.equal(types([2, 3, 4]), "ben, cy and di are typing…");
  assert.equal(types([2, 3, 4, 5]), "4 people are typing…");
  assert.equal(types([99]), "Somebody is typing…");
  assert.equal(types([], 7), "7 people are typing…");
  assert.equal(types([], 100), "100 or more people are typing…");
  assert.equal(whoTypes({ typing: 1, typists: [] }, names, 1, true), "", "oneself, in a large room");
});

async function inLobby() {
  const server = new Server();
  const page = new Page(server);
  await page.signUp("ada");
  await page.client.create("lobby");
  await settle();
  const tell = async (here) => {
    for (const socket of server.sockets) socket.tell({ here: { room: 1, users: [], typing: 0, typists: [], ...here } });
    await settle();
  };
  const asked = (kind) => server.requests.filter((request) => request[kind]).length;
  return { server, page, room: page.client.rooms.get(1), tell, asked };
}

test("names that are not known are asked for once, and what was told is void with the connection", async () => {
  const { server, page, room, tell, asked } = await inLobby();
  server.users.set("ben", { id: 2, name: "ben" });
  server.rooms.get(1).members.add("ben");
  await tell({ members: 2, here: 2, users: [1, 2] });
  assert.equal(whoIsHere(room.here, room.names), "2 of 2 here: ada, ben");
  assert.equal(room.members, 2);
  await tell({ members: 2, here: 1, users: [1] });
  await tell({ members: 2, here: 2, users: [1, 2] });
  assert.equal(asked("members"), 1);
  server.cut();
  await settle();
  assert.equal(room.here, null);
});

test("a name that the server does not tell is asked for again, but not without end", async () => {
  const { tell, room, asked } = await inLobby();
  for (let i = 0; i < 20; i += 1) await tell({ members: 2, here: 2, users: [1, 77] });
  assert.equal(whoIsHere(room.here, room.names), "2 of 2 here: ada and 1 more");
  assert.equal(asked("members"), 1);
});

test("that one types is said now and then, not with each key, and no refusal is shown", async () => {
  const { server, page, asked } = await inLobby();
  for (let i = 0; i < 50; i += 1) page.client.types(1);
  await settle();
  assert.equal(asked("typing"), 1);
  await page.clock.advance(4_000);
  page.client.types(1);
  await settle();
  assert.equal(asked("typing"), 2);
  server.instead = (request) => (request.typing ? refused(209, "muted") : undefined);
  await page.clock.advance(4_000);
  page.client.types(1);
  await settle();
  assert.equal(page.client.notice, null);
  page.client.post(1, "said");
  page.client.types(1);
  await settle();
  assert.equal(asked("typing"), 4, "what is typed after a message is a new one");
  server.cut();
  page.client.types(1);
  await settle();
  assert.equal(asked("typing"), 4);
});
