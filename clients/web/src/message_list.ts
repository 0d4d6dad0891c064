import { isGroupEvent, targetKey, type Message, type Target } from "anser-client";
import { arrange, byId, make } from "./element.js";
import { MessageBubble, type BubbleListener, type BubbleView } from "./message_bubble.js";
import { dayOf, eventText, longDay } from "./words.js";

export interface MessageListListener extends BubbleListener {
  showOlder(): void;
}

export interface MessageView {
  peer: Target;
  me: string;
  /** Rows in order; those that say nothing to people are left out by the list. */
  messages: Message[];
  hasOlder: boolean;
  /** The first message that was unread when the conversation was opened. */
  firstUnread: string | undefined;
  canReply: boolean;
  canRecall(message: Message): boolean;
  receipt(message: Message): BubbleView["receipt"];
  readCount(message: Message): number | undefined;
  quote(message: Message): string | undefined;
}

/** This far from the top, older messages are asked for. */
const olderWithinPixels = 120;
const atBottomPixels = 80;

/** The messages of the open conversation. */
export class MessageList {
  readonly #scroll = byId("messages-scroll");
  readonly #list = byId("messages");
  readonly #older = byId("show-older");
  readonly #listener: MessageListListener;
  #bubbles = new Map<string, MessageBubble>();
  #lines = new Map<string, HTMLElement>();
  #shown = "";
  #first = "";

  constructor(listener: MessageListListener) {
    this.#listener = listener;
    this.#older.addEventListener("click", () => listener.showOlder());
    this.#scroll.addEventListener("scroll", () => {
      if (this.#scroll.scrollTop < olderWithinPixels && !this.#older.hidden) listener.showOlder();
    });
  }

  render(view: MessageView): void {
    const isOther = this.#shown !== targetKey(view.peer);
    if (isOther) this.#clear(view.peer);
    const fromBottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    const isAtBottom = fromBottom - this.#scroll.clientHeight < atBottomPixels;
    const first = view.messages[0]?.id ?? "";
    const isOlderShown = !isOther && first !== this.#first && this.#first !== "";
    // Filling a conversation is not news to read out, only what is added to it is.
    this.#list.setAttribute("aria-live", isOther || isOlderShown ? "off" : "polite");
    this.#older.hidden = !view.hasOlder;
    arrange(this.#list, this.#elements(view));
    const isOwnNew = view.messages.at(-1)?.status === "sending";
    if (isOther || isAtBottom || isOwnNew) this.#scroll.scrollTop = this.#scroll.scrollHeight;
    else if (isOlderShown) this.#scroll.scrollTop = this.#scroll.scrollHeight - fromBottom;
    this.#first = first;
  }

  /** Brings a message into view and points at it. Returns false where it is not shown. */
  point(seq: number): boolean {
    const element = this.#list.querySelector<HTMLElement>(`[data-seq="${seq}"]`);
    if (!element) return false;
    element.scrollIntoView({ block: "center" });
    element.classList.remove("pointed");
    void element.offsetWidth;
    element.classList.add("pointed");
    return true;
  }

  #clear(peer: Target): void {
    this.#shown = targetKey(peer);
    this.#first = "";
    this.#bubbles = new Map();
    this.#lines = new Map();
    this.#list.replaceChildren();
  }

  #elements(view: MessageView): HTMLElement[] {
    const elements: HTMLElement[] = [];
    let day = "";
    let sender = "";
    for (const message of view.messages) {
      if (message.kind === "recalled") continue;
      if (dayOf(message.timeMs) !== day) {
        day = dayOf(message.timeMs);
        sender = "";
        elements.push(this.#line(`day ${day}`, longDay(message.timeMs), { class: "divider day", role: "separator" }));
      }
      if (message.id === view.firstUnread) {
        sender = "";
        elements.push(this.#line("unread", "New messages", { class: "divider unread-divider", role: "separator" }));
      }
      if (isGroupEvent(message)) {
        sender = "";
        elements.push(this.#line(message.id, eventText(message, view.me), { class: "group-event quiet", "data-testid": "group-event" }));
        continue;
      }
      elements.push(this.#bubble(message, view, sender === message.sender));
      sender = message.sender;
    }
    return elements;
  }

  #line(key: string, text: string, attributes: Record<string, string>): HTMLElement {
    let line = this.#lines.get(key);
    if (!line) this.#lines.set(key, (line = make("div", attributes)));
    if (line.textContent !== text) line.textContent = text;
    return line;
  }

  #bubble(message: Message, view: MessageView, isFollowing: boolean): HTMLElement {
    const isNamed = !("user" in view.peer);
    let bubble = this.#bubbles.get(message.id);
    if (!bubble) this.#bubbles.set(message.id, (bubble = new MessageBubble(message, isNamed, this.#listener)));
    bubble.draw(message, {
      me: view.me,
      isNamed,
      isFollowing,
      canReply: view.canReply,
      canRecall: view.canRecall(message),
      receipt: view.receipt(message),
      readCount: view.readCount(message),
      quote: view.quote(message),
    });
    return bubble.element;
  }
}
