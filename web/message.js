// What can be done with one message: answered, changed, taken away, pinned, reported. Whether it may be is the
// server's to say; what it says is shown.

import { said } from "./files.js";
import { called, isGone, isGuest } from "./guests.js";
import { element, tell } from "./lines.js";

export class Message {
  /** `$` finds an element of the page; `answers(event)` is called when one is to be answered. */
  constructor($, client, answers) {
    Object.assign(this, { $, client, answers });
    this.event = null;
    $("message-close").addEventListener("click", () => $("message").close());
    $("message-answer").addEventListener("click", () => {
      $("message").close();
      this.answers(this.event);
    });
    $("edit-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#do({ edit: { ...this.#at(), body: $("edit-body").value } });
    });
    $("message-delete").addEventListener("click", () => {
      if (confirm("Delete this message for all?")) this.#do({ delete: this.#at() });
    });
    $("message-pin").addEventListener("click", () => this.#do({ pin: this.#at() }));
    $("message-unpin").addEventListener("click", () => this.#do({ unpin: this.#at() }));
    $("report-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#do({ report: { ...this.#at(), reason: $("report-reason").value } }, "Those who keep order here will see it.");
    });
    $("message-block").addEventListener("click", () => this.#block());
    $("message-direct").addEventListener("click", async () => {
      const reply = await client.openDirect(this.event.message.from.name);
      if (reply?.joined) $("message").close();
      else tell($("message-notice"), client.notice?.text);
    });
  }

  open(event) {
    this.event = event;
    const { from, body, attachments = [] } = event.message;
    const mine = from?.id === this.client.user?.id;
    this.$("message-text").replaceChildren(element("b", {}, called(from)), " ", said(event.message).slice(0, 400));
    this.$("edit-form").hidden = !mine;
    this.$("edit-body").value = mine ? body : "";
    // Files need no text.
    this.$("edit-body").required = attachments.length === 0;
    for (const id of ["report-form", "message-block"]) this.$(id).hidden = mine;
    // Guests are sent none, and send none; whoever is gone is nobody.
    const alone = !mine && !isGuest(from) && !isGuest(this.client.user) && !isGone(from);
    this.$("message-direct").hidden = !alone || this.client.rooms.get(event.room)?.kind === "direct";
    this.$("report-reason").value = "";
    tell(this.$("message-notice"), "");
    this.$("message").showModal();
  }

  async #block() {
    const { from } = this.event.message;
    if (!confirm(`Block ${called(from)}?`)) return;
    const says = await this.client.people.block(from);
    const done = `What ${called(from)} says is not shown to you, and it cannot write to you alone. Account lifts that.`;
    tell(this.$("message-notice"), says ?? done, !says);
    this.client.onChange();
  }

  #at() {
    return { room: this.event.room, seq: this.event.seq };
  }

  async #do(request, done = "") {
    const { says } = await this.client.does(request);
    if (!says && done === "") return this.$("message").close();
    tell(this.$("message-notice"), says ?? done, !says);
  }
}
