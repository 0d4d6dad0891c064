import { targetKey, type Message, type Target } from "anser-client";
import { arrange, byId, make, paintAvatar } from "./element.js";
import { compareLines, type Line } from "./lines.js";
import { messageText, shortTime } from "./words.js";

interface Row {
  item: HTMLElement;
  button: HTMLButtonElement;
  avatar: HTMLElement;
  name: HTMLElement;
  last: HTMLElement;
  time: HTMLElement;
  marks: HTMLElement;
}

/** The list of conversations. */
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
      this.#fill(row, line);
      if (targetKey(line.peer) === openedKey) row.button.setAttribute("aria-current", "true");
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
    const name = make("span", { class: "conversation-name", "data-testid": "conversation-name" });
    const time = make("span", { class: "conversation-time quiet" });
    const last = make("span", { class: "conversation-last quiet", "data-testid": "conversation-last" });
    const marks = make("span", { class: "conversation-marks" });
    const button = make("button", { class: "conversation", "data-testid": "conversation", "data-peer": key }, avatar, name, time, last, marks);
    button.addEventListener("click", () => this.#chosen(peer));
    const row = { item: make("li", {}, button), button, avatar, name, last, time, marks };
    this.#rows.set(key, row);
    return row;
  }

  #fill(row: Row, line: Line): void {
    const { last, unread, name, conversation, isOnline } = line;
    const isRoom = "room" in line.peer;
    if (row.name.textContent !== name) {
      row.name.textContent = name;
      paintAvatar(row.avatar, name, "user" in line.peer ? "person" : isRoom ? "room" : "group");
    }
    row.avatar.classList.toggle("online", isOnline === true);
    row.last.textContent = last ? lastText(last) : isRoom ? "A live room for everybody" : "No messages yet";
    row.time.textContent = last ? shortTime(last.timeMs) : "";
    row.button.classList.toggle("silent", conversation?.muted === true);
    const marks: HTMLElement[] = [];
    if (conversation?.pinned) marks.push(mark("pin-mark", "Pinned", "▲"));
    if (conversation?.muted) marks.push(mark("mute-mark", "Muted", "∅"));
    if (conversation?.mentioned) marks.push(mark("mentioned", "You are mentioned", "@"));
    if (unread > 0) marks.push(mark("unread", `${unread} unread`, String(unread)));
    row.marks.replaceChildren(...marks);
  }
}

function lastText(message: Message): string {
  const text = messageText(message);
  if (message.status === "failed") return `! ${text}`;
  if (message.recalled) return text;
  if (message.own) return `You: ${text}`;
  return !("user" in message.peer) && message.sender ? `${message.sender}: ${text}` : text;
}

function mark(name: string, words: string, text: string): HTMLElement {
  return make("span", { class: `mark ${name}`, role: "img", "aria-label": words, title: words, "data-testid": name }, text);
}
