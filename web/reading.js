// How far a person has read each room, and how often it was mentioned there: told to the server, so that all devices
// know, and heard from it. It keeps nothing of its own; what it knows stands in the rooms.

import { Lost } from "./connection.js";

/** A room's place is told at most so often, however fast it is read. */
const TELL_EVERY_MS = 1000;

export class Reading {
  /** `request` asks the server; `clock` as the client's. */
  constructor(request, clock) {
    Object.assign(this, { request, clock });
  }

  /** Asks how far all `rooms` (by their numbers) are read; whoever asks takes care of lost connections. */
  async load(rooms) {
    for (let after = 0, more = true; more; ) {
      const { unread } = await this.request({ unread: { after } });
      const told = unread?.rooms ?? [];
      for (const one of told) this.#loaded(rooms.get(one.room), one);
      more = Boolean(unread?.more && told.length > 0);
      after = told.at(-1)?.room;
    }
  }

  #loaded(room, { seq, n, unread, mentions, level }) {
    if (!room) return;
    // What a room keeps no longer is not unread either.
    room.read = Math.max(room.read, n, room.posts - unread);
    Object.assign(room, { told: Math.max(room.told, seq), mentions, level });
  }

  /** Another device of the same person has read so far. */
  heard(room, { seq, n }) {
    if (!room) return;
    room.read = Math.max(room.read, n);
    room.told = Math.max(room.told, seq);
    if (room.read >= room.posts) room.mentions = 0;
  }

  /** A message has come: whoever speaks has read, and who is mentioned is told so. */
  came(room, { n, from, mentioned = [] }, me) {
    room.posts = n;
    if (from?.id === me) room.read = Math.max(room.read, n);
    else if (mentioned.includes(me)) room.mentions += 1;
  }

  /** A person has seen the newest line; whether anything is to be shown anew. */
  seen(room) {
    this.#tell(room);
    if (room.read === room.posts && room.mentions === 0) return false;
    Object.assign(room, { read: room.posts, mentions: 0 });
    return true;
  }

  async #tell(room) {
    const seq = room.timeline.newest;
    if (seq <= room.told || room.telling) return;
    room.telling = true;
    try {
      const { rejected } = await this.request({ read: { room: room.id, seq } });
      // What is refused for good is not said again; "not now" is, a moment later.
      if (!rejected || rejected.code < 300) room.told = Math.max(room.told, seq);
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
    }
    this.clock.after(TELL_EVERY_MS, () => {
      room.telling = false;
      // What was seen meanwhile.
      if (room.read === room.posts) this.#tell(room);
    });
  }
}

/** What a room's name is followed by: how much is unread, as far as the person wants to be told. */
export function unreadOf({ posts, read, mentions, level }) {
  if (level === "nothing") return 0;
  return level === "mentions" ? mentions : Math.max(0, posts - read);
}
