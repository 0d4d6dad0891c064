import type { Content, Message, Push, RoomMessage, Target } from "./message.js";

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

export function encodeContent(content: Content): Body {
  if (content.image) return { image: content.image };
  if (content.custom) return { custom: { type: content.custom.type, body: toBase64(content.custom.body) } };
  return { text: content.text ?? "" };
}

function decodeContent(body: Body): Content {
  const content: Content = {};
  if (typeof body.text === "string") content.text = body.text;
  if (body.image) {
    const image = asBody(body.image);
    content.image = {
      name: asString(image.name),
      hash: asString(image.hash),
      url: asString(image.url),
      type: asString(image.type),
      width: asNumber(image.width),
      height: asNumber(image.height),
      size: asNumber(image.size),
    };
  }
  if (body.custom) {
    const custom = asBody(body.custom);
    content.custom = { type: asString(custom.type), body: fromBase64(asString(custom.body)) };
  }
  return content;
}

/** Reads a stored message as `user` sees it. */
export function decodeMessage(body: Body, user: string): Message {
  const sender = asString(body.sender);
  const own = sender === user;
  const to = decodeTarget(asBody(body.to)) ?? { user };
  const clientMessageId = asString(body.clientMessageId);
  const messageId = asString(body.messageId);
  return {
    ...decodeContent(body),
    id: own && clientMessageId ? clientMessageId : messageId,
    status: "sent",
    own,
    sender,
    to,
    peer: own || !("user" in to) ? to : { user: sender },
    clientMessageId,
    messageId,
    conversation: asString(body.conversation),
    seq: asNumber(body.seq),
    inboxSeq: asNumber(body.inboxSeq),
    timeMs: asNumber(body.timeMs),
  };
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
