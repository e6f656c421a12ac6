// What is asked for while it is being done: once more after it, however often it was asked for.

/** Gives a function that does `what`, one at a time; its promise is kept when nothing more was asked for. */
export function gathered(what) {
  let running = null;
  let again = false;
  const run = async () => {
    try {
      while (again) {
        again = false;
        await what();
      }
    } finally {
      running = null;
    }
  };
  return () => {
    again = true;
    running ??= run();
    return running;
  };
}
