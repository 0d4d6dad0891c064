import type { Message } from "anser-client";
import { make, makeButton, makeGraveButton } from "./element.js";
import { messageBody } from "./message_body.js";
import { timeOfDay } from "./words.js";

export interface BubbleListener {
  retry(message: Message): void;
  discard(message: Message): void;
  reply(message: Message): void;
  recall(message: Message): Promise<unknown>;
  jump(seq: number): void;
  showReaders(message: Message): void;
}

/** How a message is to be drawn, beside what it says itself. */
export interface BubbleView {
  me: string;
  /** More than one may have said it. */
  isNamed: boolean;
  /** The message before is of the same sender. */
  isFollowing: boolean;
  canReply: boolean;
  canRecall: boolean;
  receipt: "" | "delivered" | "read";
  /** How many have read it; undefined where that is not counted. */
  readCount: number | undefined;
  /** The message that it answers, as a line. */
  quote: string | undefined;
}

const statusMarks = { sending: "○", sent: "✓", failed: "!", delivered: "✓✓", read: "✓✓" } as const;
const statusWords = { sending: "Sending", sent: "Sent", failed: "Failed", delivered: "Delivered", read: "Read" } as const;

/** One message. It is drawn again only where something of it changed. */
export class MessageBubble {
  readonly element: HTMLElement;
  readonly #listener: BubbleListener;
  readonly #box = make("div", { class: "bubble" });
  readonly #mark = make("span", { class: "message-mark" });
  readonly #foot = make("div", { class: "message-foot" });
  readonly #actions = make("div", { class: "message-actions" });
  #drawn = "";
  #drawnBody = "";

  constructor(message: Message, isNamed: boolean, listener: BubbleListener) {
    this.#listener = listener;
    this.element = make("div", {
      class: message.own ? "message own" : "message",
      "data-testid": "message",
      "data-own": String(message.own),
      "data-sender": message.sender,
    });
    const name = message.own ? "You" : message.sender || "Server";
    const isSeen = isNamed && !message.own;
    this.element.append(
      make("span", isSeen ? { class: "message-sender", "data-testid": "message-sender" } : { class: "unseen" }, name),
      make("div", { class: "message-row" }, this.#box, this.#actions),
      this.#foot,
    );
    // A finger has no hover: a touch shows what can be done.
    this.#box.addEventListener("click", () => this.element.classList.toggle("is-chosen"));
  }

  draw(message: Message, view: BubbleView): void {
    this.element.dataset.status = message.status;
    this.element.dataset.seq = String(message.seq);
    this.element.classList.toggle("following", view.isFollowing);
    const isMe = message.mentionAll === true || message.mentions?.includes(view.me) === true;
    this.element.classList.toggle("means-me", isMe && !message.own);
    const body = `${message.recalled ?? false} ${view.quote ?? ""}`;
    if (this.#drawnBody !== body) {
      this.#drawnBody = body;
      const quote = view.quote !== undefined && !message.recalled ? [this.#quote(message, view.quote)] : [];
      const mentions = [...(message.mentions ?? []), ...(message.mentionAll ? ["all"] : [])];
      this.#box.replaceChildren(...quote, messageBody(message, mentions), this.#mark);
    }
    const { canReply, canRecall, receipt, readCount } = view;
    const drawn = [message.status, message.timeMs, message.failure?.code, message.recalled, canReply, canRecall, receipt, readCount].join(" ");
    if (this.#drawn === drawn) return;
    this.#drawn = drawn;
    this.element.dataset.receipt = receipt;
    this.#mark.replaceChildren(...marks(message, view));
    this.#foot.replaceChildren(...this.#footOf(message, view));
    this.#actions.replaceChildren(...this.#actionsOf(message, view));
  }

  #quote(message: Message, words: string): HTMLElement {
    const quote = make("button", { type: "button", class: "quote", "data-testid": "quote", title: "Show the message that this answers" }, words);
    quote.addEventListener("click", () => this.#listener.jump(message.replyTo ?? 0));
    return quote;
  }

  #actionsOf(message: Message, { canReply, canRecall }: BubbleView): HTMLElement[] {
    if (message.recalled || message.status !== "sent" || message.seq === 0) return [];
    const reply = makeButton("Reply", { "data-testid": "reply" }, () => this.#listener.reply(message));
    const recall = makeGraveButton("Recall", "Really recall?", { "data-testid": "recall" }, () => this.#listener.recall(message));
    return [...(canReply ? [reply] : []), ...(canRecall ? [recall] : [])];
  }

  #footOf(message: Message, { readCount }: BubbleView): HTMLElement[] {
    if (message.status === "failed") {
      return [
        make("span", { "data-testid": "failure" }, `Not sent: ${message.failure?.message ?? "unknown reason"}`),
        makeButton("Try again", { "data-testid": "retry" }, () => this.#listener.retry(message)),
        makeButton("Delete", { "data-testid": "discard" }, () => this.#listener.discard(message)),
      ];
    }
    if (readCount === undefined || message.recalled) return [];
    const attributes = { class: "read-count", "data-testid": "read-count", title: "Show who has read it" };
    return [makeButton(`Read by ${readCount}`, attributes, () => this.#listener.showReaders(message))];
  }
}

function marks(message: Message, { receipt }: BubbleView): (HTMLElement | string)[] {
  const time = make("time", { datetime: new Date(message.timeMs).toISOString() }, timeOfDay(message.timeMs));
  if (!message.own || message.recalled) return [time];
  const name = message.status === "sent" && receipt ? receipt : message.status;
  const words = statusWords[name];
  const mark = make("span", { class: `status ${name}`, role: "img", "aria-label": words, title: words, "data-testid": "message-status" }, statusMarks[name]);
  return [time, mark];
}
