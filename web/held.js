// What waits in a room with a delay, as those who keep order are told of it; and its list, with two buttons each.
// The list is asked for once, then what is told of keeps it up to date.

import { said } from "./files.js";
import { called } from "./guests.js";
import { element, button } from "./lines.js";

/** No more wait in one room of a server. */
const MOST = 1000;

export class Waiting {
  #posts = new Map();

  /** Asks for all of it, page by page. */
  async ask(request, room, me) {
    this.#posts.clear();
    for (let after = 0, more = true; more; ) {
      const { held_posts } = await request({ list_held: { room, after } });
      const posts = held_posts?.posts ?? [];
      for (const post of posts) this.add(post, me);
      more = Boolean(held_posts?.more && posts.length > 0);
      after = posts.at(-1)?.held;
    }
  }

  /** One's own is told by one's own line. */
  add(post, me) {
    if (post.message?.from?.id !== me?.id && this.#posts.size < MOST) this.#posts.set(post.held, post);
  }

  end(held) {
    this.#posts.delete(held);
  }

  get size() {
    return this.#posts.size;
  }

  /** In the order in which they are going to be said. */
  get posts() {
    return [...this.#posts.values()].sort((one, other) => one.held - other.held);
  }
}

/** What a person is told of how many wait. */
export function waitingText(count) {
  return count === 0 ? "Room" : `Room (${count} ${count === 1 ? "waits" : "wait"})`;
}

/** Makes `list` show what waits, if that is something else; `settle(post, pass)` is called by its buttons. */
export function showWaiting(list, posts, settle) {
  const shown = posts.map((post) => post.held).join(" ");
  if (list.dataset.shown === shown && list.children.length > 0) return;
  list.dataset.shown = shown;
  const rows = posts.map((post) => {
    const item = element("li");
    const until = new Date(post.until).toLocaleTimeString();
    item.append(element("span", {}, `${called(post.message?.from)}: ${said(post.message ?? {})}`));
    item.append(element("small", {}, `until ${until}`));
    item.append(button("Let it pass", () => settle(post, true)), button("Take it away", () => settle(post, false)));
    return item;
  });
  if (rows.length === 0) rows.push(element("li", {}, "None waits."));
  list.replaceChildren(...rows);
}
