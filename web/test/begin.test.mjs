// What one says of the rooms that one makes; the page itself is tried by hand (`browsers.mjs`).

import assert from "node:assert/strict";
import { test } from "node:test";

import { Begin, begin, filled, keeps } from "../begin.js";
import { Page, Server, settle } from "./world.mjs";

test("what was left open is left out, and nothing is not the same as none", () => {
  const open = { speak: "", history: "", slow_seconds: "", delay_seconds: "", keep_seconds: "" };
  assert.deepEqual(begin(open), { set_room_defaults: {} });
  const none = begin({ ...open, slow_seconds: "0", keep_seconds: "0" });
  assert.deepEqual(none, { set_room_defaults: { slow_seconds: 0, keep_seconds: 0 } });
  const said = { speak: "voiced", history: "joining", slow_seconds: 30, delay_seconds: 5, keep_seconds: 86400 };
  assert.deepEqual(begin(filled(said)), { set_room_defaults: said }, "what is shown says the same again");
  assert.deepEqual(filled({}), open);
});

test("how long they keep what was said can be left to the server, and what holds is always among it", () => {
  assert.equal(keeps("")[0][0], "");
  assert.ok(keeps("90").some(([value]) => value === "90"));
  assert.ok(keeps("").some(([value, text]) => value === "0" && text === "for ever"));
});

test("the form shows what is so, and saves what was filled in, all of it", async () => {
  const server = new Server();
  const ada = new Page(server);
  await ada.signUp("ada");
  let defaults = { slow_seconds: 30 };
  server.instead = ({ room_defaults, set_room_defaults }) => {
    if (set_room_defaults) defaults = set_room_defaults;
    return room_defaults ? { room_defaults: defaults } : set_room_defaults && { done: {} };
  };
  const page = new Map();
  const $ = (id) => {
    if (!page.has(id)) page.set(id, { value: "", replaceChildren() {}, addEventListener: (_, does) => page.set("submit", does) });
    return page.get(id);
  };
  globalThis.document ??= { createElement: () => ({ append() {}, dataset: {} }) };
  const told = [];
  const begins = new Begin($, ada.client, (text) => told.push(text));
  await begins.load();
  assert.equal($("begin-slow").value, "30");
  assert.equal($("begin-speak").value, "");
  $("begin-slow").value = "";
  $("begin-history").value = "all";
  page.get("submit")({ preventDefault() {} });
  await settle();
  assert.deepEqual(defaults, { history: "all" });
  assert.deepEqual(told, ["Rooms that you make from now on begin so."]);
});
