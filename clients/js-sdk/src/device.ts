/** A random id of 24 characters. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The device id of this browser tab for `user`. It outlives a reload but not the tab, so that two tabs
 * of one user are two devices and do not push each other out.
 */
export function tabDevice(user: string): string {
  const fresh = `web-${randomId()}`;
  try {
    const key = `anser-device:${user}`;
    const known = sessionStorage.getItem(key);
    if (known) return known;
    sessionStorage.setItem(key, fresh);
  } catch {
    // Storage is absent outside a browser and may be refused inside one.
  }
  return fresh;
}
