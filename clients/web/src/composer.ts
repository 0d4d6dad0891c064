import { byId } from "./element.js";

/** Where a message is written. Enter sends, Shift and Enter makes a line. */
export class Composer {
  readonly #form = byId<HTMLFormElement>("composer");
  readonly #text = byId<HTMLTextAreaElement>("composer-text");
  readonly #drafts = new Map<string, string>();
  #key = "";

  constructor(submitted: (text: string) => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (text === "") return;
      this.#text.value = "";
      this.#fit();
      submitted(text);
      this.#text.focus();
    });
    this.#text.addEventListener("keydown", (event) => {
      // Enter also ends the choice of a word in an input method, where it sends nothing.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#text.addEventListener("input", () => this.#fit());
  }

  /** Brings back what was begun in this conversation. */
  open(key: string): void {
    if (key === this.#key) return;
    this.#drafts.set(this.#key, this.#text.value);
    this.#key = key;
    this.#text.value = this.#drafts.get(key) ?? "";
    this.#fit();
    // On a phone the keyboard would cover what was opened to be read.
    if (matchMedia("(min-width: 641px)").matches) this.#text.focus();
  }

  #fit(): void {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }
}
