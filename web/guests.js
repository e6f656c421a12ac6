// Who has no account: whether this server takes one, and how one is known. Sockets are passed in.

/** Guests are numbered from here on, accounts below. */
const GUESTS_FROM = 2 ** 40;

export function isGuest(user) {
  return user !== null && user.id >= GUESTS_FROM;
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
