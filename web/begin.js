// How the rooms begin that one makes: a form in one's own dialog. What is left open there is the server's to say;
// rooms that are there are settled in their own dialog (`manage.js`).

import { element } from "./lines.js";
import { keptChoices } from "./manage.js";

const OPEN = "As the server says";

/** The request for what was filled in; what was left open is left out. */
export function begin(form) {
  const said = {};
  for (const key of ["speak", "history"]) if (form[key] !== "") said[key] = form[key];
  for (const key of ["slow_seconds", "delay_seconds", "keep_seconds"]) {
    if (form[key] !== "") said[key] = Number(form[key]);
  }
  return { set_room_defaults: said };
}

/** What the form says where these are the defaults. */
export function filled({ speak = "", history = "", slow_seconds = "", delay_seconds = "", keep_seconds = "" }) {
  return { speak, history, slow_seconds: `${slow_seconds}`, delay_seconds: `${delay_seconds}`, keep_seconds: `${keep_seconds}` };
}

/** What can be chosen for how long they keep what was said. */
export function keeps(seconds) {
  const known = seconds === "" ? 0 : Number(seconds);
  return [["", OPEN], ...keptChoices(known).map(([value, text]) => [`${value}`, text])];
}

const FIELDS = { speak: "begin-speak", history: "begin-history", slow_seconds: "begin-slow", delay_seconds: "begin-delay", keep_seconds: "begin-keep" };

export class Begin {
  /** `$` finds an element of the page; `says` tells the person. */
  constructor($, client, says) {
    Object.assign(this, { $, client, says });
    $("begin-form").addEventListener("submit", (event) => this.#save(event));
  }

  /** Fills the form with what is so. */
  async load() {
    const { room_defaults, says } = await this.client.does({ room_defaults: {} });
    this.$("begin-save").disabled = !room_defaults;
    if (!room_defaults) return this.says(says);
    const values = filled(room_defaults);
    this.$("begin-keep").replaceChildren(...keeps(values.keep_seconds).map(([value, text]) => option(value, text)));
    for (const [key, id] of Object.entries(FIELDS)) this.$(id).value = values[key];
  }

  async #save(event) {
    event.preventDefault();
    const form = Object.fromEntries(Object.entries(FIELDS).map(([key, id]) => [key, this.$(id).value]));
    const { done, says } = await this.client.does(begin(form));
    this.says(done ? "Rooms that you make from now on begin so." : says, done);
  }
}

function option(value, text) {
  const made = element("option", {}, text);
  made.value = value;
  return made;
}
