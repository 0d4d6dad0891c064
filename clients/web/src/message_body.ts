import type { Message } from "anser-client";
import { make } from "./element.js";
import { contentText, messageText, sizeText } from "./words.js";

/** What a message says, as elements. What came from others is only ever text, and a link only to the web. */
export function messageBody(message: Message, mentions: string[]): HTMLElement {
  if (message.recalled) {
    return make("span", { class: "message-text recalled", "data-testid": "message-recalled" }, messageText(message));
  }
  const body = make("span", { class: "message-text", "data-testid": "message-text", dir: "auto" });
  const { image, audio, video, file, location } = message;
  const media = image ?? audio ?? video ?? file;
  if (media) body.append(card(contentText(message), media.url, sizeText(media.size)));
  else if (location) body.append(card(contentText(message), mapUrl(location), location.address));
  else body.append(...markMentions(contentText(message), mentions));
  return body;
}

function card(title: string, url: string, detail: string): HTMLElement {
  const words = [make("span", { class: "card-title" }, title), make("span", { class: "quiet" }, detail)];
  const href = webUrl(url);
  if (!href) return make("span", { class: "card", "data-testid": "card" }, ...words);
  return make("a", { class: "card", "data-testid": "card", href, target: "_blank", rel: "noopener noreferrer" }, ...words);
}

/** The address, where it leads to the web and to nothing that runs here. */
function webUrl(url: string): string | undefined {
  try {
    const parsed = new URL(url);
    return parsed.protocol === "https:" || parsed.protocol === "http:" ? parsed.href : undefined;
  } catch {
    return undefined;
  }
}

function mapUrl({ latitude, longitude }: { latitude: number; longitude: number }): string {
  return `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
}

/** Sets the names of those who are meant apart from the rest. */
function markMentions(text: string, mentions: string[]): (Node | string)[] {
  const names = mentions.map((name) => `@${name}`).sort((left, right) => right.length - left.length);
  const parts: (Node | string)[] = [];
  let plain = "";
  for (let at = 0; at < text.length; ) {
    const name = names.find((name) => text.startsWith(name, at));
    if (!name) {
      plain += text[at];
      at += 1;
      continue;
    }
    parts.push(plain, make("span", { class: "mention", "data-testid": "mention" }, name));
    plain = "";
    at += name.length;
  }
  return [...parts, plain].filter((part) => part !== "");
}
