// What the server refuses, as a person reads it, and whether the same can succeed later.

/** A refusal by the server's state, not by the request. */
export function isNotNow(rejected) {
  return rejected !== undefined && rejected.code >= 300 && rejected.code < 400;
}

/** A refusal's text as a sentence. */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}
