import type { Message, Target } from "./message.js";

/** One line of a conversation list, as it is for this user on all devices. */
export interface Conversation {
  conversation: string;
  kind: "single" | "group" | "super";
  /** The other side: where an answer would go. */
  peer: Target;
  /** The group's name, or the id of the other user. */
  name: string;
  /** The last seq that this user may see. */
  top: number;
  /** How far this user has read, on whatever device. */
  readUpTo: number;
  /** Messages of others above what was read. */
  unread: number;
  /** The user was meant by name, or all were, in what is unread. */
  mentioned: boolean;
  last?: Message;
  pinned: boolean;
  /** No sound for it; what that means is the application's matter. */
  muted: boolean;
  /** The seq of the user's join; 0 in a single chat. */
  joined: number;
  /** The seq with which the user left; absent: still there. */
  left?: number;
  /** How far the other one of a single chat has received and read. */
  peerDeliveredUpTo: number;
  peerReadUpTo: number;
}

/** A text that is the same for the same target, for use as a key. */
export function targetKey(target: Target): string {
  if ("user" in target) return `user:${target.user}`;
  if ("group" in target) return `group:${target.group}`;
  return `room:${target.room}`;
}

/** The conversation of `user` with `peer`; a room has none. */
export function conversationId(user: string, peer: Target): string {
  if ("group" in peer) return `group:${peer.group}`;
  if ("room" in peer) return "";
  const [mine, other] = [bytesOf(user), bytesOf(peer.user)];
  const isFirst = compareBytes(mine, other) <= 0;
  const [smaller, larger] = isFirst ? [user, peer.user] : [peer.user, user];
  return `single:${(isFirst ? mine : other).length}:${smaller}:${larger}`;
}

/** Whom `user` talks to in `conversation`; nobody where it is another one's. */
export function peerOf(conversation: string, user: string): Target | undefined {
  if (conversation.startsWith("group:")) return { group: conversation.slice(6) };
  const [, length = "", rest = ""] = /^single:(\d+):(.+)$/s.exec(conversation) ?? [];
  const bytes = bytesOf(rest);
  const smaller = new TextDecoder().decode(bytes.subarray(0, Number(length)));
  const larger = new TextDecoder().decode(bytes.subarray(Number(length) + 1));
  if (smaller === user && larger) return { user: larger };
  return larger === user && smaller ? { user: smaller } : undefined;
}

/** A conversation of which nothing is known but who is in it. */
export function emptyConversation(conversation: string, peer: Target, kind: Conversation["kind"]): Conversation {
  return {
    conversation,
    kind,
    peer,
    name: "user" in peer ? peer.user : "group" in peer ? peer.group : "",
    top: 0,
    readUpTo: 0,
    unread: 0,
    mentioned: false,
    pinned: false,
    muted: false,
    joined: 0,
    peerDeliveredUpTo: 0,
    peerReadUpTo: 0,
  };
}

/** What was pinned stands first, then what was said last. */
export function compareConversations(left: Conversation, right: Conversation): number {
  return Number(right.pinned) - Number(left.pinned) || (right.last?.timeMs ?? 0) - (left.last?.timeMs ?? 0);
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const at = left.findIndex((byte, index) => byte !== right[index]);
  return at < 0 ? left.length - right.length : (left[at] ?? 0) - (right[at] ?? -1);
}
