// Two real browsers and a real server that is killed on the way. By hand, because it needs a browser:
//
//   cargo build && PLAYWRIGHT=…/node_modules/playwright-core/index.mjs node web/test/browsers.mjs
//
// CHROMIUM names the browser (/usr/bin/chromium), THRONG the executable (target/debug/throng), SHOTS a folder for
// pictures. Says what it saw; the exit code is 0 only if nothing was missing.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { PLAYWRIGHT, CHROMIUM = "/usr/bin/chromium", THRONG = "target/debug/throng", SHOTS } = process.env;
if (!PLAYWRIGHT) throw new Error("set PLAYWRIGHT to playwright-core's index.mjs");
const { chromium } = await import(PLAYWRIGHT);
const data = mkdtempSync(join(tmpdir(), "throng-browsers-"));
let server;
let address = "127.0.0.1:0";

/** Starts the server on the folder, at the same address as before. */
async function serve() {
  const raised = ["sends_per_second", "sends_burst"].flatMap((name) => ["--set", `limits.${name}=10000`]);
  server = spawn(THRONG, ["serve", "--data", data, "--listen", address, ...raised], { stdio: ["ignore", "pipe", "ignore"] });
  let told = "";
  for await (const bytes of server.stdout) {
    told += bytes;
    const found = told.match(/http:\/\/([^/\s]+)\//);
    if (found) return (address = found[1]);
  }
  throw new Error(`the server did not start: ${told}`);
}

async function kill() {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill("SIGKILL");
  await ended;
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-background-networking"] });
const errors = [];

async function person(name, look, how = "Sign up") {
  const context = await browser.newContext(look);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(`${name}: ${error.message}`));
  page.on("dialog", (dialog) => (errors.push(`${name}: dialog ${dialog.message()}`), dialog.dismiss()));
  await page.goto(`http://${address}/`);
  await page.locator("#entry").getByLabel("Name").fill(name);
  await page.locator("#entry").getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: how }).click();
  await connected(page);
  return page;
}

const connected = (page) => page.getByText("Connected", { exact: true }).waitFor();
const say = async (page, text) => {
  await page.locator("#body").fill(text);
  await page.locator("#body").press("Enter");
};
const told = (page) => page.locator("#lines .line[data-state=told] span").allTextContents();
const shot = (page, name) => SHOTS && page.screenshot({ path: join(SHOTS, `${name}.png`) });

async function hears(page, wanted) {
  await page.waitForFunction(
    (count) => document.querySelectorAll("#lines .line[data-state=told]").length >= count,
    wanted.length,
    { timeout: 60_000 },
  );
  assert.deepEqual(await told(page), wanted);
}

/** A server's API, for what a person would take long to do. */
async function api(path, body, token) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(`http://${address}/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  return answer.json();
}

const delays = (page) => page.locator("#delay");

/** Ada, who keeps order, settles a delay; what Ben says waits, until she lets it pass, takes it away, or its time comes. */
async function delayed(ada, ben, said) {
  const room = ada.locator("#manage-open");
  const settle = async (seconds) => {
    await room.click();
    await delays(ada).fill(String(seconds));
    await ada.locator("#settings-form").getByRole("button", { name: "Save" }).click();
    await ada.getByText(seconds ? `is seen after ${seconds} s` : "Speaks: everyone. Reads").waitFor();
    await ada.locator("#manage-close").click();
  };
  await settle(300);
  await say(ben, "is this all right?");
  await ben.getByText("waits for 300 s").waitFor();
  await say(ben, "and this?");
  await ada.getByText("Room (2 wait)").waitFor();
  assert.deepEqual(await told(ada), said, "what waits is not seen yet");
  await room.click();
  await ada.getByText("ben: and this?").waitFor();
  await shot(ada, "waits");
  const row = (text) => ada.locator("#held li", { hasText: text });
  await row("is this all right?").getByRole("button", { name: "Let it pass" }).click();
  await ada.getByText("It is said.").waitFor();
  await row("and this?").getByRole("button", { name: "Take it away" }).click();
  await ada.getByText("It is taken away.").waitFor();
  await ada.locator("#manage-close").click();
  await ben.getByText("It was taken away before it was seen.").waitFor();
  await shot(ben, "taken-away");
  said.push("is this all right?");
  await hears(ada, said);
  await settle(1);
  await say(ben, "in a second");
  said.push("in a second");
  await hears(ada, said);
  await hears(ben, said);
  await settle(0);
  console.log("what is said under a delay waits: it was let pass, taken away, and came by itself");
}

/** Ada says how her rooms begin; the next one does, those that are there stay as they are. */
async function begins(ada) {
  await ada.getByRole("button", { name: "Account" }).click();
  await ada.locator("#begin-slow").fill("30");
  await ada.locator("#begin-save").click();
  await ada.getByText("Rooms that you make from now on begin so.").waitFor();
  await shot(ada, "begins");
  await ada.locator("#account-close").click();
  await ada.getByLabel("New room").fill("Slow lane");
  await ada.getByRole("button", { name: "Make" }).click();
  await ada.getByRole("heading", { name: "Slow lane" }).waitFor();
  await ada.locator("#manage-open").click();
  await ada.locator("#manage-rules", { hasText: "30 s" }).waitFor();
  await ada.locator("#manage-close").click();
  await ada.getByRole("button", { name: "Lobby" }).click();
  await ada.getByRole("heading", { name: "Lobby" }).waitFor();
  await ada.locator("#manage-open").click();
  await ada.getByText("Speaks: everyone. Reads").waitFor();
  await ada.locator("#manage-close").click();
  console.log("a new room begins as its owner has said, and no other changes");
}

/** Ben writes to Ada alone: she sees it without asking, on both of her devices, and what she reads is read on both. */
async function alone(ada, ben) {
  const desk = await person("ada", {}, "Log in");
  await ben.getByRole("button", { name: "Rooms", exact: true }).click();
  await ben.getByLabel("Write to one person").fill("ada");
  await ben.getByRole("button", { name: "Write", exact: true }).click();
  await ben.getByRole("heading", { name: "ada" }).waitFor();
  await say(ben, "for you alone");
  const unread = (page) => page.locator("#mine").getByRole("button", { name: "ben 1 unread" });
  for (const page of [ada, desk]) await unread(page).waitFor();
  await unread(desk).click();
  await hears(desk, ["for you alone"]);
  await unread(ada).waitFor({ state: "detached" });
  await desk.context().close();
  await ben.getByRole("button", { name: "Rooms", exact: true }).click();
  await ben.locator("#mine").getByRole("button", { name: "Lobby" }).click();
  console.log("what is written to one alone is seen at once, and read on all devices");
}

/** Ada renames a room; Ben sees it, and finds it by a part of its name. */
async function renamed(ada, ben) {
  await ada.getByRole("button", { name: "Slow lane" }).click();
  await ada.locator("#manage-open").click();
  await ada.locator("#rename").fill("Quiet corner");
  await ada.locator("#settings-form").getByRole("button", { name: "Save" }).click();
  await ada.getByText("The settings are changed.").waitFor();
  await ada.locator("#manage-close").click();
  await ada.getByRole("heading", { name: "Quiet corner" }).waitFor();
  await ada.getByRole("button", { name: "Lobby" }).click();
  await ben.getByRole("button", { name: "Rooms", exact: true }).click();
  await ben.locator("#find-name").fill("CORN");
  await ben.getByRole("button", { name: "Find rooms" }).click();
  await ben.locator("#found").getByRole("button", { name: /^Quiet corner/ }).waitFor();
  assert.equal(await ben.locator("#found li").count(), 1);
  await shot(ben, "found");
  await ben.getByRole("button", { name: "Rooms", exact: true }).click();
  console.log("a room is renamed, and found by a part of its new name");
}

/** Ada's phone makes a room, and her other page has it at once; a picture goes there without a word. */
async function pictures(ada) {
  const phone = await person("ada", { viewport: { width: 390, height: 780 } }, "Log in");
  await phone.getByRole("button", { name: "Rooms", exact: true }).click();
  await phone.getByLabel("New room").fill("Pictures");
  await phone.getByRole("button", { name: "Make" }).click();
  await phone.getByRole("heading", { name: "Pictures" }).waitFor();
  await ada.locator("#mine").getByRole("button", { name: "Pictures" }).click();
  await ada.getByRole("heading", { name: "Pictures" }).waitFor();
  console.log("a room that is made on one device is on the other at once");
  const picture = { name: "cat.png", mimeType: "image/png", buffer: await ada.screenshot() };
  await ada.locator("#files").setInputFiles(picture);
  await ada.getByText("The files have come").waitFor({ state: "attached" });
  await ada.getByRole("button", { name: "Send", exact: true }).click();
  for (const page of [ada, phone]) {
    await page.getByRole("button", { name: "Show cat.png" }).locator("img[src]").waitFor();
    assert.match(await page.locator("#lines .line").last().textContent(), /^adasent a picture/);
  }
  await shot(ada, "picture");
  await shot(phone, "picture-phone");
  for (const [text, shown] of [["my cat", "my cat (edited)"], ["", "(edited)"]]) {
    await ada.getByRole("button", { name: "More about the message of ada" }).click();
    await ada.getByLabel("Its text").fill(text);
    await ada.locator("#edit-form").getByRole("button", { name: "Change" }).click();
    await phone.getByText(shown, { exact: true }).waitFor();
  }
  await phone.getByRole("button", { name: "Show cat.png" }).waitFor();
  await phone.context().close();
  await ada.locator("#mine").getByRole("button", { name: "Lobby" }).click();
  await ada.getByRole("heading", { name: "Lobby" }).waitFor();
  console.log("a picture goes without a text, is given one, and loses it");
}

try {
  await serve();
  const ada = await person("ada", { viewport: { width: 1000, height: 700 } });
  await ada.getByLabel("New room").fill("Lobby");
  await ada.getByRole("button", { name: "Make" }).click();
  await ada.getByRole("heading", { name: "Lobby" }).waitFor();
  const ben = await person("ben", { viewport: { width: 390, height: 780 }, colorScheme: "dark", isMobile: true, hasTouch: true });
  await ben.getByRole("button", { name: "Rooms", exact: true }).click();
  await ben.getByRole("button", { name: "Find rooms" }).click();
  await ben.getByRole("button", { name: /^Lobby/ }).click();
  await ben.getByRole("heading", { name: "Lobby" }).waitFor();

  const said = ["hello", "<img src=x onerror=alert(1)>", "<script>alert(2)</script>", "two\nlines", "x".repeat(500)];
  for (const text of said) await say(ada, text);
  await hears(ada, said);
  await hears(ben, said);
  await say(ben, "hello, Ada");
  said.push("hello, Ada");
  await hears(ada, said);
  await shot(ada, "talk");
  await shot(ben, "talk-phone");

  await delayed(ada, ben, said);
  await begins(ada);
  await alone(ada, ben);
  await renamed(ada, ben);
  await pictures(ada);

  await ada.reload();
  await connected(ada);
  await hears(ada, said);
  console.log("a reload keeps the session and the lines");

  await kill();
  await ada.getByText("Not connected").waitFor();
  await say(ada, "into the void");
  await ada.getByText("sending…").waitFor();
  await shot(ada, "away");
  await serve();
  said.push("into the void");
  await hears(ada, said);
  await hears(ben, said);
  await connected(ada);
  assert.equal(await ada.getByText("sending…").count(), 0);
  console.log("a killed server is come back to; what was said meanwhile is told once");

  const { token } = await api("accounts", { name: "eve", password: "correct horse battery" });
  await api("rooms/1/join", {}, token);
  for (let i = 1; i <= 700; i += 1) await api("rooms/1/messages", { body: `line ${i}` }, token);
  await ada.getByText("line 700", { exact: true }).waitFor();
  const held = await ada.locator("#lines li").count();
  assert.ok(held <= 301, `${held} lines are held`);
  for (let i = 0; i < 40 && !(await ada.getByText("ada made the room").count()); i += 1) {
    await ada.locator("#scroll").evaluate((scroll) => (scroll.scrollTop = 0));
    await ada.waitForTimeout(100);
  }
  await ada.getByText("ada made the room").waitFor();
  assert.ok((await ada.locator("#lines li").count()) <= 600);
  await shot(ada, "far-back");
  await ada.locator("#to-head").click();
  await ada.getByText("line 700", { exact: true }).waitFor();
  console.log("a long room is pruned, paged back to its beginning, and left for the newest line again");

  const other = await ada.context().newPage();
  await other.goto(`http://${address}/`);
  await connected(other);
  await other.getByRole("button", { name: "Log out" }).click();
  await other.getByRole("button", { name: "Log in" }).waitFor();
  await ada.getByText("You have been logged out.").waitFor();
  console.log("logging out in one tab ends the other");

  assert.deepEqual(errors, []);
  console.log("nothing was missing");
} finally {
  await browser.close();
  await kill();
  rmSync(data, { recursive: true, force: true });
}
