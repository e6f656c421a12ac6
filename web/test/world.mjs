// A server in memory, a clock and a storage for the tests: what `Client` is given in place of the browser's. The
// server keeps to docs/reference/protocol.md as far as the tests go, and can be told to misbehave.

import { Client } from "../client.js";

/** Lets everything happen that waits for nothing but its turn. */
export async function settle() {
  for (let i = 0; i < 50; i += 1) await Promise.resolve();
}

export class Clock {
  time = 1_000_000;
  timers = [];

  now() {
    return this.time;
  }

  after(ms, what) {
    const timer = { at: this.time + ms, what };
    this.timers.push(timer);
    return timer;
  }

  cancel(timer) {
    this.timers = this.timers.filter((one) => one !== timer);
  }

  async advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = this.timers.filter((timer) => timer.at <= end).sort((one, other) => one.at - other.at)[0];
      if (!due) break;
      this.cancel(due);
      this.time = Math.max(this.time, due.at);
      due.what();
      await settle();
    }
    this.time = end;
    await settle();
  }
}

export class Storage extends Map {
  getItem(key) {
    return this.get(key) ?? null;
  }
  setItem(key, value) {
    this.set(key, value);
  }
  removeItem(key) {
    this.delete(key);
  }
}

export class Server {
  epoch = 7;
  users = new Map();
  links = new Map();
  rooms = new Map();
  /** "name room" -> { seq, n }: how far somebody has read. */
  reads = new Map();
  /** "name" -> numbers of those it has blocked. */
  blocked = new Map();
  sockets = new Set();
  /** Nobody can connect. */
  unreachable = false;
  /** Socket writes vanish; nothing is closed. */
  silent = false;
  /** Called with each request; what it returns, if anything, is the reply. */
  instead = () => undefined;
  resumeEvents = 1000;
  /** It tells one's other connections of what one joins; older ones did not. */
  tellsMemberships = true;
  requests = [];

  connect() {
    const socket = new Socket(this);
    if (this.unreachable) queueMicrotask(() => socket.onclose?.({ code: 1006 }));
    else {
      this.sockets.add(socket);
      queueMicrotask(() => socket.tell({ welcome: { server: "test", epoch: this.epoch, limits: {} } }));
    }
    return socket;
  }

  room(name) {
    const room = { id: this.rooms.size + 1, name, members: new Set(), events: [], origins: new Map() };
    this.rooms.set(room.id, room);
    return room;
  }

  /** An event of a room's order; `quiet` ones are not pushed. */
  happen(room, what, quiet = false) {
    const pushed = room.events.filter((event) => !event.quiet);
    const event = { room: room.id, seq: room.events.length + 1, prev: pushed.at(-1)?.seq ?? 0, at: 5, ...what };
    room.events.push({ ...event, quiet });
    if (!quiet) for (const socket of this.sockets) if (socket.rooms.has(room.id)) socket.tell({ event });
    return event;
  }

  say(room, name, body, origin_id, mentioned = undefined, attachments = undefined) {
    const n = room.events.filter((event) => event.message).length + 1;
    const from = { id: this.users.get(name)?.id ?? 99, name };
    return this.happen(room, { message: { n, from, origin_id, body, mentioned, attachments } });
  }

  /** Cuts every connection, as a network does. */
  cut(code = 1006) {
    for (const socket of [...this.sockets]) socket.cut(code);
  }
}

class Socket {
  rooms = new Set();
  user = null;

  constructor(server) {
    this.server = server;
  }

  tell(frame) {
    if (!this.server.silent && this.server.sockets.has(this)) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  cut(code) {
    this.server.sockets.delete(this);
    this.onclose?.({ code });
  }

  close() {
    this.server.sockets.delete(this);
  }

  send(text) {
    if (this.server.silent || !this.server.sockets.has(this)) return;
    const { id, ...request } = JSON.parse(text);
    this.server.requests.push(request);
    queueMicrotask(() => {
      const reply = this.server.instead(request, this) ?? this.#reply(request);
      if (reply) this.tell({ reply: { re: id, ...reply } });
    });
  }

  #reply(request) {
    const [kind] = Object.keys(request);
    const { server } = this;
    const asked = request[kind];
    if (kind === "register" || kind === "login") return this.#comeIn(asked.name);
    if (kind === "authenticate") {
      const name = asked.token.replace("token of ", "");
      return server.users.has(name) ? this.#comeIn(name) : refused(202, "bad_token");
    }
    if (kind === "ping") return { pong: {} };
    if (kind === "reset_password") return this.#comeIn(server.links.get(asked.link));
    if (kind === "list_sessions") return { sessions: { sessions: [{ id: 1, began_at: 1, used_at: 2, current: true }] } };
    if (kind === "change_password") return { done: {} };
    if (kind === "end_session") return refused(262, "no_such_session");
    if (kind === "logout") return { done: {} };
    if (kind === "list_rooms") return this.#list(asked);
    if (kind === "unread") return this.#unread();
    if (kind === "list_blocked") return { blocked: { users: this.#blocked(), more: false } };
    if (kind === "block") return this.#block(asked.user, true);
    if (kind === "unblock") return this.#block(asked.user, false);
    if (kind === "delete_account") return { done: {} };
    if (kind === "open_direct") return this.#direct(asked.name);
    if (kind === "create_room") return this.#join(server.room(asked.name));
    const room = server.rooms.get(asked.room);
    if (!room) return refused(205, "no_such_room");
    if (kind === "join") return this.#join(room);
    if (kind === "leave") return this.#leave(room);
    if (kind === "post") return this.#post(room, asked);
    if (kind === "history") return this.#history(room, asked);
    if (kind === "subscribe") return this.#subscribe(room, asked.from);
    if (kind === "read") return this.#read(room, asked.seq);
    if (kind === "typing") return { done: {} };
    if (kind === "members") return this.#members(room);
    if (kind === "unsubscribe") return this.rooms.delete(room.id), { done: {} };
    throw new Error(`the test's server does not know ${kind}`);
  }

  #comeIn(name) {
    const user = this.server.users.get(name) ?? { id: this.server.users.size + 1, name };
    this.server.users.set(name, user);
    this.user = user;
    return { session: { user, token: `token of ${name}` } };
  }

  #list({ after = 0, mine, named = "" }) {
    const all = [...this.server.rooms.values()].filter((room) => room.id > after && room.name.includes(named));
    const told = all.filter((room) => !mine || room.members.has(this.user.name));
    const rooms = told.map(({ id, name, members, events }) => ({
      id, name, members: members.size, head: events.length,
      posts: events.filter((event) => event.message).length, member: members.has(this.user.name),
    }));
    return { rooms: { rooms: rooms.slice(0, 100), more: rooms.length > 100 } };
  }

  #unread() {
    const rooms = [...this.server.rooms.values()].filter((room) => room.members.has(this.user.name));
    const told = rooms.map((room) => {
      const { seq, n } = this.server.reads.get(`${this.user.name} ${room.id}`) ?? { seq: 0, n: 0 };
      const later = room.events.filter((event) => event.message && event.seq > seq);
      const mentions = later.filter((event) => event.message.mentioned?.includes(this.user.id)).length;
      return { room: room.id, seq, n, unread: later.length, mentions, level: "all" };
    });
    return { unread: { rooms: told, more: false } };
  }

  #read(room, seq) {
    const event = room.events.find((event) => event.seq === seq);
    if (!event?.message) return refused(215, "no_such_message");
    const { n } = event.message;
    this.server.reads.set(`${this.user.name} ${room.id}`, { seq, n });
    const others = [...this.server.sockets].filter((one) => one !== this && one.user?.id === this.user.id);
    for (const socket of others) socket.tell({ read: { room: room.id, seq, n } });
    return { done: {} };
  }

  #blocked() {
    const numbers = this.server.blocked.get(this.user.name) ?? new Set();
    return [...this.server.users.values()].filter((user) => numbers.has(user.id));
  }

  #block(user, on) {
    const numbers = this.server.blocked.get(this.user.name) ?? new Set();
    if (on) numbers.add(user);
    else numbers.delete(user);
    this.server.blocked.set(this.user.name, numbers);
    return { done: {} };
  }

  #direct(name) {
    const other = this.server.users.get(name);
    if (!other) return refused(214, "no_such_user");
    const room = this.server.room(`${this.user.name} and ${name}`);
    room.members.add(name);
    const joined = this.#join(room);
    const told = [...this.server.sockets].filter((one) => one.user?.id === other.id);
    for (const socket of told) socket.tell({ opened: { room: room.id, with: this.user } });
    return joined;
  }

  #members(room) {
    const users = [...room.members].map((name) => this.server.users.get(name));
    const members = users.map((user) => ({ user, role: "member", here: true }));
    return { members: { room: room.id, seq: room.events.length, members, more: false } };
  }

  #join(room) {
    room.members.add(this.user.name);
    const { seq } = this.server.happen(room, { joined: { user: this.user } });
    this.rooms.add(room.id);
    for (const socket of this.server.tellsMemberships ? this.server.sockets : []) {
      const other = socket !== this && socket.user?.id === this.user.id;
      if (other && !socket.rooms.has(room.id)) socket.tell({ membership: { room: room.id, seq, ended: false } });
    }
    return { joined: { room: room.id, seq, position: { epoch: this.server.epoch, seq }, already: false } };
  }

  #leave(room) {
    room.members.delete(this.user.name);
    this.rooms.delete(room.id);
    const { seq } = this.server.happen(room, { left: { user: this.user } });
    const left = { room: room.id, seq };
    for (const socket of this.server.sockets) {
      if (socket.user?.id === this.user.id && socket.rooms.delete(room.id)) socket.tell({ left });
    }
    return { left };
  }

  #post(room, { body, origin_id, attachments = [] }) {
    if (body === "" && attachments.length === 0) return refused(105, "empty_body");
    const first = room.origins.get(origin_id);
    const files = attachments.map((id) => ({ id, name: `${id}.png`, type: "image/png", bytes: 9, width: 4, height: 4 }));
    const event = first ?? this.server.say(room, this.user.name, body, origin_id, undefined, files);
    room.origins.set(origin_id, event);
    return { posted: { room: room.id, seq: event.seq, n: event.message.n, at: 5, repeat: Boolean(first) } };
  }

  #history(room, { before, limit }) {
    const below = room.events.filter((event) => event.seq < before);
    return { page: { room: room.id, events: below.slice(-limit), more: below.length > limit } };
  }

  #subscribe(room, from) {
    if (!room.members.has(this.user.name)) return refused(206, "not_member");
    const position = { epoch: this.server.epoch, seq: room.events.length };
    if (from) {
      const gap = room.events.filter((event) => event.seq > from.seq && !event.quiet);
      const tooOld = from.epoch !== this.server.epoch || gap.length > this.server.resumeEvents;
      if (tooOld) return refused(207, "too_old");
      for (const event of gap) this.tell({ event });
    }
    this.rooms.add(room.id);
    return { subscribed: { room: room.id, position } };
  }
}

export function refused(code, name, retry_after_ms) {
  return { rejected: { code, name, text: name.replaceAll("_", " "), retry_after_ms } };
}

/** A page: a client with its storage, which a reload keeps. */
export class Page {
  clock = new Clock();
  storage = { kept: new Storage(), tab: new Storage() };
  ids = 0;

  constructor(server) {
    this.server = server;
    this.load();
  }

  load() {
    this.client?.connection.stop();
    this.client = new Client({
      openSocket: () => this.server.connect(),
      clock: this.clock,
      random: () => 0.5,
      storage: this.storage,
      newId: () => `id-${(this.ids += 1)}`,
      onChange: () => {},
    });
    this.client.start();
  }

  async signUp(name) {
    this.client.signUp(name, "correct horse");
    await settle();
  }

  /** What the open room shows: told lines as text, those still under way with their state. */
  get lines() {
    const { timeline } = this.client.rooms.get(this.client.open);
    const told = timeline.events.filter((event) => event.message).map((event) => event.message.body);
    return told.concat(timeline.pending.map((line) => `${line.body} (${line.state})`));
  }
}
