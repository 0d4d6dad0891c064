import { targetKey, type Target } from "anser-client";

/** The open conversation stands in the address, so that the back button closes it and a reload keeps it. */
export function openedPeer(): Target | undefined {
  const match = /^#(user|group|room)\/(.+)$/.exec(location.hash);
  if (!match?.[2]) return undefined;
  try {
    const id = decodeURIComponent(match[2]);
    return match[1] === "user" ? { user: id } : match[1] === "group" ? { group: id } : { room: id };
  } catch {
    return undefined;
  }
}

export function openPeer(peer: Target): void {
  const [kind, id] = split(peer);
  const isOpen = openedPeer() !== undefined;
  const hash = `#${kind}/${encodeURIComponent(id)}`;
  // One step back always leads to the list, however many conversations were looked at.
  if (isOpen) location.replace(hash);
  else location.hash = hash;
}

export function closePeer(): void {
  location.replace("#");
}

/** The id of the other side, which people call it by where it has no name. */
export function peerId(peer: Target): string {
  return split(peer)[1];
}

function split(peer: Target): [kind: string, id: string] {
  const key = targetKey(peer);
  const colon = key.indexOf(":");
  return [key.slice(0, colon), key.slice(colon + 1)];
}
