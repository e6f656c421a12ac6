// One connection to the server that comes back by itself: frames in and out, requests and their replies,
// signs of life, waiting between tries. It knows nothing of rooms. Sockets, time and chance are passed in.

/** Heard nothing for so long: ask whether anybody is there. */
const QUIET_MS = 20_000;
/** No answer for so long: the network is gone, whatever the socket says. */
const ANSWER_MS = 10_000;
/** The longest wait between two tries. */
const WAIT_MAX_MS = 30_000;
/** A connection that lasted so long was a good one: the next wait is short again. */
const GOOD_MS = 10_000;

/** The connection ended before the reply came. */
export class Lost extends Error {}

/** Whether a close code without a farewell says to come back. */
function comesBack(code) {
  return !(code >= 4400 && code < 4500) && ![1002, 1003, 1007, 1009].includes(code);
}

export class Connection {
  /**
   * openSocket() gives a WebSocket; clock has now(), after(ms, what) and cancel(timer); random() is in [0, 1).
   * onState(), onWelcome(welcome), onEvent(event), onLeft(left), onHere(here), onHeld(post), onUnheld(unheld),
   * onRead(read), onOpened(opened), onInvited(invited) and onMembership(membership) are called as things happen.
   */
  constructor({ openSocket, clock, random, ...called }) {
    Object.assign(this, { openSocket, clock, random, ...called });
    /** { is: "off" | "connecting" | "open" | "waiting" (until) | "ended" (code, reason) } */
    this.state = { is: "off" };
    this.tries = 0;
    this.replies = new Map();
    this.ids = 0;
    this.socket = null;
    this.timer = null;
  }

  start() {
    this.#drop();
    this.#become({ is: "connecting" });
    const socket = this.openSocket();
    this.socket = socket;
    this.farewell = null;
    this.openedAt = null;
    this.#wake(ANSWER_MS, () => this.#lost());
    socket.onmessage = ({ data }) => this.#heard(socket, data);
    socket.onclose = ({ code }) => socket === this.socket && this.#lost(code);
    socket.onerror = () => {};
  }

  /** Ends it, and does not come back. */
  stop() {
    this.#drop();
    this.tries = 0;
    this.#become({ is: "off" });
  }

  /** The network has changed or a person is impatient: do not wait any longer. */
  hurry() {
    if (this.state.is === "waiting" || this.state.is === "ended") this.start();
    else if (this.state.is === "open") this.#probe();
  }

  /** Ends it and comes back after a wait. */
  restart() {
    if (this.socket) this.#lost();
  }

  /** Sends a request; gives the reply's content, such as { posted } or { rejected }. */
  request(request) {
    return new Promise((resolve, reject) => {
      if (this.state.is !== "open") return reject(new Lost("not connected"));
      const id = (this.ids += 1);
      this.replies.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, ...request }));
    });
  }

  #heard(socket, data) {
    if (socket !== this.socket) return;
    this.#wake(QUIET_MS, () => this.#probe());
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return this.#lost();
    }
    if (frame.welcome) {
      this.openedAt = this.clock.now();
      this.#become({ is: "open" });
      this.onWelcome(frame.welcome);
    } else if (frame.reply) {
      const { re, ...content } = frame.reply;
      this.replies.get(re)?.resolve(content);
      this.replies.delete(re);
    } else if (frame.event) {
      this.onEvent(frame.event);
    } else if (frame.left) {
      this.onLeft(frame.left);
    } else if (frame.here) {
      this.onHere?.(frame.here);
    } else if (frame.held_post) {
      this.onHeld?.(frame.held_post);
    } else if (frame.unheld) {
      this.onUnheld?.(frame.unheld);
    } else if (frame.read) {
      this.onRead?.(frame.read);
    } else if (frame.opened) {
      this.onOpened?.(frame.opened);
    } else if (frame.invited) {
      this.onInvited?.(frame.invited);
    } else if (frame.membership) {
      this.onMembership?.(frame.membership);
    } else if (frame.goodbye) {
      this.farewell = frame.goodbye;
    }
  }

  #probe() {
    if (this.state.is !== "open") return;
    this.#wake(ANSWER_MS, () => this.#lost());
    this.request({ ping: {} }).catch(() => {});
  }

  #lost(code = 1006) {
    const { farewell, openedAt } = this;
    this.#drop();
    if (openedAt !== null && this.clock.now() - openedAt >= GOOD_MS) this.tries = 0;
    const back = farewell ? farewell.reconnect : comesBack(code);
    if (!back) {
      this.tries = 0;
      const { code: why, reason } = farewell ?? { code, reason: "" };
      return this.#become({ is: "ended", code: why, reason });
    }
    const part = this.random() * Math.min(WAIT_MAX_MS, 1000 * 2 ** Math.min(this.tries, 10));
    const wait = Math.round((farewell?.retry_after_ms ?? 0) + part);
    this.tries += 1;
    this.#become({ is: "waiting", until: this.clock.now() + wait });
    this.#wake(wait, () => this.start());
  }

  #drop() {
    this.clock.cancel(this.timer);
    const { socket, replies } = this;
    this.socket = null;
    this.replies = new Map();
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    for (const { reject } of replies.values()) reject(new Lost("the connection ended"));
  }

  #wake(ms, what) {
    this.clock.cancel(this.timer);
    this.timer = this.clock.after(ms, what);
  }

  #become(state) {
    this.state = state;
    this.onState();
  }
}
