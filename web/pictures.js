// The files of messages on the page: pictures small, and large when they are asked for; all else by name and size.
// They are fetched with the session's token, and shown from memory; nothing is ever opened as a page of its own.

import { address, fitted, size } from "./files.js";
import { button, element } from "./lines.js";

const $ = (id) => document.getElementById(id);

/** What shows a file of an event; `token()` is the session's. */
export function shower(token) {
  const fetched = async (path, tries = 4) => {
    const answer = await fetch(path, { headers: { Authorization: `Bearer ${token()}` } });
    // Many pictures at once: some wait until others have been made.
    if (answer.status === 503 && tries > 1) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return fetched(path, tries - 1);
    }
    if (!answer.ok) throw new Error(`${answer.status}`);
    return URL.createObjectURL(await answer.blob());
  };
  return ({ room, seq }, file) => {
    const whole = () => fetched(address(room, seq, file));
    if (!file.width) return named(file, whole);
    const made = button("", () => enlarge(file, whole));
    made.classList.add("picture");
    made.setAttribute("aria-label", `Show ${file.name}`);
    const image = element("img");
    Object.assign(image, { alt: file.name, ...fitted(file) });
    made.append(image);
    fetched(address(room, seq, file, true)).then((url) => fill(image, url), () => made.replaceWith(named(file, whole)));
    return made;
  };
}

/** Shown once, from memory that is free again when it has been drawn. */
function fill(image, url) {
  image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  image.addEventListener("error", () => URL.revokeObjectURL(url), { once: true });
  image.src = url;
}

function named(file, whole) {
  const made = button(file.name, async () => {
    made.disabled = true;
    try {
      keep(await whole(), file.name);
    } catch {
      made.title = "It cannot be fetched.";
    }
    made.disabled = false;
  });
  made.classList.add("file");
  made.append(element("small", {}, ` ${size(file.bytes)}`));
  return made;
}

/** Hands a file to the browser's downloads, under its name. */
export function keep(url, name) {
  const link = element("a");
  Object.assign(link, { href: url, download: name });
  link.click();
  // The browser has taken hold of it by the next turn.
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function enlarge(file, whole) {
  $("picture-name").textContent = file.name;
  $("picture").removeAttribute("src");
  $("picture").alt = file.name;
  $("picture-dialog").showModal();
  let url = null;
  try {
    url = await whole();
  } catch {
    $("picture").alt = "It cannot be fetched.";
    return;
  }
  if (!$("picture-dialog").open || $("picture-name").textContent !== file.name) return URL.revokeObjectURL(url);
  $("picture").src = url;
  $("picture-keep").onclick = () => keep(url, file.name);
  $("picture-dialog").addEventListener("close", () => {
    $("picture").removeAttribute("src");
    URL.revokeObjectURL(url);
  }, { once: true });
}
