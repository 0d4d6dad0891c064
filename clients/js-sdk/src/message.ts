/** Whom a message goes to. */
export type Target = { user: string } | { group: string } | { room: string };

export interface Image {
  name: string;
  hash: string;
  url: string;
  /** Media type, such as `image/png`. */
  type: string;
  width: number;
  height: number;
  /** In bytes. */
  size: number;
}

export interface Audio {
  name: string;
  hash: string;
  url: string;
  type: string;
  size: number;
  durationMs: number;
}

export interface Video {
  name: string;
  hash: string;
  url: string;
  type: string;
  width: number;
  height: number;
  size: number;
  durationMs: number;
  /** A picture to be shown before it plays, or empty. */
  coverUrl: string;
}

export interface File {
  name: string;
  hash: string;
  url: string;
  type: string;
  size: number;
}

export interface Location {
  /** In degrees. */
  latitude: number;
  longitude: number;
  title: string;
  address: string;
}

export interface Custom {
  type: string;
  body: Uint8Array;
}

/** What a person sends: exactly one of these. The bytes of a picture, sound, video or file are kept elsewhere. */
export interface Content {
  text?: string;
  image?: Image;
  audio?: Audio;
  video?: Video;
  file?: File;
  location?: Location;
  custom?: Custom;
}

/** Whom and what a message refers to. */
export interface References {
  /** Users who are meant by name, up to 100: each has a mark on the conversation until it is read. */
  mentions?: string[];
  /** Everybody in the group is meant. */
  mentionAll?: boolean;
  /** The seq of the message in the same conversation that this one answers. */
  replyTo?: number;
}

export type Outgoing = Content & References & { to: Target };

export type Status = "sending" | "sent" | "failed";

/** Why a send failed. */
export interface Failure {
  code: string;
  number: number;
  message: string;
  retryable: boolean;
}

/**
 * A row of a conversation, or a message that is on its way out.
 * An own message is one object from `send` on: its status and its numbers change in place.
 */
export interface Message extends Content, References {
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
  /** The number in this user's inbox, 0 until it is known and for what is not kept in the inbox. */
  inboxSeq: number;
  timeMs: number;
  /** It was recalled: its content is gone. */
  recalled?: boolean;
  /** Absent: a message. Else what happened instead: `recalled`, or the kind of a group event. */
  kind?: string;
}

/** A row that tells that another row of the conversation was recalled. */
export interface Recalled extends Message {
  kind: "recalled";
  /** The seq of what was recalled. */
  target: number;
  by: string;
}

/** A row that tells that a group has changed. */
export interface GroupEvent extends Message {
  /**
   * `created`, `invited`, `joined`, `left`, `removed`, `dismissed`, `updated`, `role`, `transferred`, `muted`,
   * `unmuted`, `allMuted`, `allUnmuted` or `converted`.
   */
  kind: string;
  by: string;
  /** To whom it was done. */
  users: string[];
  /** The role that `users` have from now on, where kind is `role`. */
  role?: string;
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

export function isRecalled(row: Message): row is Recalled {
  return row.kind === "recalled";
}

export function isGroupEvent(row: Message): row is GroupEvent {
  return row.kind !== undefined && row.kind !== "recalled";
}

/** Takes away what a recalled message said. */
export function emptyOf(message: Message): void {
  for (const name of [...contentNames, "mentions", "mentionAll", "replyTo"] as const) delete message[name];
  message.recalled = true;
}

export const contentNames = ["text", "image", "audio", "video", "file", "location", "custom"] as const;

/** A message's place among others of its conversation: what the server has not numbered comes last. */
export function compareMessages(left: Message, right: Message): number {
  const leftSeq = left.seq || Infinity;
  const rightSeq = right.seq || Infinity;
  if (leftSeq !== rightSeq) return leftSeq - rightSeq;
  return left.timeMs - right.timeMs;
}
