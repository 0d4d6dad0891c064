import type { Content, GroupEvent, Message } from "anser-client";

const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayAndMonth = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const fullDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export function timeOfDay(timeMs: number): string {
  return clockTime.format(timeMs);
}

/** The time for today, else the day. */
export function shortTime(timeMs: number): string {
  return dayOf(timeMs) === dayOf(Date.now()) ? clockTime.format(timeMs) : dayAndMonth.format(timeMs);
}

export function longDay(timeMs: number): string {
  return dayOf(timeMs) === dayOf(Date.now()) ? "Today" : fullDay.format(timeMs);
}

/** The same text for two times of one day here. */
export function dayOf(timeMs: number): string {
  return new Date(timeMs).toDateString();
}

export function presenceText(isOnline: boolean | undefined, lastSeenMs: number): string {
  if (isOnline === undefined) return "";
  if (isOnline) return "Online";
  return lastSeenMs > 0 ? `Last seen ${shortTime(lastSeenMs)}` : "Offline";
}

/** What a message says, as text. */
export function contentText(content: Content): string {
  if (content.text !== undefined) return content.text;
  if (content.image) return `Picture: ${content.image.name || content.image.url}`;
  if (content.audio) return `Sound: ${content.audio.name || content.audio.url}`;
  if (content.video) return `Video: ${content.video.name || content.video.url}`;
  if (content.file) return `File: ${content.file.name || content.file.url}`;
  if (content.location) return `Place: ${content.location.title || content.location.address}`;
  if (content.custom) return `Message of type ${content.custom.type}`;
  return "";
}

export function messageText(message: Message): string {
  if (message.recalled) return message.own ? "You recalled a message" : `${message.sender} recalled a message`;
  return contentText(message);
}

/** What happened in a group, as `me` reads it. */
export function eventText(event: GroupEvent, me: string): string {
  const by = event.by === me ? "You" : event.by || "The server";
  const users = namesText(event.users, me);
  switch (event.kind) {
    case "created":
      return `${by} created the group`;
    case "invited":
      return `${by} invited ${users}`;
    case "joined":
      return `${capital(users)} joined`;
    case "left":
      return `${capital(users)} left`;
    case "removed":
      return `${by} removed ${users}`;
    case "dismissed":
      return `${by} ended the group`;
    case "updated":
      return `${by} changed the group`;
    case "role":
      return `${by} made ${users} ${event.role === "admin" ? "admin" : "an ordinary member"}`;
    case "transferred":
      return `${by} handed the group over to ${users}`;
    case "muted":
      return `${by} muted ${users}`;
    case "unmuted":
      return `${by} let ${users} write again`;
    case "allMuted":
      return `${by} muted everybody`;
    case "allUnmuted":
      return `${by} let everybody write again`;
    case "converted":
      return "This is a group for many members from here on";
    default:
      return `${by}: ${event.kind}`;
  }
}

const namedMax = 5;

function namesText(users: string[], me: string): string {
  const names = users.slice(0, namedMax).map((user) => (user === me ? "you" : user));
  const rest = users.length - names.length;
  return names.join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

function capital(text: string): string {
  return text.replace(/^you/, "You");
}

export function sizeText(bytes: number): string {
  if (bytes < 1_000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** Bytes that were pushed, as text where they are text. */
export function bytesText(bytes: Uint8Array, operation: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return `${bytes.length} bytes (operation ${operation})`;
  }
}
