// Two people and a server: what each of them sees in the end, whatever happens on the way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { changePassword, endSession } from "../account.js";
import { countText } from "../hits.js";
import { items } from "../lines.js";
import { Page, refused, Server, settle } from "./world.mjs";

async function inLobby(name = "ada") {
  const server = new Server();
  const page = new Page(server);
  await page.signUp(name);
  await page.client.create("lobby");
  await settle();
  return { server, page, lobby: server.rooms.get(1) };
}

test("a person signs up, makes a room, speaks, and sees the line as pending, then told", async () => {
  const { page } = await inLobby();
  page.client.post(1, "hello");
  assert.deepEqual(page.lines, ["hello (pending)"]);
  await settle();
  assert.deepEqual(page.lines, ["hello"]);
});

test("a picture is sent without a text, and shown as under way by its name until it is there", async () => {
  const { server, page } = await inLobby();
  const { timeline } = page.client.rooms.get(1);
  const shown = () => items(timeline).filter((line) => line.pending || line.files).map((line) => line.text);
  page.client.post(1, " \n", [{ id: "cat", name: "cat.png" }]);
  assert.deepEqual(shown(), ["(cat.png)"]);
  await settle();
  const { post } = server.requests.findLast((request) => request.post);
  assert.deepEqual([post.body, post.attachments], ["", ["cat"]]);
  assert.deepEqual(shown(), [""]);
  assert.equal(timeline.events.at(-1).message.attachments[0].id, "cat");
});

test("lines of one person stay in the order they were said", async () => {
  const { page } = await inLobby();
  for (const body of ["one", "two", "three"]) page.client.post(1, body);
  await settle();
  assert.deepEqual(page.lines, ["one", "two", "three"]);
});

test("an ack that was lost with the network makes no second copy", async () => {
  const { server, page, lobby } = await inLobby();
  server.instead = (request, socket) => {
    if (!request.post) return undefined;
    server.instead = () => undefined;
    const event = server.say(lobby, "ada", request.post.body, request.post.origin_id);
    lobby.origins.set(request.post.origin_id, event);
    socket.cut(1006);
    return undefined;
  };
  // The event is not heard either: the socket listens no more.
  for (const socket of server.sockets) socket.rooms.clear();
  page.client.post(1, "hello");
  await settle();
  assert.deepEqual(page.lines, ["hello (pending)"]);
  await page.clock.advance(60_000);
  assert.deepEqual(page.lines, ["hello"]);
  assert.equal(lobby.events.filter((event) => event.message).length, 1);
});

test("what was said while away is heard after coming back, exactly", async () => {
  const { server, page, lobby } = await inLobby();
  server.say(lobby, "ben", "one");
  server.unreachable = true;
  server.cut();
  await settle();
  server.say(lobby, "ben", "two");
  server.happen(lobby, { joined: { user: { name: "eve" } } }, true);
  server.say(lobby, "ben", "three");
  await page.clock.advance(10_000);
  assert.deepEqual(page.lines, ["one"]);
  server.unreachable = false;
  await page.clock.advance(60_000);
  assert.deepEqual(page.lines, ["one", "two", "three"]);
  assert.deepEqual(server.requests.filter((request) => request.subscribe?.from).length, 1);
});

test("a network that died without a word is noticed and come back from", async () => {
  const { server, page, lobby } = await inLobby();
  server.silent = true;
  await page.clock.advance(25_000);
  server.say(lobby, "ben", "are you there?");
  server.silent = false;
  await page.clock.advance(60_000);
  assert.deepEqual(page.lines, ["are you there?"]);
});

test("when too much has happened the newest page is shown and the rest can be paged", async () => {
  const { server, page, lobby } = await inLobby();
  server.say(lobby, "ben", "before");
  server.resumeEvents = 3;
  server.unreachable = true;
  server.cut();
  for (let i = 1; i <= 120; i += 1) server.say(lobby, "ben", `${i}`);
  server.unreachable = false;
  await page.clock.advance(60_000);
  assert.equal(page.lines.length, 50);
  assert.equal(page.lines.at(-1), "120");
  await page.client.loadOlder(1);
  await page.client.loadOlder(1);
  assert.equal(page.lines[0], "before");
  assert.equal(page.lines.length, 121);
});

test("another epoch makes all places void", async () => {
  const { server, page, lobby } = await inLobby();
  server.say(lobby, "ben", "of the old life");
  server.epoch = 8;
  lobby.events = [];
  server.say(lobby, "ben", "of the new life");
  server.cut();
  await page.clock.advance(60_000);
  assert.deepEqual(page.lines, ["of the new life"]);
});

test("a gap on a living connection is read again and nothing is shown twice", async () => {
  const { server, page, lobby } = await inLobby();
  for (const socket of server.sockets) socket.rooms.clear();
  server.say(lobby, "ben", "missed");
  for (const socket of server.sockets) socket.rooms.add(1);
  server.say(lobby, "ben", "heard");
  await settle();
  assert.deepEqual(page.lines, ["missed", "heard"]);
});

test("a reload keeps the session, the lines, and what was not sent yet", async () => {
  const { server, page } = await inLobby();
  page.client.post(1, "hello");
  await settle();
  server.unreachable = true;
  server.cut();
  page.client.post(1, "said into the void");
  page.load();
  await page.clock.advance(5000);
  server.unreachable = false;
  await page.clock.advance(60_000);
  assert.equal(page.client.user.name, "ada");
  assert.deepEqual(page.lines, ["hello", "said into the void"]);
});

test("a refusal for now is tried again; another one is told, and can be retried or thrown away", async () => {
  const { server, page } = await inLobby();
  let refusals = 2;
  server.instead = (request) => (request.post && refusals-- > 0 ? refused(300, "rate_limited", 100) : undefined);
  page.client.post(1, "patience");
  await settle();
  assert.deepEqual(page.lines, ["patience (pending)"]);
  await page.clock.advance(300);
  assert.deepEqual(page.lines, ["patience"]);
  server.instead = (request) => (request.post ? refused(106, "body_too_long") : undefined);
  page.client.post(1, "too long");
  page.client.post(1, "also too long");
  await settle();
  assert.deepEqual(page.lines, ["patience", "too long (failed)", "also too long (failed)"]);
  server.instead = () => undefined;
  const [first, second] = page.client.rooms.get(1).timeline.pending;
  page.client.retry(1, first.origin_id);
  page.client.discard(1, second.origin_id);
  await settle();
  assert.deepEqual(page.lines, ["patience", "too long"]);
});

test("a session that was ended elsewhere leaves nothing behind", async () => {
  const { server, page } = await inLobby();
  for (const socket of server.sockets) {
    socket.tell({ goodbye: { code: 4401, reason: "session_ended", reconnect: false } });
  }
  server.cut(4401);
  await settle();
  assert.equal(page.client.user, null);
  assert.equal(page.client.token, null);
  assert.equal(page.client.rooms.size, 0);
  assert.equal(page.storage.tab.size, 0);
});

test("a token that is not valid any more leads to the login and not around in circles", async () => {
  const { server, page } = await inLobby();
  server.users.clear();
  server.cut();
  await page.clock.advance(60_000);
  assert.equal(page.client.user, null);
  assert.match(page.client.notice.text, /log in again/);
  assert.equal(server.requests.filter((request) => request.authenticate).length, 1);
});

test("whoever finds another's token in the browser does not keep the first one's rooms", async () => {
  const { server, page } = await inLobby();
  const other = new Page(server);
  await other.signUp("ben");
  page.storage.kept.setItem("throng.token", "token of ben");
  server.cut();
  await page.clock.advance(60_000);
  assert.equal(page.client.user.name, "ben");
  assert.equal(page.client.rooms.size, 0);
});

test("wrong credentials are told and nothing is kept of them", async () => {
  const server = new Server();
  const page = new Page(server);
  server.instead = (request) => (request.login ? refused(201, "wrong_credentials") : undefined);
  page.client.logIn("ada", "guess guess");
  await settle();
  assert.equal(page.client.notice.text, "Wrong credentials.");
  assert.ok(!page.client.notice.well);
  assert.equal(page.client.credentials, null);
  assert.equal(page.client.connection.state.is, "off");
});

test("a link signs up, another sets a password, and both are sent as they came", async () => {
  const server = new Server();
  const page = new Page(server);
  page.client.signUp("ada", "correct horse", "an invitation");
  await settle();
  assert.equal(page.client.user.name, "ada");
  assert.equal(server.requests[0].register.link, "an invitation");
  await page.client.logOut();
  server.links.set("a link", "ada");
  page.client.resetPassword("a link", "staple horse");
  await settle();
  assert.equal(page.client.user.name, "ada");
});

test("another session is ended, and the password changed", async () => {
  const { server, page } = await inLobby();
  assert.equal(await endSession(page.client, 7), true, "what is gone is ended");
  const changed = await changePassword(page.client, "correct horse", "staple horse");
  assert.match(changed.text, /changed/);
  assert.equal(changed.well, true);
  server.instead = (request) => (request.change_password ? refused(201, "wrong_credentials") : undefined);
  assert.deepEqual(await changePassword(page.client, "wrong horse", "staple horse"), { text: "Wrong credentials." });
});

test("rooms are found, joined, heard, and left", async () => {
  const { server, page } = await inLobby();
  const other = new Page(server);
  await other.signUp("ben");
  await other.client.find();
  assert.deepEqual(other.client.found.map((room) => room.name), ["lobby"]);
  await other.client.join(1, "lobby");
  await settle();
  page.client.post(1, "welcome, Ben");
  await settle();
  assert.deepEqual(other.lines, ["welcome, Ben"]);
  await other.client.leave(1);
  assert.equal(other.client.rooms.size, 0);
  assert.equal(page.client.rooms.get(1).members, 1);
});

test("rooms are found by a part of the name, past those that are called otherwise", async () => {
  const { server, page } = await inLobby();
  const asked = [];
  server.instead = ({ list_rooms }) => {
    if (!list_rooms || list_rooms.mine) return undefined;
    asked.push([list_rooms.named, list_rooms.after]);
    const found = [{ id: 3000, name: "rose garden", members: 1, posts: 0 }];
    return { rooms: list_rooms.after === 0 ? { rooms: [], more: true, next: 2000 } : { rooms: found, more: true, next: 4000 } };
  };
  await page.client.find("garden");
  assert.deepEqual(asked, [["garden", 0], ["garden", 2000]]);
  assert.deepEqual(page.client.found.map((room) => room.name), ["rose garden"]);
  assert.deepEqual(page.client.moreFound, { named: "garden", after: 4000 });
});

test("a room that is renamed is called so at once, and the line says it", async () => {
  const { server, page, lobby } = await inLobby();
  server.happen(lobby, { set: { by: { id: 1, name: "ada" }, name: "hall" } });
  await settle();
  const room = page.client.rooms.get(1);
  assert.equal(room.name, "hall");
  assert.equal(items(room.timeline).at(-1).text, "ada named the room hall");
});

test("a room left on another device is gone here too, and the person is told", async () => {
  const { server, page } = await inLobby();
  const other = new Page(server);
  await other.signUp("ada");
  await other.client.leave(1);
  await settle();
  assert.equal(page.client.rooms.size, 0);
  assert.match(page.client.notice.text, /left lobby/);
  assert.equal(page.client.notice.well, true, "nobody needs to worry");
});

test("rooms on several pages of the list are all listened to", async () => {
  const { server, page } = await inLobby();
  for (let i = 0; i < 250; i += 1) server.room(`room ${i}`).members.add("ada");
  page.load();
  for (let i = 0; i < 20; i += 1) await settle();
  assert.equal(page.client.rooms.size, 251);
  assert.ok([...page.client.rooms.values()].every((room) => room.ready));
});

test("what is looked for is found with its marked pieces, page after page, and an older answer is passed over", async () => {
  const { server, page, lobby } = await inLobby();
  const event = server.say(lobby, "ben", "<b>tea</b> at four");
  const hit = { event, pieces: [{ text: "<b>", matched: false }, { text: "tea", matched: true }] };
  server.instead = ({ search }) => {
    if (!search) return undefined;
    if (search.query === "slow") return { found: { hits: [], total: 0, more: false, next: 0 } };
    return { found: { hits: [hit], total: 2, more: false, next: search.skip === 0 ? 1 : 0 } };
  };
  const slow = page.client.search("slow");
  await page.client.search("tea");
  await slow;
  assert.deepEqual(page.client.sought.hits, JSON.parse(JSON.stringify([hit])));
  await page.client.moreHits();
  assert.deepEqual([page.client.sought.hits.length, page.client.sought.next], [2, 0]);
  assert.deepEqual(server.requests.filter((request) => request.search).map(({ search }) => search.skip), [0, 0, 1]);
  assert.equal(countText(page.client.sought), "2 messages.");
  page.client.forgetSearch();
  assert.equal(page.client.sought, null);
});

test("a message that was found is shown with what was said around it, and the newest lines come back", async () => {
  const { server, page, lobby } = await inLobby();
  for (let i = 1; i <= 200; i += 1) server.say(lobby, "ben", `${i}`);
  await settle();
  page.client.rooms.get(1).timeline.reset(201);
  await page.client.goTo(1, 41);
  assert.deepEqual([page.lines.at(0), page.lines.at(-1)], ["15", "64"]);
  assert.deepEqual(page.client.target, { room: 1, seq: 41 });
  server.say(lobby, "ben", "news");
  await settle();
  assert.equal(page.lines.at(-1), "64", "the window stays");
  page.client.toHead(1);
  await settle();
  assert.equal(page.lines.at(-1), "news");
  await page.client.goTo(1, 201);
  assert.equal(page.lines.at(-1), "news", "what is held is not read again");
});
