// What a search has found, as list items: where, who, when, and the words that were looked for marked. All text
// goes in as text, the marked pieces too; nothing that anybody wrote is ever read as markup.

import { called } from "./guests.js";
import { element, time } from "./lines.js";

/** Makes `list` show these hits; `go(room, seq)` is called for the one that is chosen. */
export function showHits(list, hits, roomName, go) {
  list.replaceChildren(...hits.map(({ event, pieces }) => {
    const item = element("li");
    const made = element("button");
    made.type = "button";
    made.addEventListener("click", () => go(event.room, event.seq));
    const where = element("small", {}, `${roomName(event.room)}: ${called(event.message?.from)}`);
    const snippet = element("span");
    snippet.append(...pieces.map(({ text, matched }) => element(matched ? "mark" : "span", {}, text)));
    made.append(where, " ", time(event.at), snippet);
    item.append(made);
    return item;
  }));
}

/** How many there are, for a person. */
export function countText({ hits, total, more, behind }) {
  const found = total === 0 ? "Nothing found" : total === 1 ? "1 message" : `${total} messages`;
  const shown = hits.length < total ? `, ${hits.length} shown` : "";
  return `${found}${more ? " or more" : ""}${shown}${behind ? "; the newest may be missing yet" : ""}.`;
}
