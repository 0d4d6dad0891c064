import { peerOf } from "./conversation.js";
import type { Content, GroupEvent, Message, Push, Recalled, References, RoomMessage, Target } from "./message.js";

export const subprotocol = "anser.v1.json";

/** What the server sent: the answer to a request, or something it says by itself. */
export type Frame =
  | { kind: "reply"; seq: number; name: string; body: Body }
  | { kind: "error"; seq: number; code: string; number: number; message: string; retryable: boolean }
  | { kind: "push"; name: string; body: Body };

/** A JSON object whose fields are looked at one by one, because it comes from outside. */
export type Body = Record<string, unknown>;

export function encodeRequest(seq: number, name: string, body: object): string {
  return JSON.stringify({ seq, [name]: body });
}

/** Returns undefined for what is no frame. */
export function decodeFrame(data: unknown): Frame | undefined {
  if (typeof data !== "string") return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(data);
  } catch {
    return undefined;
  }
  const frame = asBody(parsed);
  const name = Object.keys(frame).find((key) => key !== "seq");
  if (name === undefined) return undefined;
  const seq = asNumber(frame.seq);
  const body = asBody(frame[name]);
  if (name === "error") {
    return {
      kind: "error",
      seq,
      code: asString(body.code) || "unknown",
      number: asNumber(body.number),
      message: asString(body.message),
      retryable: body.retryable === true,
    };
  }
  return seq > 0 ? { kind: "reply", seq, name, body } : { kind: "push", name, body };
}

/** The contents that are made of named fields, each with what a field is when it is missing. */
const media = { name: "", hash: "", url: "", type: "", size: 0 };
const shapes = {
  image: { ...media, width: 0, height: 0 },
  audio: { ...media, durationMs: 0 },
  video: { ...media, width: 0, height: 0, durationMs: 0, coverUrl: "" },
  file: media,
  location: { latitude: 0, longitude: 0, title: "", address: "" },
} as const;
const shapeNames = Object.keys(shapes) as (keyof typeof shapes)[];

export function encodeContent(content: Content): Body {
  for (const name of shapeNames) if (content[name]) return { [name]: content[name] };
  if (content.custom) return { custom: { type: content.custom.type, body: toBase64(content.custom.body) } };
  return { text: content.text ?? "" };
}

function decodeContent(body: Body): Content {
  const content: Record<string, unknown> = {};
  if (typeof body.text === "string") content.text = body.text;
  for (const name of shapeNames) if (body[name]) content[name] = decodeShape(asBody(body[name]), shapes[name]);
  if (body.custom) {
    const custom = asBody(body.custom);
    content.custom = { type: asString(custom.type), body: fromBase64(asString(custom.body)) };
  }
  return content;
}

function decodeShape(body: Body, shape: Record<string, string | number>): Body {
  const fields = Object.entries(shape).map(([name, missing]) => [
    name,
    typeof missing === "string" ? asString(body[name]) : asNumber(body[name]),
  ]);
  return Object.fromEntries(fields);
}

export function encodeReferences({ mentions, mentionAll, replyTo }: References): Body {
  return {
    ...(mentions?.length ? { mentions } : {}),
    ...(mentionAll ? { mentionAll } : {}),
    ...(replyTo ? { replyTo } : {}),
  };
}

function decodeReferences(body: Body): References {
  return encodeReferences({
    mentions: asStrings(body.mentions),
    mentionAll: body.mentionAll === true,
    replyTo: asNumber(body.replyTo),
  });
}

/** Reads a row of a conversation as `user` sees it: a message, or what happened instead. */
export function decodeMessage(body: Body, user: string): Message {
  const sender = asString(body.sender) || asString(body.by);
  const own = sender === user;
  const conversation = asString(body.conversation);
  const to = typeof body.group === "string" ? { group: body.group } : decodeTarget(asBody(body.to));
  const peer = to && !("user" in to) ? to : own && to ? to : peerOf(conversation, user) ?? { user: sender };
  const clientMessageId = asString(body.clientMessageId);
  const messageId = asString(body.messageId);
  const message: Message = {
    ...decodeContent(body),
    ...decodeReferences(body),
    id: own && clientMessageId ? clientMessageId : messageId,
    status: "sent",
    own,
    sender,
    to: to ?? (own ? peer : { user }),
    peer,
    clientMessageId,
    messageId,
    conversation,
    seq: asNumber(body.seq),
    inboxSeq: asNumber(body.inboxSeq),
    timeMs: asNumber(body.timeMs),
  };
  if (body.recalled === true) message.recalled = true;
  if (body.kind) addChange(message as GroupEvent & Recalled, body);
  return message;
}

function addChange(row: GroupEvent | Recalled, body: Body): void {
  row.kind = asString(body.kind);
  row.by = asString(body.by);
  if (row.kind === "recalled") (row as Recalled).target = asNumber(body.target);
  else (row as GroupEvent).users = asStrings(body.users);
  if (body.role) (row as GroupEvent).role = asString(body.role);
}

export function decodeRoomMessage(body: Body, nowMs: number): RoomMessage {
  const message: RoomMessage = {
    ...decodeContent(body),
    room: asString(body.room),
    sender: asString(body.sender),
    timeMs: asNumber(body.timeMs) || nowMs,
  };
  if (typeof body.body === "string") {
    message.op = asNumber(body.op);
    message.body = fromBase64(body.body);
  }
  return message;
}

export function decodePush(body: Body): Push {
  return { op: asNumber(body.op), body: fromBase64(asString(body.body)) };
}

function decodeTarget(body: Body): Target | undefined {
  if (typeof body.user === "string") return { user: body.user };
  if (typeof body.group === "string") return { group: body.group };
  if (typeof body.room === "string") return { room: body.room };
  return undefined;
}

export function asBody(value: unknown): Body {
  return typeof value === "object" && value !== null ? (value as Body) : {};
}

export function asString(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The texts in a list; what is no text is left out. */
export function asStrings(value: unknown): string[] {
  return asList(value).filter((entry) => typeof entry === "string");
}

export function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asNumber(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
