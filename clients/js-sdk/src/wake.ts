/**
 * Calls `wake` when a connection may have come back or may have died unseen: the network is there again,
 * or the page is looked at again after the machine slept.
 */
export type Wake = (wake: () => void) => () => void;

export const browserWake: Wake = (wake) => {
  if (typeof addEventListener !== "function" || typeof document === "undefined") return () => {};
  const visible = (): void => {
    if (document.visibilityState === "visible") wake();
  };
  addEventListener("online", wake);
  document.addEventListener("visibilitychange", visible);
  return () => {
    removeEventListener("online", wake);
    document.removeEventListener("visibilitychange", visible);
  };
};
