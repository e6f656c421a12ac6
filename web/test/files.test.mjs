// Files that are sent, by a network that fails and a server that refuses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { address, fitted, said, sent, size, Uploads } from "../files.js";
import { items } from "../lines.js";
import { Timeline } from "../timeline.js";
import { Clock, settle } from "./world.mjs";

const LIMITS = { attachments: 3, file_bytes: 1_000_000 };

/** A server that keeps to tus, and can be told to misbehave: `instead` may answer, or throw. */
class Keeper {
  files = new Map();
  asked = [];
  instead = () => undefined;

  fetch = async (path, { method, headers, body }) => {
    this.asked.push(`${method} ${headers["Upload-Offset"] ?? ""}`.trim());
    assert.equal(headers.Authorization, "Bearer a token");
    const answer = this.instead(method, path, body);
    return answer ?? this.#answer(method, path, headers, body);
  };

  #answer(method, path, headers, body) {
    if (method === "POST") {
      const id = `f${this.files.size + 1}`;
      this.files.set(id, { len: Number(headers["Upload-Length"]), here: 0, name: headers["Upload-Metadata"] });
      return reply(201, { file: { id } });
    }
    const file = this.files.get(path.split("/").at(-1));
    if (!file) return reply(404, refusal("no_such_file"));
    if (method === "DELETE") return this.files.delete(path.split("/").at(-1)), reply(204);
    if (method === "PATCH") {
      if (Number(headers["Upload-Offset"]) !== file.here) return reply(409, refusal("wrong_offset"));
      file.here += body.size;
    }
    return reply(method === "PATCH" ? 204 : 200, undefined, { "Upload-Offset": `${file.here}` });
  }
}

function reply(status, told, headers = {}) {
  return new Response(told === undefined ? null : JSON.stringify(told), { status, headers });
}

function refusal(name, more = {}) {
  return { rejected: { code: 1, name, text: name.replaceAll("_", " "), ...more } };
}

function file(name, length) {
  const blob = new Blob([new Uint8Array(length)]);
  return Object.assign(blob, { name });
}

function begin() {
  const keeper = new Keeper();
  const clock = new Clock();
  const seen = [];
  const uploads = new Uploads({ fetch: keeper.fetch, clock, token: () => "a token", onChange: () => {
    const [first] = uploads.list;
    if (first) seen.push(`${first.state} ${first.sent}`);
  } });
  return { keeper, clock, uploads, seen };
}

/** Lets promises of blobs and answers be kept, which take more than a turn. */
async function ended(clock, uploads) {
  for (let i = 0; i < 200 && uploads.list.some((one) => ["waiting", "sending"].includes(one.state)); i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1000);
  }
}

test("a file is sent in parts, its progress is seen, and it is carried once", async () => {
  const { keeper, clock, uploads, seen } = begin();
  uploads.add([file("Füße.png", 600_000)], LIMITS);
  assert.equal(uploads.ready, false);
  await ended(clock, uploads);
  assert.deepEqual(keeper.asked, ["POST", "PATCH 0", "PATCH 262144", "PATCH 524288"]);
  assert.deepEqual(keeper.files.get("f1"), { len: 600_000, here: 600_000, name: "filename RsO8w59lLnBuZw==" });
  assert.deepEqual([...new Set(seen)].slice(-4), ["sending 262144", "sending 524288", "sending 600000", "done 600000"]);
  assert.equal(uploads.ready, true);
  assert.deepEqual(uploads.take(), [{ id: "f1", name: "Füße.png" }]);
  assert.deepEqual(uploads.take(), []);
});

test("after a lost connection it goes on from where the server says it ended", async () => {
  const { keeper, clock, uploads } = begin();
  let lost = 0;
  keeper.instead = (method, path, body) => {
    if (method !== "PATCH" || lost > 0) return undefined;
    lost += 1;
    // It arrived, and the answer did not.
    keeper.files.get("f1").here += body.size;
    throw new TypeError("network");
  };
  uploads.add([file("a", 300_000)], LIMITS);
  await ended(clock, uploads);
  assert.deepEqual(keeper.asked, ["POST", "PATCH 0", "HEAD", "PATCH 262144"]);
  assert.equal(keeper.files.get("f1").here, 300_000);
  assert.equal(uploads.ready, true);
});

test("a server that is busy is waited for, and one that does not come back is given up", async () => {
  const { keeper, clock, uploads } = begin();
  let busy = 3;
  keeper.instead = () => (busy-- > 0 ? reply(503, refusal("busy", { retry_after_ms: 1000 })) : undefined);
  uploads.add([file("a", 10)], LIMITS);
  await ended(clock, uploads);
  assert.equal(uploads.list[0].state, "done");
  keeper.instead = () => {
    throw new TypeError("network");
  };
  uploads.add([file("b", 10)], LIMITS);
  await ended(clock, uploads);
  assert.deepEqual([uploads.list[1].state, uploads.list[1].why], ["failed", "The server could not be reached."]);
  assert.equal(uploads.ready, false);
});

test("what is refused says why and stops nobody else; what a person removes is given up", async () => {
  const { keeper, clock, uploads } = begin();
  keeper.instead = (method) => (method === "POST" && keeper.files.size === 0 && keeper.asked.length === 1
    ? reply(403, refusal("quota_exceeded")) : undefined);
  uploads.add([file("a", 10), file("b", 10), file("large", 1_000_001), file("one too many", 1)], LIMITS);
  await ended(clock, uploads);
  assert.deepEqual(uploads.list.map(({ name, state, why }) => [name, state, why]), [
    ["a", "failed", "Quota exceeded."],
    ["b", "done", undefined],
    ["large", "failed", "It is larger than 977 KiB."],
  ]);
  uploads.remove(uploads.list[0]);
  uploads.remove(uploads.list.at(-1));
  assert.equal(uploads.ready, true);
  keeper.instead = (method) => {
    if (method === "PATCH") uploads.clear();
    return undefined;
  };
  uploads.add([file("c", 600_000)], LIMITS);
  await ended(clock, uploads);
  await settle();
  assert.deepEqual([uploads.list, keeper.asked.at(-1)], [[], "DELETE"]);
});

test("sizes are told as people read them, and pictures are fitted without growing", () => {
  assert.deepEqual([0, 1023, 1024, 48_213, 26_214_400].map(size), ["0 bytes", "1023 bytes", "1.0 KiB", "47 KiB", "25 MiB"]);
  assert.deepEqual(fitted({ width: 640, height: 480 }), { width: 320, height: 240 });
  assert.deepEqual(fitted({ width: 20, height: 10_000 }), { width: 1, height: 320 });
  assert.deepEqual(fitted({ width: 8, height: 8 }), { width: 8, height: 8 });
  assert.equal(address(3, 7, { id: "f" }, true), "api/v1/rooms/3/messages/7/files/f/small");
});

test("a line has its files, and does not say their names twice", () => {
  const timeline = new Timeline();
  timeline.reset(0);
  const attachments = [{ id: "f", name: "cat.png", type: "image/png", bytes: 9, width: 4, height: 4 }];
  const message = (n, body, more = {}) => ({ n, body, from: { id: 1, name: "ada" }, ...more });
  timeline.apply({ room: 3, seq: 1, prev: 0, at: 5, message: message(1, "cat.png", { attachments }) });
  timeline.apply({ room: 3, seq: 2, prev: 1, at: 5, message: message(2, "my cat", { attachments }) });
  const told = () => items(timeline).map(({ text, files = [] }) => [text, files.map((one) => one.name)]);
  assert.deepEqual(told(), [["", ["cat.png"]], ["my cat", ["cat.png"]]]);
  timeline.apply({ room: 3, seq: 3, prev: 2, at: 5, deleted: { of: 2 } });
  assert.deepEqual(told(), [["", ["cat.png"]], ["(deleted)", []]]);
});

test("a line of files alone is shown, heard, quoted, edited and deleted for what it is", () => {
  const timeline = new Timeline();
  timeline.reset(0);
  const picture = { id: "f", name: "cat.png", type: "image/png", bytes: 9, width: 4, height: 4 };
  const message = (n, more) => ({ n, body: "", from: { id: 1, name: "ada" }, ...more });
  const happens = (seq, what) => timeline.apply({ room: 3, seq, prev: seq - 1, at: 5, ...what });
  happens(1, { message: message(1, { attachments: [picture] }) });
  happens(2, { message: message(2, { body: "pretty", in_reply_to: 1 }) });
  const lines = () => items(timeline);
  assert.deepEqual([lines()[0].text, lines()[0].unseen, lines()[0].state], ["", "sent a picture", undefined]);
  assert.equal(lines()[1].quote, "ada: (cat.png)");
  happens(3, { edited: { of: 1, body: "my cat" } });
  assert.deepEqual([lines()[0].text, lines()[0].unseen], ["my cat (edited)", undefined]);
  happens(4, { edited: { of: 1, body: "" } });
  assert.deepEqual([lines()[0].text, lines()[0].unseen], ["(edited)", "sent a picture"]);
  assert.equal(lines()[0].files.length, 1, "it is not taken for a deleted one");
  happens(5, { edited: { of: 2, body: "", deleted: true } });
  assert.equal(lines()[1].text, "pretty", "that text is gone, and the message stands");
  happens(6, { deleted: { of: 2 } });
  assert.equal(lines()[1].text, "(deleted)");
  happens(7, { deleted: { of: 1 } });
  assert.deepEqual([lines()[0].text, lines()[0].unseen], ["(deleted)", undefined]);
});

test("what is sent without a word is told by its kind and its names", () => {
  const [picture, text] = [{ name: "cat.png", width: 4 }, { name: "notes.txt", width: 0 }];
  assert.deepEqual([[picture], [text], [picture, picture], [picture, text]].map(sent),
    ["sent a picture", "sent a file", "sent 2 pictures", "sent 2 files"]);
  assert.equal(said({ body: "", attachments: [picture, text] }), "(cat.png, notes.txt)");
  assert.equal(said({ body: "hi", attachments: [picture] }), "hi");
  assert.equal(said({ body: "" }), "");
});
