import type { Content } from "anser-client";

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

/** What a message says, as text. */
export function contentText(content: Content): string {
  if (content.text !== undefined) return content.text;
  if (content.image) return `Picture: ${content.image.name || content.image.url}`;
  if (content.custom) return `Message of type ${content.custom.type}`;
  return "";
}

/** Bytes that were pushed, as text where they are text. */
export function bytesText(bytes: Uint8Array, operation: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return `${bytes.length} bytes (operation ${operation})`;
  }
}
