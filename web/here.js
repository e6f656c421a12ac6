// Who is in a room and who types there, in words. Pure: what is known comes in, text goes out.

/** So many are named in a row; of more, how many they are. */
const NAMED = 8;
/** The server counts typists up to here. */
const TYPING_MAX = 100;

/** Who is here; nothing while it is not known. `names` gives the name of a number, if it is known. */
export function whoIsHere(here, names) {
  if (!here) return "";
  const count = `${here.here} of ${here.members} here`;
  const known = (here.users ?? []).map((id) => names.get(id)).filter((name) => name !== undefined);
  const unnamed = here.here - Math.min(known.length, NAMED);
  if (known.length === 0) return count;
  const shown = known.slice(0, NAMED).join(", ");
  return unnamed > 0 ? `${count}: ${shown} and ${unnamed} more` : `${count}: ${shown}`;
}

/** Who types, but for oneself. */
export function whoTypes(here, names, me, typesMyself) {
  if (!here?.typing) return "";
  const typists = here.typists ?? [];
  const mine = typists.length > 0 ? typists.includes(me) : typesMyself;
  const count = here.typing - (mine ? 1 : 0);
  if (count === 0) return "";
  const known = typists.filter((id) => id !== me).map((id) => names.get(id)).filter((name) => name !== undefined);
  if (known.length === count && count <= 3) {
    const last = known.at(-1);
    return count === 1 ? `${last} is typing…` : `${known.slice(0, -1).join(", ")} and ${last} are typing…`;
  }
  if (count === 1) return "Somebody is typing…";
  return `${here.typing >= TYPING_MAX ? `${TYPING_MAX} or more` : count} people are typing…`;
}
