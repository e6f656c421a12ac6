// Coming back: when, how soon, and when not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Connection, Lost } from "../connection.js";
import { Clock, settle } from "./world.mjs";

function world(random = () => 0.5) {
  const clock = new Clock();
  const sockets = [];
  const connection = new Connection({
    openSocket: () => {
      const socket = { sent: [], send: (text) => socket.sent.push(JSON.parse(text)), close: () => (socket.closed = true) };
      sockets.push(socket);
      return socket;
    },
    clock, random, onState: () => {}, onWelcome: () => {}, onEvent: () => {}, onLeft: () => {},
  });
  const tell = (frame) => sockets.at(-1).onmessage({ data: JSON.stringify(frame) });
  connection.start();
  return { clock, sockets, connection, tell };
}

test("waits double up to half a minute, and each is a random part of that", async () => {
  const { clock, sockets, connection } = world(() => 1);
  const waits = [];
  for (let i = 0; i < 8; i += 1) {
    sockets.at(-1).onclose({ code: 1006 });
    waits.push(connection.state.until - clock.now());
    await clock.advance(waits.at(-1));
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  const other = world(() => 0.25);
  other.sockets[0].onclose({ code: 1006 });
  assert.equal(other.connection.state.until - other.clock.now(), 250);
});

test("after a connection that lasted the first wait is short again", async () => {
  const { clock, sockets, connection, tell } = world(() => 1);
  for (let i = 0; i < 4; i += 1) {
    sockets.at(-1).onclose({ code: 1006 });
    await clock.advance(connection.state.until - clock.now());
  }
  tell({ welcome: {} });
  await clock.advance(15_000);
  sockets.at(-1).onclose({ code: 1006 });
  assert.equal(connection.state.until - clock.now(), 1000);
});

test("a farewell that says come back is obeyed, with the wait it names", () => {
  const { clock, sockets, connection, tell } = world();
  tell({ welcome: {} });
  tell({ goodbye: { code: 1012, reason: "shutdown", reconnect: true, retry_after_ms: 7000 } });
  sockets[0].onclose({ code: 1012 });
  assert.equal(connection.state.is, "waiting");
  assert.ok(connection.state.until - clock.now() >= 7000);
});

test("a farewell that says do not is obeyed too, also where only the code is seen", async () => {
  const { clock, sockets, connection, tell } = world();
  tell({ welcome: {} });
  tell({ goodbye: { code: 4401, reason: "session_ended", reconnect: false } });
  sockets[0].onclose({ code: 4401 });
  assert.deepEqual(connection.state, { is: "ended", code: 4401, reason: "session_ended" });
  await clock.advance(100_000);
  assert.equal(sockets.length, 1);
  for (const [code, is] of [[4403, "ended"], [1009, "ended"], [4000, "waiting"], [1012, "waiting"], [1006, "waiting"]]) {
    const { sockets, connection } = world();
    sockets[0].onclose({ code });
    assert.equal(connection.state.is, is, `${code}`);
  }
});

test("a connection that has gone silent is asked, then given up", async () => {
  const { clock, sockets, connection, tell } = world();
  tell({ welcome: {} });
  await clock.advance(20_000);
  assert.deepEqual(sockets[0].sent, [{ id: 1, ping: {} }]);
  tell({ reply: { re: 1, pong: {} } });
  await clock.advance(20_000);
  assert.equal(sockets[0].sent.length, 2);
  await clock.advance(10_000);
  assert.equal(sockets[0].closed, true);
  assert.notEqual(connection.state.is, "open");
});

test("a server that never says welcome is given up", async () => {
  const { clock, connection } = world();
  await clock.advance(10_000);
  assert.equal(connection.state.is, "waiting");
});

test("what was asked and not answered is lost with the connection", async () => {
  const { sockets, connection, tell } = world();
  tell({ welcome: {} });
  const asked = connection.request({ ping: {} });
  sockets[0].onclose({ code: 1006 });
  await assert.rejects(asked, Lost);
  await assert.rejects(connection.request({ ping: {} }), Lost);
});

test("an impatient person need not wait, and a late message of the old socket is not heard", async () => {
  const { sockets, connection, tell } = world();
  const old = sockets[0].onmessage;
  sockets[0].onclose({ code: 1006 });
  connection.hurry();
  assert.equal(connection.state.is, "connecting");
  old({ data: JSON.stringify({ welcome: {} }) });
  assert.equal(connection.state.is, "connecting");
  tell({ welcome: {} });
  assert.equal(connection.state.is, "open");
  await settle();
});
