// Files on their way to the server, by tus 1.0: in parts, one file at a time, and after a lost connection on from
// where it ended. Pure but for what is passed in; `app.js` shows them, `client.js` posts what has come.

import { sentence } from "./refusals.js";

const FILES = "api/v1/files";
const PART = 256 * 1024;
/** So many failures in a row, and a person is asked. */
const TRIES = 8;
const LONGEST_WAIT_MS = 10_000;

export class Uploads {
  /** `fetch` as the browser's; `token()` is the session's; `onChange()` as the client's. */
  constructor({ fetch, clock, token, onChange }) {
    Object.assign(this, { fetch, clock, token, onChange });
    /** { name, size, sent, state: "waiting" | "sending" | "done" | "failed", why, id } */
    this.list = [];
  }

  /** Takes files to be sent, as many and as large as the server's limits allow. */
  add(files, { attachments = 0, file_bytes = 0 }) {
    for (const file of files) {
      if (this.list.length >= attachments) break;
      const one = { file, name: file.name || "picture.png", size: file.size, sent: 0, state: "waiting" };
      if (file.size > file_bytes) Object.assign(one, { state: "failed", why: `It is larger than ${size(file_bytes)}.` });
      if (file.size === 0) Object.assign(one, { state: "failed", why: "It is empty." });
      this.list.push(one);
    }
    this.#next();
    this.onChange();
  }

  /** A person does not want it any more, or has seen that it failed. */
  remove(one) {
    this.list = this.list.filter((other) => other !== one);
    // What is there already and no message carries, the server frees by itself.
    if (one.id && one.state !== "done") this.#ask(one, "DELETE").catch(() => {});
    this.onChange();
  }

  /** Nothing is on its way, and nothing failed. */
  get ready() {
    return this.list.every((one) => one.state === "done");
  }

  /** What has come, for a message to carry. */
  take() {
    const taken = this.list.filter((one) => one.state === "done").map(({ id, name }) => ({ id, name }));
    this.list = this.list.filter((one) => one.state !== "done");
    this.onChange();
    return taken;
  }

  clear() {
    for (const one of [...this.list]) this.remove(one);
  }

  async #next() {
    if (this.list.some((one) => one.state === "sending")) return;
    const one = this.list.find((other) => other.state === "waiting");
    if (!one) return;
    one.state = "sending";
    const why = await this.#send(one);
    if (this.list.includes(one)) {
      Object.assign(one, why ? { state: "failed", why } : { state: "done" });
      delete one.file;
      this.onChange();
    }
    this.#next();
  }

  /** Sends a whole file; what went wrong, for a person, or nothing. */
  async #send(one) {
    for (let tries = 0; this.list.includes(one); ) {
      let wait = Math.min(500 * 2 ** tries, LONGEST_WAIT_MS);
      try {
        const answer = await this.#step(one);
        if (answer.ok) {
          tries = 0;
          this.onChange();
          if (one.id && one.sent === one.size) return undefined;
          continue;
        }
        const { rejected } = await answer.json().catch(() => ({}));
        if (answer.status !== 409 && answer.status !== 503) return sentence(rejected?.text ?? `The server says ${answer.status}.`);
        wait = rejected?.retry_after_ms ?? wait;
      } catch {
        // The network: below it is asked what has come.
      }
      tries += 1;
      if (tries === TRIES) return "The server could not be reached.";
      one.unsure = true;
      await new Promise((resolve) => this.clock.after(wait, resolve));
    }
    return undefined;
  }

  /** The next request that a file needs: to be announced, to learn how much has come, or a part. */
  async #step(one) {
    if (!one.id) {
      const name = btoa(String.fromCharCode(...new TextEncoder().encode(one.name)));
      const head = { "Upload-Length": `${one.size}`, "Upload-Metadata": `filename ${name}` };
      const answer = await this.#ask(one, "POST", head);
      if (answer.ok) one.id = (await answer.json()).file.id;
      return answer;
    }
    const answer = one.unsure ? await this.#ask(one, "HEAD") : await this.#part(one);
    if (answer.ok) {
      one.sent = Number(answer.headers.get("Upload-Offset"));
      one.unsure = false;
    }
    return answer;
  }

  #part(one) {
    const head = { "Upload-Offset": `${one.sent}`, "Content-Type": "application/offset+octet-stream" };
    return this.#ask(one, "PATCH", head, one.file.slice(one.sent, one.sent + PART));
  }

  #ask(one, method, head = {}, body = undefined) {
    const headers = { Authorization: `Bearer ${this.token()}`, "Tus-Resumable": "1.0.0", ...head };
    return this.fetch(one.id ? `${FILES}/${one.id}` : FILES, { method, headers, body });
  }
}

/** Where a message's file is read; `small` for the small picture of one. */
export function address(room, seq, file, small = false) {
  return `api/v1/rooms/${room}/messages/${seq}/files/${file.id}${small ? "/small" : ""}`;
}

/** The names of some files, as earlier pages had a message say that is only of files. */
export function names(files) {
  return files.map((file) => file.name).join(", ");
}

/** What a message says, in a line of text: of one that is only of files, their names. */
export function said({ body = "", attachments = [] }) {
  return body.trim() === "" && attachments.length > 0 ? `(${names(attachments)})` : body;
}

/** What somebody did who sent files and said nothing, for those who hear the page. */
export function sent(files) {
  const one = files.every((file) => file.width) ? "picture" : "file";
  return files.length === 1 ? `sent a ${one}` : `sent ${files.length} ${one}s`;
}

/** Bytes as a person reads them. */
export function size(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit += 1) bytes /= 1024;
  return `${unit > 0 && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** The size at which a picture is shown, so that its line has its height before it has come. */
export function fitted({ width, height }, edge = 320) {
  const scale = Math.min(1, edge / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}
