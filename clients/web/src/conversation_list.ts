import { compareMessages, targetKey, type Message, type Target } from "anser-client";
import { arrange, byId, make, paintAvatar } from "./element.js";
import { peerName } from "./route.js";
import { contentText, shortTime } from "./words.js";

/** What is known about one conversation without opening it. */
export interface Line {
  peer: Target;
  last: Message | undefined;
  unread: number;
}

interface Row {
  item: HTMLElement;
  button: HTMLButtonElement;
  last: HTMLElement;
  time: HTMLElement;
  unread: HTMLElement;
}

/** The list of conversations: the room first, then people, the newest first. */
export class ConversationList {
  readonly #list = byId("conversations");
  readonly #rows = new Map<string, Row>();
  readonly #chosen: (peer: Target) => void;

  constructor(chosen: (peer: Target) => void) {
    this.#chosen = chosen;
  }

  render(lines: Line[], opened: Target | undefined): void {
    const openedKey = opened ? targetKey(opened) : "";
    const rows = [...lines].sort(compareLines).map((line) => {
      const row = this.#row(line.peer);
      fill(row, line);
      const isOpen = targetKey(line.peer) === openedKey;
      if (isOpen) row.button.setAttribute("aria-current", "true");
      else row.button.removeAttribute("aria-current");
      return row.item;
    });
    arrange(this.#list, rows);
  }

  #row(peer: Target): Row {
    const key = targetKey(peer);
    const known = this.#rows.get(key);
    if (known) return known;
    const avatar = make("span", { class: "avatar", "aria-hidden": "true" });
    paintAvatar(avatar, peerName(peer), "room" in peer);
    const name = make("span", { class: "conversation-name", "data-testid": "conversation-name" }, peerName(peer));
    const time = make("span", { class: "conversation-time quiet" });
    const last = make("span", { class: "conversation-last quiet", "data-testid": "conversation-last" });
    const unread = make("span", { class: "unread", "data-testid": "unread" });
    const button = make("button", { class: "conversation", "data-testid": "conversation", "data-peer": key }, avatar, name, time, last, unread);
    button.addEventListener("click", () => this.#chosen(peer));
    const row = { item: make("li", {}, button), button, last, time, unread };
    this.#rows.set(key, row);
    return row;
  }
}

function fill(row: Row, line: Line): void {
  const { last, unread } = line;
  row.last.textContent = last ? lastText(last) : "room" in line.peer ? "A live room for everybody" : "No messages yet";
  row.time.textContent = last ? shortTime(last.timeMs) : "";
  row.unread.textContent = unread > 0 ? String(unread) : "";
  row.unread.hidden = unread === 0;
  row.unread.setAttribute("aria-label", `${unread} unread`);
}

function lastText(message: Message): string {
  const text = contentText(message);
  if (message.status === "failed") return `! ${text}`;
  if (message.own) return `You: ${text}`;
  return "room" in message.peer && message.sender ? `${message.sender}: ${text}` : text;
}

function compareLines(left: Line, right: Line): number {
  const rooms = Number("room" in right.peer) - Number("room" in left.peer);
  if (rooms !== 0) return rooms;
  // A conversation that was only just started waits at the top for its first message.
  if (!left.last || !right.last) return Number(Boolean(left.last)) - Number(Boolean(right.last));
  return compareMessages(right.last, left.last);
}
