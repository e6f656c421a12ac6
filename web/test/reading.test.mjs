// What is unread: on all devices of a person alike, and told to the server seldom.

import assert from "node:assert/strict";
import { test } from "node:test";

import { unreadOf } from "../reading.js";
import { Page, refused, Server, settle } from "./world.mjs";

/** Two devices of ada's, in a room of hers. */
async function onTwoDevices() {
  const server = new Server();
  const [phone, desk] = [new Page(server), new Page(server)];
  await phone.signUp("ada");
  await phone.client.create("lobby");
  await desk.signUp("ada");
  await settle();
  return { server, phone, desk, lobby: server.rooms.get(1) };
}

const unread = (page) => unreadOf(page.client.rooms.get(1));
const told = (server) => server.requests.filter((request) => request.read).map((request) => request.read.seq);

test("what is read on one device is read on the other, and after a reload", async () => {
  const { server, phone, desk, lobby } = await onTwoDevices();
  const { seq } = server.say(lobby, "ben", "one");
  await settle();
  assert.deepEqual([unread(phone), unread(desk)], [1, 1]);
  phone.client.markRead(1);
  await settle();
  assert.deepEqual(told(server), [seq]);
  assert.deepEqual([unread(phone), unread(desk)], [0, 0]);
  server.say(lobby, "ben", "two");
  await settle();
  desk.load();
  await settle();
  assert.deepEqual([unread(phone), unread(desk)], [1, 1]);
});

test("however fast a room is read, its place is told once a second, and the last one is told", async () => {
  const { server, phone, lobby } = await onTwoDevices();
  let last = 0;
  for (let i = 0; i < 20; i += 1) {
    last = server.say(lobby, "ben", `${i}`).seq;
    phone.client.markRead(1);
    await settle();
  }
  assert.equal(told(server).length, 1);
  await phone.clock.advance(1000);
  assert.deepEqual(told(server).slice(1), [last]);
  await phone.clock.advance(10_000);
  assert.equal(told(server).length, 2, "nothing is told twice");
});

test("one's own message is told to be read, so that the other device does not count it", async () => {
  const { server, phone, desk } = await onTwoDevices();
  phone.client.post(1, "hello");
  await settle();
  phone.client.markRead(1);
  await settle();
  assert.equal(told(server).length, 1);
  desk.load();
  await settle();
  assert.equal(unread(desk), 0);
});

test("a place that could not be told is told on the next connection", async () => {
  const { server, phone, desk, lobby } = await onTwoDevices();
  server.instead = (request) => (request.read ? refused(300, "rate_limited", 50) : undefined);
  const { seq } = server.say(lobby, "ben", "one");
  phone.client.markRead(1);
  await settle();
  server.instead = () => undefined;
  await phone.clock.advance(1000);
  assert.deepEqual(told(server), [seq, seq]);
  assert.equal(unread(desk), 0);
});

test("mentions are counted until they are read, and a level says what is told of", async () => {
  const { server, phone, lobby } = await onTwoDevices();
  server.say(lobby, "ben", "ada?", undefined, [1]);
  server.say(lobby, "ben", "and now something else");
  await settle();
  const room = phone.client.rooms.get(1);
  assert.deepEqual([room.mentions, unreadOf(room)], [1, 2]);
  assert.equal(unreadOf({ ...room, level: "mentions" }), 1);
  assert.equal(unreadOf({ ...room, level: "nothing" }), 0);
  phone.load();
  await settle();
  assert.equal(phone.client.rooms.get(1).mentions, 1);
  phone.client.markRead(1);
  assert.equal(phone.client.rooms.get(1).mentions, 0);
});
