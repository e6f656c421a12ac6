// One's own dialog: sessions, picture, how one's rooms begin, whom one has blocked and who may write to one, the
// password, what one has here to take along, and the end of the account. Asks when it is opened.

import { Begin } from "./begin.js";
import { button, element, tell } from "./lines.js";

/** The request for another password, and what came of it, for a person. */
export async function changePassword(client, password, new_password) {
  const { says } = await client.does({ change_password: { password, new_password } });
  return says ? { text: says } : { text: "The password is changed. All other devices are logged out.", well: true };
}

/** Ends another session of the account; whether it is gone. */
export async function endSession(client, session) {
  const { says, rejected } = await client.does({ end_session: { session } });
  return !says || rejected?.name === "no_such_session";
}

export class Account {
  /** `$` finds an element of the page; `sendPicture(file)` sends a picture, `keep(url, name)` saves a file. */
  constructor($, client, { sendPicture, keep, fetch }) {
    Object.assign(this, { $, client, sendPicture, keep, fetch });
    this.begins = new Begin($, client, (text, well) => this.#says(text, well));
    $("account").addEventListener("click", () => this.open());
    $("account-close").addEventListener("click", () => $("account-dialog").close());
    $("password-form").addEventListener("submit", (event) => this.#password(event));
    $("my-picture").addEventListener("change", () => this.#picture());
    $("my-picture-none").addEventListener("click", () => this.#paint(""));
    $("writers").addEventListener("change", () => this.#setWriters());
    $("export").addEventListener("click", () => this.#export());
    $("delete-form").addEventListener("submit", (event) => this.#delete(event));
  }

  open() {
    this.#says("");
    this.$("account-dialog").showModal();
    this.#sessions();
    this.begins.load();
    this.#blocked();
    this.#writers();
  }

  async #sessions() {
    const { sessions } = await this.client.does({ list_sessions: {} });
    const when = (at) => new Date(at).toLocaleString();
    const rows = (sessions?.sessions ?? []).map((one) => {
      const text = `Since ${when(one.began_at)}, used ${when(one.used_at)}`;
      const item = element("li", {}, one.current ? `${text} (here)` : text);
      if (one.current) return item;
      item.append(button("End", async () => {
        if (await endSession(this.client, one.id)) item.remove();
      }));
      return item;
    });
    this.$("sessions").replaceChildren(...rows);
  }

  async #password(event) {
    event.preventDefault();
    const { $ } = this;
    const { text, well } = await changePassword(this.client, $("old-password").value, $("new-password").value);
    this.#says(text, well);
    event.target.reset();
    this.#sessions();
  }

  async #picture() {
    const [file] = this.$("my-picture").files;
    this.$("my-picture").value = "";
    if (!file) return;
    this.#says("Sending the picture…", true);
    const { id, why } = await this.sendPicture(file);
    if (why) this.#says(why);
    else this.#paint(id);
  }

  async #paint(file) {
    const { says } = await this.client.does({ set_avatar: { file } });
    this.#says(says ?? (file ? "That is your picture now." : "You have no picture now."), !says);
  }

  async #blocked() {
    const { people } = this.client;
    await people.load();
    const rows = [...people.blocked].map(([id, name]) => {
      const item = element("li", {}, name);
      item.append(button("Unblock", async () => {
        const says = await people.block({ id, name }, false);
        this.#says(says ?? `${name} is not blocked any more.`, !says);
        if (!says) item.remove();
        this.client.onChange();
      }));
      return item;
    });
    this.$("blocked").replaceChildren(...(rows.length > 0 ? rows : [element("li", {}, "Nobody.")]));
  }

  async #writers() {
    const { contacts } = await this.client.does({ contacts: {} });
    if (contacts) this.$("writers").value = contacts.writers;
  }

  async #setWriters() {
    const { says } = await this.client.does({ set_contacts: { writers: this.$("writers").value } });
    this.#says(says ?? "That is settled.", !says);
    if (says) this.#writers();
  }

  /** Everything one has here, as a file of lines. */
  async #export() {
    this.#says("It is gathered…", true);
    try {
      const answer = await this.fetch("api/v1/export", { headers: { Authorization: `Bearer ${this.client.token}` } });
      if (answer.status === 429) return this.#says("That was asked for a short while ago: once an hour.");
      if (!answer.ok) return this.#says("It cannot be gathered now. Please try again.");
      this.keep(URL.createObjectURL(await answer.blob()), `${this.client.user?.name}.jsonl`);
      this.#says("It is among your downloads.", true);
    } catch {
      this.#says("The server could not be reached. Please try again.");
    }
  }

  async #delete(event) {
    event.preventDefault();
    const password = this.$("delete-password").value;
    event.target.reset();
    if (!confirm("Delete your account, for good? Nobody gets its name again.")) return;
    const says = await this.client.deleteAccount(password);
    if (says) this.#says(says);
    else this.$("account-dialog").close();
  }

  #says(text, well = false) {
    tell(this.$("account-notice"), text, well);
  }
}
