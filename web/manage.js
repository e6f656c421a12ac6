// A room's own dialog: who belongs, what is settled, and what those who keep order need. Asks when it is opened
// and after each change; who may not is told so by the server, and sees only what is for all.

import { names } from "./files.js";
import { called } from "./guests.js";
import { showWaiting } from "./held.js";
import { element, button, tell } from "./lines.js";

const PAGE = 50;
/** A list that was behind is asked for again after so long. */
const BEHIND_MS = 1000;

/** What can be done to somebody, as a person says it; in the order of the list. */
const ACTS = [
  ["mute", "Mute"],
  ["unmute", "Unmute"],
  ["voice", "Give voice"],
  ["unvoice", "Take voice"],
  ["kick", "Remove"],
  ["ban", "Ban"],
  ["unban", "Lift the ban"],
  ["invite", "Invite"],
  ["delete_all", "Delete all it said"],
  ["visitor", "Make a visitor"],
  ["member", "Make a member"],
  ["moderator", "Make a moderator"],
  ["owner", "Make an owner"],
];
const ROLES = ["visitor", "member", "moderator", "owner"];
/** What cannot be taken back is asked about first. */
const SURE = ["ban", "kick", "delete_all", "owner"];

/** The request for an act on somebody, named by number or name. */
export function moderate(room, act, target) {
  const role = ROLES.includes(act) ? { act: "set_role", role: act } : { act };
  return { moderate: { room, ...role, ...target } };
}

/** The settings of the form that differ from those that are. */
export function changes(room, was, form) {
  const set = { room };
  if (form.name !== was.name) set.name = form.name;
  if (form.topic !== was.topic) set.topic = form.topic;
  if (form.speak !== was.speak) set.speak = form.speak;
  if (form.history !== was.history) set.history = form.history;
  if (form.slow_seconds !== was.slow_seconds) set.slow_seconds = form.slow_seconds;
  if (form.delay_seconds !== was.delay_seconds) set.delay_seconds = form.delay_seconds;
  if (form.keep_seconds !== was.keep_seconds) set.keep_seconds = form.keep_seconds;
  if (form.words.join("\n") !== was.words.join("\n")) set.words = { list: form.words };
  return Object.keys(set).length > 1 ? { set_room: set } : null;
}

/** How long a room keeps what was said, as a person says it; what is shorter or between is told in seconds. */
const KEPT = [[0, "for ever"], [3600, "an hour"], [86400, "a day"], [604800, "a week"], [2592000, "30 days"], [31536000, "a year"]];

export function keptFor(seconds) {
  return KEPT.find(([value]) => value === seconds)?.[1] ?? `${seconds} s`;
}

/** What can be chosen where `seconds` holds: that is among it, whatever it is. */
export function keptChoices(seconds) {
  const values = new Set([...KEPT.map(([value]) => value), seconds]);
  return [...values].sort((one, other) => (one || Infinity) - (other || Infinity)).map((value) => [value, keptFor(value)]);
}

/** The word filter as it was typed, one to a line. */
export function wordsOf(text) {
  return text.split("\n").map((word) => word.trim()).filter((word) => word !== "");
}

/** Where a picture is. */
export function picture(hash, name) {
  const made = element("img");
  made.src = `api/v1/avatars/${hash}`;
  made.alt = "";
  made.title = name;
  made.className = "avatar";
  made.width = made.height = 28;
  return made;
}

export class Manage {
  /** `$` finds an element of the page; `send(files)` sends a file and gives its id. */
  constructor($, client, sendFile) {
    Object.assign(this, { $, client, sendFile });
    this.room = null;
    this.was = null;
    for (const [value, text] of ACTS) $("act").append(option(value, text));
    $("manage-close").addEventListener("click", () => $("manage").close());
    $("act-form").addEventListener("submit", (event) => this.#actOnNamed(event));
    $("settings-form").addEventListener("submit", (event) => this.#save(event));
    $("link-form").addEventListener("submit", (event) => this.#makeLink(event));
    $("room-picture").addEventListener("change", () => this.#paint());
    $("room-picture-none").addEventListener("click", () => this.#paintWith(""));
    $("members-more").addEventListener("click", () => this.#members());
    $("audit-more").addEventListener("click", () => this.#audit());
    $("level").addEventListener("change", () => this.#level());
  }

  /** Opens it for a room of the client's. */
  open(room) {
    this.room = room;
    this.keepsOrder = false;
    this.$("manage-title").textContent = room.name;
    this.$("manage-topic").textContent = room.topic ?? "";
    this.$("manage-rules").textContent = rules(room);
    this.$("level").value = room.level;
    for (const id of ["members", "banned", "reports", "links", "audit"]) this.$(id).replaceChildren();
    this.$("new-link").textContent = "";
    this.#says("");
    this.$("manage").showModal();
    this.#load();
  }

  async #load() {
    const { room } = this;
    const { words } = await this.client.does({ list_words: { room: room.id } });
    if (room !== this.room) return;
    this.keepsOrder = words !== undefined;
    this.$("for-moderators").hidden = !this.keepsOrder;
    this.$("links-part").hidden = room.kind !== "private";
    this.after = 0;
    this.before = undefined;
    this.#members();
    if (!this.keepsOrder) return;
    this.#fill(room, words.list ?? []);
    this.#banned();
    this.#held();
    this.#reports();
    this.#audit();
    if (room.kind === "private") this.#links();
  }

  #fill(room, words) {
    const { topic = "", speak = "everyone", history = "members" } = room;
    const { slow_seconds = 0, delay_seconds = 0, keep_seconds = 0 } = room;
    this.was = { name: room.name, topic, speak, history, slow_seconds, delay_seconds, keep_seconds, words };
    this.$("rename").value = room.name;
    this.$("topic").value = topic;
    this.$("speak").value = speak;
    this.$("history").value = history;
    this.$("slow").value = slow_seconds;
    this.$("delay").value = delay_seconds;
    this.$("keep").replaceChildren(...keptChoices(keep_seconds).map(([value, text]) => option(value, text)));
    this.$("keep").value = keep_seconds;
    this.$("words").value = words.join("\n");
  }

  async #members() {
    const { room, after } = this;
    const { members, says } = await this.client.does({ members: { room: room.id, after, limit: PAGE } });
    if (room !== this.room) return;
    if (!members) return this.#says(says);
    if (after === 0) this.$("members").replaceChildren();
    // The list is a moment behind the room, and says where it stands.
    if (after === 0 && members.seq < room.timeline.seen) this.client.clock.after(BEHIND_MS, () => this.#behind(room));
    this.after = members.members.at(-1)?.user.id ?? after;
    this.$("members-more").hidden = !members.more;
    this.$("members").append(...members.members.map((one) => this.#member(one)));
  }

  /** What of this room the person wants to be told of. */
  async #level() {
    const { room } = this;
    const level = this.$("level").value;
    const { done, says } = await this.client.does({ set_level: { room: room.id, level } });
    if (done) room.level = level;
    this.#says(done ? "That is settled." : says, done);
    this.$("level").value = this.room.level;
    this.client.onChange();
  }

  /** Who is banned is in no list of members. */
  async #banned() {
    const { room } = this;
    const { standings } = await this.client.does({ list_standings: { room: room.id, what: "banned" } });
    if (room !== this.room || !standings) return;
    const rows = standings.users.map((user) => {
      const item = element("li", {}, called(user));
      item.append(button("Lift the ban", () => this.#act("unban", { user: user.id }, user.name)));
      return item;
    });
    if (rows.length === 0) rows.push(element("li", {}, "Nobody."));
    if (standings.more) rows.push(element("li", {}, "And more."));
    this.$("banned").replaceChildren(...rows);
  }

  #behind(room) {
    if (room !== this.room || !this.$("manage").open) return;
    this.after = 0;
    this.#members();
  }

  #member({ user, role, here, muted, voiced, avatar }) {
    const item = element("li");
    if (avatar) item.append(picture(avatar, user.name));
    item.append(element("span", {}, called(user)), element("small", {}, standing(role, { here, muted, "has voice": voiced })));
    if (!this.keepsOrder || user.id === this.client.user?.id) return item;
    const acts = element("select");
    acts.setAttribute("aria-label", `What to do to ${user.name}`);
    acts.append(option("", "…"), ...ACTS.map(([value, text]) => option(value, text)));
    acts.addEventListener("change", () => {
      const act = acts.value;
      acts.value = "";
      if (act) this.#act(act, { user: user.id }, user.name);
    });
    item.append(acts);
    return item;
  }

  #actOnNamed(event) {
    event.preventDefault();
    const name = this.$("act-name").value.trim();
    if (name !== "") this.#act(this.$("act").value, { name }, name);
  }

  async #act(act, target, name) {
    const text = ACTS.find(([value]) => value === act)[1];
    if (SURE.includes(act) && !confirm(`${text}: ${name}?`)) return;
    const { applied, says } = await this.client.does(moderate(this.room.id, act, target));
    this.#says(applied ? `Done. ${text}: ${name}.` : says, applied);
    if (applied) this.#again();
  }

  async #save(event) {
    event.preventDefault();
    const words = wordsOf(this.$("words").value);
    const form = { name: this.$("rename").value.trim(), topic: this.$("topic").value.trim(), words, slow_seconds: Number(this.$("slow").value) };
    Object.assign(form, { delay_seconds: Number(this.$("delay").value), keep_seconds: Number(this.$("keep").value) });
    Object.assign(form, { speak: this.$("speak").value, history: this.$("history").value });
    const asked = changes(this.room.id, this.was, form);
    if (!asked) return this.#says("Nothing was changed.", true);
    const { applied, says } = await this.client.does(asked);
    this.#says(applied ? "The settings are changed." : says, applied);
    if (!applied) return;
    Object.assign(this.room, { ...form, words: undefined });
    this.was = form;
    this.$("manage-title").textContent = form.name;
    this.$("manage-topic").textContent = form.topic;
    this.$("manage-rules").textContent = rules(this.room);
    this.#again();
  }

  async #paint() {
    const [file] = this.$("room-picture").files;
    this.$("room-picture").value = "";
    if (!file) return;
    this.#says("Sending the picture…", true);
    const { id, why } = await this.sendFile(file);
    if (!id) return this.#says(why);
    this.#paintWith(id);
  }

  async #paintWith(file) {
    const { applied, says } = await this.client.does({ set_room_avatar: { room: this.room.id, file } });
    this.#says(applied ? "The room's picture is changed." : says, applied);
    if (applied) this.#again();
  }

  async #held() {
    const { room } = this;
    // What waited before one kept order was not told.
    await this.client.listHeld(room);
    if (room === this.room) this.showHeld();
  }

  /** What waits in the room has changed, perhaps. */
  showHeld() {
    const { room } = this;
    if (!room || !this.keepsOrder || !this.$("manage").open) return;
    showWaiting(this.$("held"), room.waiting.posts, async (post, pass) => {
      const asked = { settle_held: { room: room.id, held: post.held, pass } };
      const { unheld, says } = await this.client.does(asked);
      const refused = unheld?.refused?.text;
      const done = refused ? `It could not be said: ${refused}.` : pass ? "It is said." : "It is taken away.";
      this.#says(unheld ? done : says, unheld && !refused);
      if (unheld) this.#again();
    });
  }

  async #reports() {
    const { room } = this;
    const { reports } = await this.client.does({ list_reports: { room: room.id, limit: PAGE } });
    if (room !== this.room || !reports) return;
    const rows = reports.reports.map((one) => {
      const item = element("li");
      item.append(element("span", {}, reported(one)), element("small", {}, `${called(one.by)}: ${one.reason}`));
      const settle = (upheld) => async () => {
        const asked = { settle_report: { room: room.id, report: one.report, upheld } };
        const { done, says } = await this.client.does(asked);
        this.#says(done ? "The report is settled." : says, done);
        if (done) this.#again();
      };
      item.append(button("It is right", settle(true)), button("It is not", settle(false)));
      return item;
    });
    if (rows.length === 0) rows.push(element("li", {}, "None waits."));
    this.$("reports").replaceChildren(...rows);
  }

  async #links() {
    const { room } = this;
    const { room_links } = await this.client.does({ list_room_links: { room: room.id } });
    if (room !== this.room || !room_links) return;
    const rows = room_links.links.map((one) => {
      const until = new Date(one.expires_at).toLocaleString();
      const item = element("li", {}, `${called(one.by)}: for ${one.uses} more, until ${until}`);
      item.append(button("End", async () => {
        const { done, says } = await this.client.does({ end_room_link: { room: room.id, link: one.number } });
        if (done) this.#links();
        else this.#says(says);
      }));
      return item;
    });
    this.$("links").replaceChildren(...rows);
  }

  async #makeLink(event) {
    event.preventDefault();
    const uses = Number(this.$("link-uses").value);
    const { room_link, says } = await this.client.does({ make_room_link: { room: this.room.id, uses } });
    if (!room_link) return this.#says(says);
    // Shown once: the server does not keep what opens it.
    this.$("new-link").textContent = `${location.origin}${location.pathname}#join=${room_link.link}`;
    this.#links();
  }

  async #audit() {
    const { room, before } = this;
    const { audit } = await this.client.does({ list_audit: { room: room.id, before, limit: PAGE } });
    if (room !== this.room || !audit) return;
    if (before === undefined) this.$("audit").replaceChildren();
    this.before = audit.entries.at(-1)?.entry ?? before;
    this.$("audit-more").hidden = !audit.more;
    this.$("audit").append(...audit.entries.map((one) => {
      const about = one.about ? ` ${called(one.about)}` : "";
      const text = `${called(one.by)}: ${one.what}${about}${one.detail ? ` (${one.detail})` : ""}`;
      const item = element("li", {}, text);
      item.append(element("small", {}, new Date(one.at).toLocaleString()));
      return item;
    }));
  }

  /** What was done shows in the lists; the audit log is a moment behind. */
  #again() {
    const { room } = this;
    this.after = 0;
    this.#members();
    this.#banned();
    this.#reports();
    this.client.clock.after(2 * BEHIND_MS, () => {
      if (room !== this.room || !this.$("manage").open) return;
      this.before = undefined;
      this.#audit();
    });
  }

  /** `well`: it was done, and nobody needs to worry. */
  #says(text, well = false) {
    tell(this.$("manage-notice"), text, well);
  }
}

/** What somebody is reported for, with the names of the files that the message carried. */
export function reported({ about, body, attachments = [] }) {
  const files = attachments.length > 0 ? ` (${names(attachments)})` : "";
  return `${called(about)} ${body === "" ? "sent files and said nothing" : `said: ${body}`}${files}`;
}

/** A role, and what holds of its bearer besides. */
export function standing(role, holds) {
  return [role, ...Object.keys(holds).filter((key) => holds[key])].join(", ");
}

/** What holds in a room, for a person. */
export function rules(room) {
  const { speak = "everyone", slow_seconds = 0, delay_seconds = 0, history = "members", kind = "public", keep_seconds = 0 } = room;
  const who = { everyone: "everyone", members: "members, and visitors with voice", voiced: "those with voice" }[speak];
  const read = { members: "members, all of it", joining: "members, from their joining on", all: "all who see the room" }[history];
  const slow = slow_seconds > 0 ? ` One message in ${slow_seconds} s each.` : "";
  const delay = delay_seconds > 0 ? ` What is said is seen after ${delay_seconds} s; moderators see it at once.` : "";
  const kept = keep_seconds > 0 ? ` Keeps what was said for ${keptFor(keep_seconds)}.` : "";
  return `A ${kind} room. Speaks: ${who}.${slow}${delay} Reads: ${read}.${kept}`;
}

function option(value, text) {
  const made = element("option", {}, text);
  made.value = value;
  return made;
}
