import { targetKey, type Message, type Target } from "anser-client";
import { arrange, byId, make } from "./element.js";
import { contentText, dayOf, longDay, timeOfDay } from "./words.js";

export interface MessageListListener {
  retry(message: Message): void;
  discard(message: Message): void;
  showOlder(): void;
}

export interface MessageView {
  peer: Target;
  messages: Message[];
  hasOlder: boolean;
  /** The first message that was unread when the conversation was opened. */
  firstUnread: string | undefined;
}

interface Bubble {
  element: HTMLElement;
  mark: HTMLElement;
  foot: HTMLElement;
  /** What it was drawn for, so that it is drawn again only when that changed. */
  drawn: string;
}

const statusMarks = { sending: "○", sent: "✓", failed: "!" } as const;
const statusWords = { sending: "Sending", sent: "Sent", failed: "Failed" } as const;

/** The messages of the open conversation. */
export class MessageList {
  readonly #scroll = byId("messages-scroll");
  readonly #list = byId("messages");
  readonly #older = byId("show-older");
  readonly #listener: MessageListListener;
  #bubbles = new Map<string, Bubble>();
  #dividers = new Map<string, HTMLElement>();
  #shown = "";
  #first = "";

  constructor(listener: MessageListListener) {
    this.#listener = listener;
    this.#older.addEventListener("click", () => listener.showOlder());
  }

  render(view: MessageView): void {
    const isOther = this.#shown !== targetKey(view.peer);
    if (isOther) this.#clear(view.peer);
    const fromBottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    const isAtBottom = fromBottom - this.#scroll.clientHeight < 80;
    const first = view.messages[0]?.id ?? "";
    const isOlderShown = !isOther && first !== this.#first && this.#bubbles.has(this.#first);
    // Filling a conversation is not news to read out, only what is added to it is.
    this.#list.setAttribute("aria-live", isOther || isOlderShown ? "off" : "polite");
    this.#older.hidden = !view.hasOlder;
    arrange(this.#list, this.#elements(view));
    const isOwnNew = view.messages.at(-1)?.status === "sending";
    if (isOlderShown) this.#scroll.scrollTop = this.#scroll.scrollHeight - fromBottom;
    else if (isOther || isAtBottom || isOwnNew) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#first = first;
  }

  #clear(peer: Target): void {
    this.#shown = targetKey(peer);
    this.#bubbles = new Map();
    this.#dividers = new Map();
    this.#list.replaceChildren();
  }

  #elements(view: MessageView): HTMLElement[] {
    const elements: HTMLElement[] = [];
    let day = "";
    let sender = "";
    for (const message of view.messages) {
      if (dayOf(message.timeMs) !== day) {
        day = dayOf(message.timeMs);
        sender = "";
        elements.push(this.#divider(`day ${day}`, longDay(message.timeMs), "day"));
      }
      if (message.id === view.firstUnread) {
        sender = "";
        elements.push(this.#divider("unread", "New messages", "unread-divider"));
      }
      const isRoom = "room" in view.peer;
      elements.push(this.#bubble(message, isRoom, sender === message.sender));
      sender = message.sender;
    }
    return elements;
  }

  #divider(key: string, text: string, kind: string): HTMLElement {
    let divider = this.#dividers.get(key);
    if (!divider) this.#dividers.set(key, (divider = make("div", { class: `divider ${kind}`, role: "separator" })));
    if (divider.textContent !== text) divider.textContent = text;
    return divider;
  }

  #bubble(message: Message, isRoom: boolean, isFollowing: boolean): HTMLElement {
    let bubble = this.#bubbles.get(message.id);
    if (!bubble) this.#bubbles.set(message.id, (bubble = makeBubble(message, isRoom)));
    const drawn = `${message.status} ${message.timeMs} ${message.failure?.code ?? ""} ${isFollowing}`;
    if (bubble.drawn !== drawn) {
      bubble.drawn = drawn;
      bubble.element.dataset.status = message.status;
      bubble.element.classList.toggle("following", isFollowing);
      bubble.mark.replaceChildren(...marks(message));
      bubble.foot.replaceChildren(...this.#failure(message));
    }
    return bubble.element;
  }

  #failure(message: Message): HTMLElement[] {
    if (message.status !== "failed") return [];
    const reason = make("span", { "data-testid": "failure" }, `Not sent: ${message.failure?.message ?? "unknown reason"}`);
    const retry = make("button", { class: "plain", "data-testid": "retry" }, "Try again");
    const discard = make("button", { class: "plain", "data-testid": "discard" }, "Delete");
    retry.addEventListener("click", () => this.#listener.retry(message));
    discard.addEventListener("click", () => this.#listener.discard(message));
    return [reason, retry, discard];
  }
}

function makeBubble(message: Message, isRoom: boolean): Bubble {
  const mark = make("span", { class: "message-mark" });
  const foot = make("div", { class: "message-failure" });
  const text = make("span", { class: "message-text", "data-testid": "message-text", dir: "auto" }, contentText(message));
  const box = make("div", { class: "bubble" }, text, mark);
  const element = make("div", {
    class: message.own ? "message own" : "message",
    "data-testid": "message",
    "data-own": String(message.own),
    "data-sender": message.sender,
  });
  if (isRoom && !message.own) {
    element.append(make("span", { class: "message-sender" }, message.sender || "Server"));
  } else {
    element.append(make("span", { class: "unseen" }, message.own ? "You" : message.sender));
  }
  element.append(box, foot);
  return { element, mark, foot, drawn: "" };
}

function marks(message: Message): (HTMLElement | string)[] {
  const time = make("time", { datetime: new Date(message.timeMs).toISOString() }, timeOfDay(message.timeMs));
  if (!message.own) return [time];
  const words = statusWords[message.status];
  const mark = make("span", { class: "status", role: "img", "aria-label": words, title: words, "data-testid": "message-status" }, statusMarks[message.status]);
  return [time, mark];
}
