// Whom a person has blocked, and who may write to it: asked of the server, and changed there. What the blocked say
// in rooms goes to all; here it is not shown.

export class People {
  /** `request` asks the server as `Client.does`: what is replied, or `says`. */
  constructor(request) {
    this.request = request;
    /** number -> name of those whom one has blocked. */
    this.blocked = new Map();
  }

  /** Asks for the whole list. */
  async load() {
    const blocked = new Map();
    for (let after = 0, more = true; more; ) {
      const reply = await this.request({ list_blocked: { after } });
      const users = reply.blocked?.users ?? [];
      for (const { id, name } of users) blocked.set(id, name);
      more = Boolean(reply.blocked?.more && users.length > 0);
      after = users.at(-1)?.id;
    }
    this.blocked = blocked;
  }

  /** Blocks somebody, or lifts that; why not, or nothing. */
  async block({ id, name }, on = true) {
    const { says } = await this.request(on ? { block: { user: id } } : { unblock: { user: id } });
    if (!says && on) this.blocked.set(id, name);
    if (!says && !on) this.blocked.delete(id);
    return says;
  }
}
