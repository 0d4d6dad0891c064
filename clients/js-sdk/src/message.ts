/** Whom a message goes to. */
export type Target = { user: string } | { group: string } | { room: string };

export interface Image {
  name: string;
  hash: string;
  url: string;
  type: string;
  width: number;
  height: number;
  size: number;
}

export interface Custom {
  type: string;
  body: Uint8Array;
}

/** What a person sends: exactly one of the three. */
export interface Content {
  text?: string;
  image?: Image;
  custom?: Custom;
}

export type Outgoing = Content & { to: Target };

export type Status = "sending" | "sent" | "failed";

/** Why a send failed. */
export interface Failure {
  code: string;
  number: number;
  message: string;
  retryable: boolean;
}

/**
 * A message of this user's inbox or one that is on its way out.
 * An own message is one object from `send` on: its status and its numbers change in place.
 */
export interface Message extends Content {
  /** Stays the same for the life of the message: the client message id of what this user sent, else the message id. */
  id: string;
  status: Status;
  failure?: Failure;
  /** True for what this user sent, from this device or another. */
  own: boolean;
  sender: string;
  to: Target;
  /** The other side of the conversation: where an answer would go. */
  peer: Target;
  clientMessageId: string;
  messageId: string;
  conversation: string;
  /** The number in the conversation, 0 until the server has answered. */
  seq: number;
  /** The number in this user's inbox, 0 until the server has answered and for what is not kept in the inbox. */
  inboxSeq: number;
  timeMs: number;
}

/** A message of a live room: at most once, not stored. */
export interface RoomMessage extends Content {
  room: string;
  sender: string;
  timeMs: number;
  /** Set when the push was made through the server API. */
  op?: number;
  body?: Uint8Array;
  /** The client message id, when this is the room's echo of what this client sent. */
  echoOf?: string;
}

/** A push by key, user or to all. */
export interface Push {
  op: number;
  body: Uint8Array;
}

/** One line of a conversation list. */
export interface Conversation {
  peer: Target;
  last: Message;
  /** Messages of others above the read mark. */
  unread: number;
}

/** A text that is the same for the same target, for use as a key. */
export function targetKey(target: Target): string {
  if ("user" in target) return `user:${target.user}`;
  if ("group" in target) return `group:${target.group}`;
  return `room:${target.room}`;
}

/** A message's place among others of its conversation: what the server has not numbered comes last. */
export function compareMessages(left: Message, right: Message): number {
  const leftSeq = left.inboxSeq || Infinity;
  const rightSeq = right.inboxSeq || Infinity;
  if (leftSeq !== rightSeq) return leftSeq - rightSeq;
  return left.timeMs - right.timeMs;
}
