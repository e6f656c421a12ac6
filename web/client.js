// Who is logged in, which rooms there are, and how each comes to be complete: joins, resumes, pages, sends and
// sends again. Pure but for what is passed in. `connection.js` carries it, `timeline.js` keeps a room's lines.

import { Connection, Lost } from "./connection.js";
import { gathered } from "./gathered.js";
import { called, isGone, isGuest } from "./guests.js";
import { Waiting } from "./held.js";
import { People } from "./people.js";
import { Reading } from "./reading.js";
import { isNotNow, sentence } from "./refusals.js";
import { Timeline } from "./timeline.js";

const PAGE = 50;
const HITS = 20;
/** A send that is refused for now is tried so often before a person is asked. */
const TRIES = 5;
/** Members who may be named to each other (the server's `pushed_members`). */
const NAMES = 100;
/** That one types is said so often, and holds for so long. */
const TYPES_EVERY_MS = 4000;
const TYPING_LASTS_MS = 6000;
const TOKEN = "throng.token";
const PENDING = "throng.pending";
/** The farewell to a session that was logged out. */
const SESSION_ENDED = 4401;

export class Client {
  /**
   * `storage.kept` outlives the page (localStorage), `storage.tab` a reload (sessionStorage). `newId()` makes an
   * origin_id. `onChange()` is called after anything that can be seen has changed; it may gather.
   */
  constructor({ openSocket, clock, random, storage, newId, onChange }) {
    Object.assign(this, { clock, storage, newId, onChange });
    this.connection = new Connection({
      openSocket, clock, random,
      onState: () => this.#changed(),
      onWelcome: (welcome) => this.#guard(this.#welcomed(welcome)),
      onEvent: (event) => this.#happened(event),
      onLeft: ({ room, act }) => this.#leftElsewhere(room, act),
      onHere: (here) => this.#guard(this.#told(here)),
      onHeld: (post) => {
        this.rooms.get(post.room)?.waiting.add(post, this.user);
        this.onChange();
      },
      onUnheld: (unheld) => this.#waitsNoLonger(unheld),
      onRead: (read) => {
        this.reading.heard(this.rooms.get(read.room), read);
        this.onChange();
      },
      onOpened: () => this.refresh(),
      onMembership: () => this.refresh(),
      onInvited: (invited) => this.#invited(invited),
    });
    /** Rooms that were joined on another device, or opened by somebody else, are heard too. */
    this.refresh = gathered(() => this.#hearAll());
    this.reading = new Reading((request) => this.connection.request(request), clock);
    this.people = new People((request) => this.does(request));
    this.user = null;
    this.epoch = null;
    this.limits = {};
    /** id -> { id, name, members, posts, member, read, told, mentions, level, timeline, ready, resuming, sending, tries, here, names } */
    this.rooms = new Map();
    this.open = null;
    /** What a person should know: { text }. */
    this.notice = null;
    this.credentials = null;
    this.found = [];
    /** What was looked for and found: { query, room, hits, total, more, next, behind }. */
    this.sought = null;
    /** The message that was chosen of those, until it is shown: { room, seq }. */
    this.target = null;
  }

  get token() {
    return this.storage.kept.getItem(TOKEN);
  }

  /** With a token of earlier: go on. */
  start() {
    if (this.token) this.connection.start();
  }

  /** `link`: an invitation to this server, where one is needed. */
  signUp(name, password, link = "") {
    this.#comeIn({ register: link ? { name, password, link } : { name, password } });
  }

  /** Sets a password by the link of an administrator. */
  resetPassword(link, password) {
    this.#comeIn({ reset_password: { link, password } });
  }

  logIn(name, password) {
    this.#comeIn({ login: { name, password } });
  }

  /** Without an account, under this name or one that is made up. */
  lookIn(name) {
    this.#comeIn({ enter_as_guest: { name } });
  }

  #comeIn(credentials) {
    this.notice = null;
    this.credentials = credentials;
    this.connection.start();
  }

  /** Asks, for a dialog: what is replied, or `says`, for a person. */
  async does(request) {
    const reply = await this.#guard(this.connection.request(request));
    if (!reply) return { says: "The server could not be reached. Please try again." };
    return reply.rejected ? { ...reply, says: sentence(reply.rejected.text) } : reply;
  }

  async logOut() {
    let notice = null;
    try {
      await this.connection.request({ logout: {} });
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      notice = { text: "Logged out on this device. The server could not be reached to end the session there." };
    }
    if (this.user) this.#leaveAll(notice);
  }

  #changed() {
    const { is, code } = this.connection.state;
    // Who is there is not known while nothing is heard.
    if (is !== "open") for (const room of this.rooms.values()) room.here = null;
    if (is === "ended" && code === SESSION_ENDED) this.#leaveAll({ text: "You have been logged out." });
    else this.onChange();
  }

  #leaveAll(notice = null) {
    this.storage.kept.removeItem(TOKEN);
    this.#leaveRooms();
    Object.assign(this, { user: null, epoch: null, credentials: null, notice });
    this.connection.stop();
  }

  #leaveRooms() {
    this.storage.tab.removeItem(PENDING);
    this.rooms.clear();
    Object.assign(this, { open: null, found: [], sought: null, target: null });
  }

  /** A request that is repeated for as long as the answer is "not now". */
  async #insist(request) {
    for (;;) {
      const reply = await this.connection.request(request);
      if (!isNotNow(reply.rejected)) return reply;
      await new Promise((resolve) => this.clock.after(reply.rejected.retry_after_ms ?? 1000, resolve));
    }
  }

  /** Errors of a connection that ended are no errors: all is done again on the next one. */
  #guard(promise) {
    return promise.catch((error) => {
      if (!(error instanceof Lost)) throw error;
    });
  }

  async #welcomed(welcome) {
    this.limits = welcome.limits ?? {};
    const asked = this.credentials ?? { authenticate: { token: this.token ?? "" } };
    const { session, rejected } = await this.connection.request(asked);
    if (rejected) return this.#turnedAway(rejected, asked);
    // Another tab may have logged in as somebody else.
    if (this.user && this.user.id !== session.user.id) this.#leaveRooms();
    this.user = session.user;
    this.credentials = null;
    if (session.token) this.storage.kept.setItem(TOKEN, session.token);
    if (this.epoch !== null && this.epoch !== welcome.epoch) {
      for (const room of this.rooms.values()) room.timeline.reset(null);
    }
    this.epoch = welcome.epoch;
    await this.#refresh();
    if (!isGuest(this.user)) this.people.load().then(() => this.onChange());
    this.#restorePending();
    this.onChange();
    await Promise.all([...this.rooms.values()].map((room) => this.#listen(room)));
    for (const room of this.rooms.values()) {
      room.timeline.askAgain();
      this.#sendNext(room);
    }
  }

  #turnedAway(rejected, asked) {
    if (asked.authenticate && isNotNow(rejected)) return this.connection.restart();
    if (asked.authenticate) return this.#leaveAll({ text: "Your session has ended. Please log in again." });
    this.credentials = null;
    this.notice = { text: sentence(rejected.text) };
    this.connection.stop();
  }

  /** The rooms we belong to, as the server has them now. */
  async #refresh() {
    const known = [...this.rooms.keys()];
    const mine = new Map();
    for (let after = 0, more = true; more; ) {
      const { rooms } = await this.#insist({ list_rooms: { after, mine: true } });
      for (const room of rooms.rooms) mine.set(room.id, room);
      more = rooms.more && rooms.rooms.length > 0;
      after = rooms.rooms.at(-1)?.id;
    }
    for (const id of known) if (!mine.has(id)) this.#forget(id);
    for (const told of mine.values()) {
      const room = this.#room(told.id);
      Object.assign(room, { delay_seconds: 0 }, told, { posts: Math.max(told.posts, room.posts) });
      if (isGone(told.with)) room.name = called(told.with);
    }
    await this.reading.load(this.rooms);
    this.open ??= this.rooms.keys().next().value ?? null;
  }

  async #hearAll() {
    if (!this.user || this.connection.state.is !== "open") return;
    await this.#guard(this.#refresh());
    const fresh = [...this.rooms.values()].filter((room) => !room.ready);
    await Promise.all(fresh.map((room) => this.#guard(this.#listen(room))));
    this.onChange();
  }

  #room(id) {
    let room = this.rooms.get(id);
    if (!room) {
      room = { id, name: `#${id}`, members: 0, posts: 0, timeline: new Timeline(), ready: false };
      Object.assign(room, { read: 0, told: 0, mentions: 0, level: "all" });
      Object.assign(room, { here: null, names: new Map(), unnamed: new Set(), typedAt: null, waiting: new Waiting() });
      this.rooms.set(id, room);
    }
    return room;
  }

  #forget(id) {
    this.rooms.delete(id);
    if (this.open === id) this.open = this.rooms.keys().next().value ?? null;
  }

  /** Makes the room hear: from where we are, if we are somewhere, and else from now on. */
  async #listen(room) {
    const { timeline } = room;
    room.resuming = false;
    const from = timeline.seen === null ? undefined : { epoch: this.epoch, seq: timeline.seen };
    const reply = await this.#insist({ subscribe: { room: room.id, from } });
    if (reply.rejected?.name === "too_old") {
      timeline.reset(null);
      return this.#listen(room);
    }
    if (reply.rejected) return this.#forget(room.id);
    this.#heardFrom(room, reply.subscribed.position);
    if (room.delay_seconds > 0) await this.listHeld(room);
    if (this.open === room.id) await this.loadOlder(room.id, true);
  }

  #heardFrom(room, position) {
    if (room.timeline.seen === null) room.timeline.reset(position.seq);
    room.ready = true;
    this.onChange();
  }

  #happened(event) {
    const room = this.rooms.get(event.room);
    if (!room || room.resuming) return;
    room.timeline.me = this.user?.id ?? null;
    const result = room.timeline.apply(event);
    if (result === "gap") return this.#guard(this.#resume(room));
    if (result === "known") return;
    if (event.message) this.reading.came(room, event.message, this.user?.id);
    // Those who come, and those who speak, are told with their names.
    const known = event.joined?.user ?? event.message?.from;
    if (known && room.names.size < 2 * NAMES) room.names.set(known.id, known.name);
    if (isGone(event.left?.user)) room.names.delete(event.left.user.id);
    if (this.open !== room.id) room.timeline.prune();
    const { by, words, ...set } = event.set ?? {};
    Object.assign(room, set);
    if (event.joined) room.members += 1;
    if (event.left || ["kick", "ban"].includes(event.moderated?.act)) room.members -= 1;
    this.#savePending();
    this.onChange();
  }

  /** What waits in a room, from others than oneself: those who keep order are told all of it, others nothing. */
  async listHeld(room) {
    await this.#guard(room.waiting.ask((request) => this.connection.request(request), room.id, this.user));
    this.onChange();
  }

  #waitsNoLonger({ room: id, held, seq, refused }) {
    const room = this.rooms.get(id);
    if (!room) return;
    room.waiting.end(held);
    room.timeline.unheld(held, seq, refused ? sentence(refused.text) : "It was taken away before it was seen.");
    this.#savePending();
    this.onChange();
  }

  /** Who is in a room now. Names come with the list of its members, once for each number. */
  async #told(here) {
    const room = this.rooms.get(here.room);
    if (!room) return;
    Object.assign(room, { here, members: here.members });
    this.onChange();
    const unknown = [...here.users, ...here.typists].filter((id) => !room.names.has(id) && !room.unnamed.has(id));
    if (unknown.length === 0) return;
    const { members } = await this.connection.request({ members: { room: room.id, limit: NAMES } });
    // More are not named to each other, so that more are not kept.
    room.names = new Map((members?.members ?? []).map(({ user }) => [user.id, user.name]));
    room.unnamed = new Set(unknown.filter((id) => !room.names.has(id)).slice(0, NAMES));
    this.onChange();
  }

  /** A person types: the others are told now and then. That it is refused is of no interest. */
  types(id) {
    const room = this.rooms.get(id);
    const now = this.clock.now();
    if (!room || !this.user || this.connection.state.is !== "open") return;
    if (room.typedAt !== null && now - room.typedAt < TYPES_EVERY_MS) return;
    room.typedAt = now;
    this.#guard(this.connection.request({ typing: { room: id } }));
  }

  /** Whether the others take us for typing. */
  isTyping(room) {
    return room.typedAt !== null && this.clock.now() - room.typedAt < TYPING_LASTS_MS;
  }

  /** Something was missed on a living connection: nothing is believed until it is told again. */
  async #resume(room) {
    room.resuming = true;
    await this.connection.request({ unsubscribe: { room: room.id } });
    await this.#listen(room);
  }

  async create(name, kind = "public") {
    const reply = await this.#ask({ create_room: kind === "public" ? { name } : { name, kind } });
    if (reply?.joined) this.#joined(reply.joined, name);
    return reply;
  }

  /** Joins the private room that a link leads to. */
  async joinByLink(link) {
    const reply = await this.#ask({ join_by_link: { link } });
    if (reply?.joined) this.#joined(reply.joined, `#${reply.joined.room}`);
  }

  /** A room of two, with one named so. */
  async openDirect(name) {
    const reply = await this.#ask({ open_direct: { name } });
    if (reply?.joined) this.#joined(reply.joined, name);
    return reply;
  }

  /** Into a private room, by somebody: it is found from now on. */
  #invited({ room: id, name, by }) {
    if (!this.found.some((one) => one.id === id)) this.found = [...this.found, { id, name }];
    this.notice = { text: `${called(by)} invites you to ${name}: it is among the rooms to find.`, well: true };
    this.onChange();
  }

  /** Ends the account; why not, or nothing. */
  async deleteAccount(password) {
    const { says } = await this.does({ delete_account: { password } });
    if (!says) this.#leaveAll({ text: "Your account is deleted.", well: true });
    return says;
  }

  async join(id, name) {
    const reply = await this.#ask({ join: { room: id } });
    if (reply?.joined) this.#joined(reply.joined, name);
    return reply;
  }

  #joined({ room: id, position }, name) {
    const room = this.#room(id);
    room.name = name;
    room.member = true;
    this.found = this.found.map((one) => (one.id === id ? { ...one, member: true } : one));
    this.#heardFrom(room, position);
    this.show(id);
    this.#guard(this.#refresh()).then(() => this.onChange());
  }

  async leave(id) {
    const reply = await this.#ask({ leave: { room: id } });
    if (reply?.left) this.#forget(id);
    this.onChange();
  }

  /** Told, not asked for: on another device, or by a request that an earlier connection had sent. */
  #leftElsewhere(id, act) {
    const room = this.rooms.get(id);
    if (!room) return;
    const removed = { kick: "You were removed from", ban: "You were banned from" }[act];
    this.notice = { text: `${removed ?? "You have left"} ${room.name}.`, well: !removed };
    this.#forget(id);
    this.onChange();
  }

  /** A page of rooms to join: of all, or of those with this in their names. */
  async find(named = "", after = 0) {
    const reply = await this.#ask({ list_rooms: { after, limit: PAGE, named } });
    if (!reply?.rooms) return undefined;
    const { rooms, more, next } = reply.rooms;
    this.found = after === 0 ? rooms : this.found.concat(rooms);
    this.moreFound = more && next > after ? { named, after: next } : null;
    this.onChange();
    // None of those that were looked at is called so: on to the next.
    return rooms.length === 0 && this.moreFound ? this.find(named, next) : undefined;
  }

  /** Messages by their words; in one room, or (0) in all. With `skip`, those that follow. */
  async search(query, room = 0, skip = 0) {
    const earlier = skip > 0 ? this.sought.hits : [];
    const asking = (this.asking = {});
    const reply = await this.#ask({ search: { query, room, skip, limit: HITS } });
    // Something else was looked for meanwhile.
    if (!reply?.found || this.asking !== asking) return;
    this.sought = { query, room, ...reply.found, hits: earlier.concat(reply.found.hits) };
    this.onChange();
  }

  moreHits() {
    const { query, room, next } = this.sought ?? {};
    return next ? this.search(query, room, next) : undefined;
  }

  forgetSearch() {
    this.asking = this.sought = null;
    this.onChange();
  }

  /** Shows a message, with what was said around it. */
  async goTo(id, seq) {
    const room = this.rooms.get(id);
    if (!room?.ready || room.loading) return;
    this.open = id;
    this.target = { room: id, seq };
    if (!room.timeline.events.some((event) => event.seq === seq)) await this.#guard(this.#goBack(room, seq));
    this.onChange();
  }

  async #goBack(room, seq) {
    const { timeline } = room;
    timeline.leaveHead();
    const { life } = timeline;
    room.loading = true;
    this.onChange();
    try {
      const { page } = await this.#insist({ history: { room: room.id, before: seq + PAGE / 2, limit: PAGE } });
      if (page && timeline.life === life) timeline.placed(page);
    } finally {
      room.loading = false;
    }
  }

  /** A request of a person: a refusal is told, a lost connection too. */
  async #ask(request) {
    this.notice = null;
    try {
      const reply = await this.connection.request(request);
      if (reply.rejected) this.notice = { text: sentence(reply.rejected.text) };
      this.onChange();
      return reply;
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      this.notice = { text: "Not connected. Please try again when the connection is back." };
      this.onChange();
      return undefined;
    }
  }

  show(id) {
    this.open = id;
    this.onChange();
    const room = this.rooms.get(id);
    if (room?.ready && room.timeline.events.length === 0) this.#guard(this.loadOlder(id, true));
  }

  /** The page of history before what is held; with `first`, only if nothing is held. */
  async loadOlder(id, first = false) {
    const room = this.rooms.get(id);
    if (!room?.ready || room.loading || !room.timeline.more) return;
    if (first && room.timeline.events.length > 0) return;
    room.loading = true;
    this.onChange();
    try {
      const { timeline } = room;
      const { before, life } = timeline;
      const { page } = await this.#insist({ history: { room: id, before, limit: PAGE } });
      // A page that does not end where the window begins now would leave a hole.
      const adjacent = timeline.life === life && (first || timeline.before === before);
      if (page && adjacent) timeline.prepend(page);
    } finally {
      room.loading = false;
      this.onChange();
    }
  }

  /** The newest lines again. */
  toHead(id) {
    const room = this.rooms.get(id);
    if (room?.timeline.toHead()) this.#guard(this.loadOlder(id, true));
    this.onChange();
  }

  /** A person has seen the newest line. */
  markRead(id) {
    const room = this.rooms.get(id);
    if (room && this.reading.seen(room)) this.onChange();
  }

  /** Gives a message a reaction, or takes one's own back. */
  async react(id, { seq, reaction, on }) {
    const asked = { room: id, seq, reaction };
    await this.#ask(on ? { react: asked } : { unreact: asked });
  }

  /** `files`: what it carries, as { id, name }; it needs no text then. `answers`: a message's place. */
  post(id, body, files = [], answers = 0) {
    const room = this.rooms.get(id);
    if (!room) return;
    room.timeline.say(this.newId(), files.length > 0 && body.trim() === "" ? "" : body, files, answers);
    room.typedAt = null;
    this.#savePending();
    this.#sendNext(room);
    this.onChange();
  }

  retry(id, origin_id) {
    const room = this.rooms.get(id);
    room.timeline.retry(origin_id);
    this.#sendNext(room);
    this.onChange();
  }

  discard(id, origin_id) {
    this.rooms.get(id).timeline.forget(origin_id);
    this.#savePending();
    this.onChange();
  }

  /** Sends the oldest waiting line of a room, and the next when that is answered. */
  async #sendNext(room) {
    const line = room.timeline.next;
    if (!line || room.sending || this.connection.state.is !== "open" || !this.user) return;
    room.sending = true;
    const { origin_id, body, files, answers } = line;
    let wait = 0;
    try {
      const post = { room: room.id, body, origin_id };
      if (files.length > 0) post.attachments = files.map((file) => file.id);
      if (answers) post.in_reply_to = answers;
      const { posted, held, rejected } = await this.connection.request({ post });
      room.tries = rejected ? (room.tries ?? 0) + 1 : 0;
      if (posted) room.timeline.sent(origin_id, posted.seq);
      else if (held) room.timeline.held(origin_id, held.held, room.delay_seconds);
      else if (isNotNow(rejected) && room.tries < TRIES) {
        wait = rejected.retry_after_ms ?? 1000;
      } else {
        room.tries = 0;
        room.timeline.failed(origin_id, sentence(rejected.text));
      }
      if (posted) room.read = Math.max(room.read, posted.n);
    } catch (error) {
      room.sending = false;
      // It waits, and is sent again with the same origin_id when the connection is back.
      if (error instanceof Lost) return;
      throw error;
    }
    this.#savePending();
    this.onChange();
    const next = () => {
      room.sending = false;
      this.#sendNext(room);
    };
    if (wait > 0) this.clock.after(wait, next);
    else next();
  }

  #savePending() {
    const lines = [];
    for (const { id, timeline } of this.rooms.values()) {
      for (const { origin_id, body, files, answers, state } of timeline.pending) {
        if (state !== "sent") lines.push({ room: id, origin_id, body, files, answers });
      }
    }
    if (lines.length > 0) this.storage.tab.setItem(PENDING, JSON.stringify(lines));
    else this.storage.tab.removeItem(PENDING);
  }

  /** What was said before a reload and not known to have arrived. */
  #restorePending() {
    for (const { room: id, origin_id, body, files, answers } of JSON.parse(this.storage.tab.getItem(PENDING) ?? "[]")) {
      const timeline = this.rooms.get(id)?.timeline;
      const known = timeline?.pending.some((line) => line.origin_id === origin_id);
      if (timeline && !known) timeline.say(origin_id, body, files, answers);
    }
  }
}
