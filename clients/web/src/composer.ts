import type { Message, References } from "anser-client";
import { byId } from "./element.js";
import { MentionPicker } from "./mention_picker.js";
import { messageText } from "./words.js";

export interface ComposerListener {
  submitted(text: string, references: References): void;
  typed(): void;
}

/** Where a message is written. Enter sends, Shift and Enter makes a line. */
export class Composer {
  readonly #form = byId<HTMLFormElement>("composer");
  readonly #text = byId<HTMLTextAreaElement>("composer-text");
  readonly #reply = byId("composer-reply");
  readonly #replyText = byId("composer-reply-text");
  readonly #closed = byId("composer-closed");
  readonly #picker = new MentionPicker(this.#text);
  readonly #drafts = new Map<string, string>();
  #key = "";
  #replyTo: number | undefined;

  constructor(listener: ComposerListener) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (text === "") return;
      this.#text.value = "";
      this.#fit();
      const references: References = { ...this.#picker.meant(text), ...(this.#replyTo ? { replyTo: this.#replyTo } : {}) };
      this.#endReply();
      listener.submitted(text, references);
      this.#text.focus();
    });
    this.#text.addEventListener("keydown", (event) => {
      // Enter also ends the choice of a word in an input method, where it sends nothing.
      if (event.isComposing) return;
      if (this.#picker.press(event.key)) return event.preventDefault();
      if (event.key === "Escape") return this.#endReply();
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#text.addEventListener("input", () => {
      this.#fit();
      this.#picker.update();
      if (this.#text.value !== "") listener.typed();
    });
    byId("composer-reply-end").addEventListener("click", () => this.#endReply());
  }

  /** Brings back what was begun in this conversation. */
  open(key: string): void {
    if (key === this.#key) return;
    this.#drafts.set(this.#key, this.#text.value);
    this.#key = key;
    this.#text.value = this.#drafts.get(key) ?? "";
    this.#endReply();
    this.#picker.offer([]);
    this.#fit();
    // On a phone the keyboard would cover what was opened to be read.
    if (matchMedia("(min-width: 641px)").matches) this.#text.focus();
  }

  /** The names that are offered after an @. */
  offer(names: string[]): void {
    this.#picker.offer(names);
  }

  reply(message: Message): void {
    this.#replyTo = message.seq;
    this.#replyText.textContent = `Reply to ${message.own ? "yourself" : message.sender}: ${messageText(message)}`;
    this.#reply.hidden = false;
    this.#text.focus();
  }

  /** Says why nothing can be written here, or lets it be written. */
  close(reason: string): void {
    this.#closed.textContent = reason;
    this.#closed.hidden = reason === "";
    this.#form.hidden = reason !== "";
  }

  #endReply(): void {
    this.#replyTo = undefined;
    this.#reply.hidden = true;
  }

  #fit(): void {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}
