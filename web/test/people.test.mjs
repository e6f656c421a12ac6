// Rooms of two, invitations, and whom one has blocked.

import assert from "node:assert/strict";
import { test } from "node:test";

import { items } from "../lines.js";
import { Page, refused, Server, settle } from "./world.mjs";

async function adaAndBen() {
  const server = new Server();
  const [ada, ben] = [new Page(server), new Page(server)];
  await ada.signUp("ada");
  await ben.signUp("ben");
  await ada.client.create("lobby");
  await ben.client.join(1, "lobby");
  await settle();
  return { server, ada, ben };
}

test("who is written to alone sees the room at once, and hears it", async () => {
  const { ada, ben } = await adaAndBen();
  await ben.client.openDirect("ada");
  ben.client.post(2, "psst");
  await settle();
  assert.equal(ben.client.open, 2);
  assert.deepEqual([...ada.client.rooms.keys()], [1, 2]);
  assert.equal(ada.client.open, 1, "nobody is taken out of the room they read");
  ada.client.show(2);
  await settle();
  assert.deepEqual(ada.lines, ["psst"]);
});

test("nobody of that name is said, and no room made", async () => {
  const { ada } = await adaAndBen();
  await ada.client.openDirect("nobody");
  assert.equal(ada.client.notice.text, "No such user.");
  assert.deepEqual([...ada.client.rooms.keys()], [1]);
});

test("an invitation is told, and found", async () => {
  const { server, ada } = await adaAndBen();
  for (const socket of server.sockets) {
    if (socket.user.name === "ada") socket.tell({ invited: { room: 9, name: "den", by: { id: 2, name: "ben" } } });
  }
  assert.match(ada.client.notice.text, /ben invites you to den/);
  assert.ok(ada.client.found.some((room) => room.id === 9 && room.name === "den"));
});

test("a room that was made on another device is there at once, and heard", async () => {
  const { server, ada, ben } = await adaAndBen();
  const phone = new Page(server);
  await phone.signUp("ada");
  await phone.client.create("attic");
  await settle();
  assert.deepEqual([...ada.client.rooms.values()].map((room) => room.name), ["lobby", "attic"]);
  assert.equal(ada.client.open, 1, "nobody is taken out of the room they read");
  assert.deepEqual([...ben.client.rooms.keys()], [1], "it is nobody else's");
  phone.client.post(2, "up here");
  await settle();
  ada.client.show(2);
  await settle();
  assert.deepEqual(ada.lines, ["up here"]);
  await phone.client.leave(2);
  await settle();
  assert.deepEqual([...ada.client.rooms.keys()], [1]);
});

test("however many rooms come at once, the list of them is asked for a few times and is whole", async () => {
  const { server, ada } = await adaAndBen();
  const phone = new Page(server);
  await phone.signUp("ada");
  server.requests.length = 0;
  await Promise.all(Array.from({ length: 30 }, (_, number) => phone.client.create(`room ${number}`)));
  await settle();
  await settle();
  assert.equal(ada.client.rooms.size, 31);
  assert.ok([...ada.client.rooms.values()].every((room) => room.ready));
  const lists = server.requests.filter((request) => request.list_rooms);
  assert.ok(lists.length < 30 + 10, `the phone asks after each of its own, the other page gathers: ${lists.length}`);
});

test("of a server that does not tell, a room that was joined on another device is there when the page is looked at", async () => {
  const { server, ada } = await adaAndBen();
  server.tellsMemberships = false;
  const phone = new Page(server);
  await phone.signUp("ada");
  await phone.client.create("attic");
  await settle();
  assert.equal(ada.client.rooms.size, 1);
  await ada.client.refresh();
  const { seq } = server.say(server.rooms.get(2), "ada", "up here");
  await settle();
  assert.equal(ada.client.rooms.get(2).timeline.newest, seq);
});

test("whom one has blocked is not shown, also after a reload, until that is lifted", async () => {
  const { server, ada } = await adaAndBen();
  server.say(server.rooms.get(1), "ben", "boo");
  await settle();
  const texts = () => items(ada.client.rooms.get(1).timeline, ada.client.people.blocked).map((line) => line.text);
  const blocked = "(you have blocked the sender)";
  assert.ok(texts().includes("boo"));
  assert.equal(await ada.client.people.block({ id: 2, name: "ben" }), undefined);
  assert.ok(texts().includes(blocked) && !texts().includes("boo"));
  ada.load();
  await settle();
  assert.deepEqual([...ada.client.people.blocked], [[2, "ben"]]);
  assert.ok(texts().includes(blocked) && !texts().includes("boo"));
  await ada.client.people.block({ id: 2, name: "ben" }, false);
  assert.ok(texts().includes("boo"));
});

test("what cannot be blocked is said, and stays seen", async () => {
  const { server, ada } = await adaAndBen();
  server.instead = (request) => (request.block ? refused(208, "limit_reached") : undefined);
  assert.equal(await ada.client.people.block({ id: 2, name: "ben" }), "Limit reached.");
  assert.equal(ada.client.people.blocked.size, 0);
});

test("who deletes the account is out, and told so; with the wrong password it stays", async () => {
  const { server, ada } = await adaAndBen();
  server.instead = (request) => (request.delete_account ? refused(201, "wrong_credentials") : undefined);
  assert.equal(await ada.client.deleteAccount("no"), "Wrong credentials.");
  assert.equal(ada.client.user.name, "ada");
  server.instead = () => undefined;
  assert.equal(await ada.client.deleteAccount("correct horse"), undefined);
  assert.equal(ada.client.user, null);
  assert.equal(ada.client.token, null);
  assert.equal(ada.client.notice.text, "Your account is deleted.");
});
