// Who has no account, or none any more: whether this server takes guests, and how they are known. Sockets are
// passed in.

/** Guests are numbered from here on, accounts below. */
const GUESTS_FROM = 2 ** 40;

/** What the server says in place of the name of one whose account was deleted with its name. */
const GONE = ".gone";

export function isGuest(user) {
  return user !== null && user.id >= GUESTS_FROM;
}

/** Whether somebody is named no more. */
export function isGone(user) {
  return user?.name === GONE;
}

/** What somebody is called here. */
export function called(user) {
  if (isGone(user)) return "somebody who left";
  return isGuest(user ?? null) ? `${user.name} (guest)` : user?.name ?? "?";
}

/** How long one may be a guest here, in milliseconds; 0 where none is taken, or nobody answers. */
export function guestTime(openSocket) {
  return new Promise((resolve) => {
    const socket = openSocket();
    socket.onmessage = ({ data }) => {
      resolve(JSON.parse(data).welcome?.limits?.guest_ms ?? 0);
      socket.close();
    };
    socket.onclose = () => resolve(0);
    socket.onerror = () => {};
  });
}
