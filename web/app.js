// The page: what `Client` knows becomes visible, what a person does becomes its calls. Nothing is decided here.

import { Account } from "./account.js";
import { Client } from "./client.js";
import { said, size, Uploads } from "./files.js";
import { called, guestTime, isGuest } from "./guests.js";
import { whoIsHere, whoTypes } from "./here.js";
import { countText, showHits } from "./hits.js";
import { button, element, items, show, tell } from "./lines.js";
import { waitingText } from "./held.js";
import { Manage, picture } from "./manage.js";
import { Message } from "./message.js";
import { keep, shower } from "./pictures.js";
import { unreadOf } from "./reading.js";

const $ = (id) => document.getElementById(id);
const socketAddress = new URL("ws", location.href.replace(/^http/, "ws"));

const clock = {
  now: () => Date.now(),
  after: (ms, what) => setTimeout(what, ms),
  cancel: (timer) => clearTimeout(timer),
};
const openSocket = () => new WebSocket(socketAddress, "throng.v1.json");
const client = new Client({
  openSocket,
  clock,
  random: Math.random,
  storage: { kept: localStorage, tab: sessionStorage },
  newId,
  onChange: soon,
});

const token = () => client.token;
const uploads = new Uploads({ fetch: (...asked) => fetch(...asked), clock, token, onChange: soon });
const carried = shower(token);

/** Is the newest line in view? Then new ones scroll into view too. */
let following = true;
let shownRoom = null;
let waiting = false;
let ticking = null;
/** How long one may be a guest here, once that is known. */
let guestMs = null;
/** The message that the next one answers. */
let answered = null;
const given = takeLink();
const manage = new Manage($, client, sendPicture);
const message = new Message($, client, (event) => {
  answered = event;
  soon();
  $("body").focus();
});

/** Sends a picture by itself, apart from those of messages: its id, or why not. */
function sendPicture(file) {
  return new Promise((resolve) => {
    const changed = () => {
      const [one] = alone.list;
      if (one?.state === "done") resolve({ id: one.id });
      if (one?.state === "failed") resolve({ why: `It cannot be sent. ${one.why}` });
    };
    const alone = new Uploads({ fetch: (...asked) => fetch(...asked), clock, token, onChange: changed });
    alone.add([file], { ...client.limits, attachments: 1 });
  });
}

/** One painting for all changes of a moment; a page in the background paints too, but seldom. */
function soon() {
  if (waiting) return;
  waiting = true;
  const paint = () => {
    waiting = false;
    render();
  };
  if (document.hidden) setTimeout(paint, 1000);
  else requestAnimationFrame(paint);
}

/** What the address brought: an invitation or a password's link. It leaves the address bar at once. */
function takeLink() {
  const said = new URLSearchParams(location.hash.slice(1));
  const found = { link: said.get("link"), reset: said.get("reset"), join: said.get("join") };
  if (found.link || found.reset || found.join) history.replaceState(null, "", location.pathname);
  return found;
}

/** `crypto.randomUUID` exists only where the page is served securely; this does everywhere. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function render() {
  const inside = client.user !== null || (client.token !== null && client.credentials === null && !given.reset);
  $("entry").hidden = inside;
  $("chat").hidden = !inside;
  // Once somebody is in, what the address brought has done its work.
  if (client.user && given.join) client.joinByLink(given.join);
  if (client.user) Object.assign(given, { link: null, reset: null, join: null });
  if (inside) renderChat();
  else renderEntry();
}

function renderEntry() {
  const { is } = client.connection.state;
  const busy = is === "connecting" || is === "open";
  for (const one of $("entry-form").querySelectorAll("button")) one.disabled = busy;
  const { link, reset } = given;
  $("entry-says").hidden = !link && !reset;
  $("entry-says").textContent = reset ? "Choose a new password." : "You are invited: choose a name and a password.";
  $("name").required = !reset;
  for (const id of ["name", "name-label", "do-login", "do-signup"]) $(id).hidden = Boolean(reset);
  $("do-reset").hidden = !reset;
  offerGuests();
  tell($("entry-notice"), client.notice?.text ?? (is === "off" ? "" : stateText()), client.notice?.well);
  shownRoom = null;
  document.title = "Throng";
}

/** Asked once, when somebody stands before the door. */
function offerGuests() {
  if (guestMs === null) {
    guestMs = 0;
    guestTime(openSocket).then((ms) => {
      guestMs = ms;
      soon();
    });
  }
  $("do-guest").hidden = guestMs === 0 || Boolean(given.reset);
}

function renderChat() {
  const { is } = client.connection.state;
  $("state").textContent = stateText();
  $("state").dataset.is = client.user && is === "open" ? "open" : "other";
  renderCountdown();
  $("hurry").hidden = is !== "waiting" && is !== "ended";
  const guest = isGuest(client.user);
  $("me").textContent = `${client.user?.name ?? ""}${guest ? " (guest)" : ""}`;
  for (const id of ["account", "create-form", "direct-form"]) $(id).hidden = guest;
  tell($("notice"), client.notice?.text, client.notice?.well);
  renderRooms();
  renderHits();
  renderRoom(client.rooms.get(client.open));
  renderTarget();
}

function stateText() {
  const { is, reason, code } = client.connection.state;
  if (is === "open") return client.user ? "Connected" : "Logging in…";
  if (is === "connecting") return "Connecting…";
  if (is === "ended") return `The server ended the connection: ${(reason || `code ${code}`).replaceAll("_", " ")}.`;
  if (is === "waiting") return "Not connected. Trying again.";
  return "";
}

/** Seconds to the next try, apart from the state so that a screen reader does not count along. */
function renderCountdown() {
  clearTimeout(ticking);
  const { is, until } = client.connection.state;
  $("countdown").textContent = is === "waiting" ? `${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s` : "";
  if (is === "waiting") ticking = setTimeout(renderCountdown, 1000);
}

function renderRooms() {
  const mine = [...client.rooms.values()].sort((one, other) => one.name.localeCompare(other.name));
  let unreadInAll = 0;
  const rows = mine.map((room) => {
    const unread = unreadOf(room);
    unreadInAll += unread;
    const mentions = unread > 0 ? room.mentions : 0;
    return { key: `${room.id}`, label: room.name, count: unread, mentions, open: room.id === client.open };
  });
  renderList($("mine"), rows, (row) => {
    client.show(Number(row.key));
    closeRooms();
  });
  const found = client.found.filter((room) => !client.rooms.has(room.id));
  const open = $("find").getAttribute("aria-expanded") === "true";
  $("found").hidden = !open;
  $("find-more").hidden = !open || !client.moreFound;
  const joinable = found.map((room) => ({ key: `${room.id}`, label: room.name, members: room.members }));
  renderList($("found"), joinable, (row) => {
    client.join(Number(row.key), row.label);
    closeRooms();
  });
  document.title = unreadInAll > 0 ? `(${unreadInAll}) Throng` : "Throng";
}

/** The hits last painted: they are made anew only when there are others. */
let drawnHits = null;

function renderHits() {
  const { sought } = client;
  $("hits-part").hidden = !sought;
  if (sought === drawnHits) return;
  drawnHits = sought;
  const roomName = (id) => client.rooms.get(id)?.name ?? `#${id}`;
  showHits($("hits"), sought?.hits ?? [], roomName, (room, seq) => {
    following = false;
    shownRoom = room;
    closeRooms();
    client.goTo(room, seq);
  });
  $("hits-count").textContent = sought ? countText(sought) : "";
  $("hits-more").hidden = !sought?.next;
}

/** The message that was chosen comes into view once, and stays marked until another one is. */
function renderTarget() {
  const { target } = client;
  const item = target && target.room === client.open && $("lines").querySelector(`[data-key="e${target.seq}"]`);
  if (!item) return;
  for (const other of $("lines").querySelectorAll(".target")) other.classList.remove("target");
  item.classList.add("target");
  item.scrollIntoView({ block: "center" });
  client.target = null;
}

function renderList(list, rows, does) {
  const drawn = JSON.stringify(rows);
  if (list.dataset.drawn === drawn) return;
  list.dataset.drawn = drawn;
  const focused = document.activeElement?.closest?.("li")?.dataset.key;
  list.replaceChildren(...rows.map((row) => {
    const item = element("li", { key: row.key });
    const made = button(row.label, () => does(row));
    if (row.open) made.setAttribute("aria-current", "true");
    if (row.count > 0) {
      const number = row.count > 999 ? "999+" : `${row.count}`;
      const count = element("span", {}, row.mentions > 0 ? `${number} @` : number);
      count.className = "count";
      const said = row.mentions > 0 ? `, you are mentioned in ${row.mentions}` : "";
      count.setAttribute("aria-label", `${row.count} unread${said}`);
      made.append(" ", count);
    }
    if (row.members !== undefined) made.append(element("small", {}, row.members === 1 ? " 1 member" : ` ${row.members} members`));
    item.append(made);
    return item;
  }));
  if (focused) list.querySelector(`[data-key="${focused}"] button`)?.focus();
}

function renderRoom(room) {
  $("room-title").textContent = room ? room.name : "No room yet";
  for (const id of ["leave", "manage-open"]) $(id).hidden = !room;
  // Of two for ever: there is nothing to settle and nobody goes.
  if (room?.kind === "direct") for (const id of ["leave", "manage-open"]) $(id).hidden = true;
  $("manage-open").textContent = waitingText(room?.waiting.size ?? 0);
  manage.showHeld();
  renderPicture(room);
  renderAnswering(room);
  $("say-form").hidden = !room;
  renderUploads(room);
  $("older").hidden = !room || !room.timeline.more || room.timeline.events.length === 0;
  const scroll = $("scroll");
  if (shownRoom !== (room?.id ?? null)) {
    shownRoom = room?.id ?? null;
    following = true;
    $("lines").replaceChildren();
  }
  renderEmpty(room);
  renderHere(room);
  if (!room) return $("lines").replaceChildren();
  const { timeline } = room;
  if (following) {
    if (!timeline.atHead) client.toHead(room.id);
    timeline.prune();
  }
  // Lines may come and go above and below; the one that was on top stays where it is.
  const anchor = $("lines").firstElementChild;
  const was = anchor?.offsetTop;
  const act = (what, about) => (what === "more" ? message.open(about) : client[what](room.id, about));
  show($("lines"), items(timeline, client.people.blocked), client.user?.name, act, carried);
  if (following) scroll.scrollTop = scroll.scrollHeight;
  else if (anchor?.isConnected) scroll.scrollTop += anchor.offsetTop - was;
  renderToHead(room);
  if (following && !document.hidden && room.ready) client.markRead(room.id);
  // Lines that do not fill the page: fetch more, until they do.
  if (room.ready && scroll.scrollHeight <= scroll.clientHeight) older();
}

function renderPicture(room) {
  const shown = $("room-title").previousElementSibling;
  if ((shown?.dataset.hash ?? "") === (room?.avatar ?? "")) return;
  shown?.remove();
  if (!room?.avatar) return;
  const made = picture(room.avatar, room.name);
  made.dataset.hash = room.avatar;
  $("room-title").before(made);
}

/** Which message the next one answers. */
function renderAnswering(room) {
  if (answered && answered.room !== room?.id) answered = null;
  $("answering").hidden = !answered;
  const { message: asked } = answered ?? {};
  $("answering").firstElementChild.textContent = asked ? `Answers ${called(asked.from)}: ${said(asked).slice(0, 60)}` : "";
}

/** The files that are to be sent with the next message. */
function renderUploads(room) {
  $("attach").hidden = !room || !client.limits.file_bytes || isGuest(client.user);
  $("uploads").hidden = !room || uploads.list.length === 0;
  $("send").disabled = !uploads.ready;
  const under = uploads.list.filter((one) => one.state === "sending" || one.state === "waiting").length;
  const failed = uploads.list.find((one) => one.state === "failed");
  const said = failed ? `${failed.name} cannot be sent. ${failed.why}`
    : under > 0 ? `Sending ${under === 1 ? "a file" : `${under} files`}…`
    : uploads.list.length > 0 ? "The files have come and go with your message." : "";
  if ($("uploads-say").textContent !== said) $("uploads-say").textContent = said;
  const rows = [...$("uploads").children];
  for (const row of rows) if (!uploads.list.includes(row.of)) row.remove();
  for (const one of uploads.list) {
    const row = rows.find((row) => row.of === one) ?? uploadRow(one);
    row.dataset.state = one.state;
    row.querySelector("small").textContent = one.state === "failed" ? one.why : size(one.size);
    const bar = row.querySelector("progress");
    bar.hidden = one.state === "failed" || one.state === "done";
    bar.value = one.sent / one.size;
  }
}

function uploadRow(one) {
  const row = element("li");
  row.of = one;
  const bar = element("progress");
  bar.setAttribute("aria-label", `${one.name}, sent`);
  const remove = button("Remove", () => {
    uploads.remove(one);
    $("body").focus();
  });
  remove.setAttribute("aria-label", `Remove ${one.name}`);
  row.append(element("span", {}, one.name), element("small"), bar, remove);
  $("uploads").append(row);
  return row;
}

function attach(files) {
  if (isGuest(client.user) || files.length === 0) return;
  if (client.open !== null && client.limits.file_bytes) uploads.add(files, client.limits);
}

function renderEmpty(room) {
  const text = !room
    ? "Make a room, or find one to join."
    : !room.ready ? "Waiting for the connection…"
    : room.loading && room.timeline.events.length === 0 ? "Loading…" : "";
  $("empty").textContent = text;
  $("empty").hidden = text === "" || (room && room.timeline.events.length > 0);
}

function renderHere(room) {
  const says = (id, text) => {
    if ($(id).textContent !== text) $(id).textContent = text;
  };
  says("here", room ? whoIsHere(room.here, room.names) : "");
  says("typing", room ? whoTypes(room.here, room.names, client.user?.id, client.isTyping(room)) : "");
}

function renderToHead(room) {
  const { atHead, below } = room.timeline;
  $("to-head").hidden = following;
  $("to-head").textContent = !atHead && below > 0 ? `${below} newer: go there` : "To the newest message";
}

function older() {
  const room = client.rooms.get(client.open);
  if (room) client.loadOlder(room.id).catch(() => {});
}

function closeRooms() {
  $("rooms").classList.remove("open");
  $("rooms-toggle").setAttribute("aria-expanded", "false");
}

$("entry-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  const password = $("password").value;
  if (given.reset) client.resetPassword(given.reset, password);
  else if (event.submitter?.value === "signup") client.signUp(name, password, given.link ?? "");
  else client.logIn(name, password);
  $("password").value = "";
});

$("do-guest").addEventListener("click", () => {
  const name = $("name").value.trim();
  if (name === "" || $("name").reportValidity()) client.lookIn(name);
});

$("log-out").addEventListener("click", () => {
  uploads.clear();
  client.logOut();
});

new Account($, client, { sendPicture, keep, fetch: (...asked) => fetch(...asked) });
$("hurry").addEventListener("click", () => client.connection.hurry());

$("rooms-toggle").addEventListener("click", () => {
  const open = $("rooms").classList.toggle("open");
  $("rooms-toggle").setAttribute("aria-expanded", `${open}`);
});

$("create-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("room-name").value.trim();
  if (name === "") return;
  const reply = await client.create(name, $("room-private").checked ? "private" : "public");
  if (reply?.joined) {
    // The next room is public again, unless it is said of it.
    event.target.reset();
    closeRooms();
    $("body").focus();
  }
});

$("direct-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const reply = await client.openDirect($("direct-name").value.trim());
  if (!reply?.joined) return;
  event.target.reset();
  closeRooms();
  $("body").focus();
});

$("find-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const named = $("find-name").value.trim();
  const open = named !== "" || $("find").getAttribute("aria-expanded") !== "true";
  $("find").setAttribute("aria-expanded", `${open}`);
  if (open) client.find(named);
  soon();
});

$("find-more").addEventListener("click", () => {
  const { named, after } = client.moreFound ?? {};
  if (after) client.find(named, after);
});

$("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = $("query").value.trim();
  if (query === "") client.forgetSearch();
  else client.search(query, $("only-here").checked ? client.open ?? 0 : 0);
});
$("hits-more").addEventListener("click", () => client.moreHits());
$("hits-close").addEventListener("click", () => client.forgetSearch());

$("manage-open").addEventListener("click", () => {
  const room = client.rooms.get(client.open);
  if (room) manage.open(room);
});
$("answer-not").addEventListener("click", () => {
  answered = null;
  soon();
});
$("leave").addEventListener("click", () => {
  const room = client.rooms.get(client.open);
  if (room && confirm(`Leave ${room.name}?`)) client.leave(room.id);
});

$("scroll").addEventListener("scroll", () => {
  const { scrollTop, scrollHeight, clientHeight } = $("scroll");
  const follows = scrollHeight - scrollTop - clientHeight < 40;
  if (follows !== following) soon();
  following = follows;
  if (scrollTop < 200) older();
}, { passive: true });

$("older").addEventListener("click", older);

$("to-head").addEventListener("click", () => {
  following = true;
  client.toHead(client.open);
  $("body").focus();
});

function say() {
  const body = $("body").value;
  if (client.open === null || !uploads.ready) return;
  const files = uploads.take();
  if (body.trim() === "" && files.length === 0) return;
  following = true;
  client.post(client.open, body, files, answered?.seq ?? 0);
  answered = null;
  $("body").value = "";
  fit();
}

/** The field is as high as its text, up to a third of the page. */
function fit() {
  $("body").rows = Math.min(8, $("body").value.split("\n").length);
}

$("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});

$("body").addEventListener("input", () => {
  fit();
  if (client.open !== null && $("body").value !== "") client.types(client.open);
});
$("body").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});

$("attach").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  attach([...$("files").files]);
  $("files").value = "";
  $("body").focus();
});
$("body").addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length === 0) return;
  event.preventDefault();
  attach(files);
});
addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
addEventListener("drop", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  // Else the browser leaves the page for the file.
  event.preventDefault();
  attach([...event.dataTransfer.files]);
});
$("picture-close").addEventListener("click", () => $("picture-dialog").close());

addEventListener("online", () => client.connection.hurry());
// What the browser says of the network is a hint: the server is asked at once.
addEventListener("offline", () => client.connection.state.is === "open" && client.connection.hurry());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (client.connection.state.is === "waiting" || client.connection.state.is === "open") client.connection.hurry();
  // Another device may have joined rooms, or made some.
  client.refresh();
  soon();
});

// Who comes with a link for a password has none that is good.
if (!given.reset) client.start();
render();
