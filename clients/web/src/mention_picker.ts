import { byId, make } from "./element.js";

const shownCountMax = 8;

/** Offers the names of members while one is being written after an @. */
export class MentionPicker {
  readonly #text: HTMLTextAreaElement;
  readonly #list = byId("mention-list");
  #names: string[] = [];
  #shown: string[] = [];
  #chosen = 0;

  constructor(text: HTMLTextAreaElement) {
    this.#text = text;
    text.addEventListener("blur", () => this.#hide());
  }

  /** The names that may follow an @. */
  offer(names: string[]): void {
    this.#names = names;
    this.#hide();
  }

  /** Follows what is written. */
  update(): void {
    const begun = this.#begun();
    const prefix = begun?.toLowerCase();
    this.#shown = prefix === undefined ? [] : this.#names.filter((name) => name.toLowerCase().startsWith(prefix)).slice(0, shownCountMax);
    this.#chosen = 0;
    this.#draw();
  }

  /** Takes a key while names are offered. Returns true where it meant the list. */
  press(key: string): boolean {
    if (this.#shown.length === 0) return false;
    const step = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      this.#chosen = (this.#chosen + step + this.#shown.length) % this.#shown.length;
      this.#draw();
    } else if (key === "Enter" || key === "Tab") {
      this.#take(this.#shown[this.#chosen] ?? "");
    } else if (key === "Escape") {
      this.#hide();
    } else {
      return false;
    }
    return true;
  }

  /** Who of the names is meant in `text`. */
  meant(text: string): { mentions: string[]; mentionAll: boolean } {
    const isMeant = (name: string): boolean => {
      for (let at = text.indexOf(`@${name}`); at >= 0; at = text.indexOf(`@${name}`, at + 1)) {
        if (!/^[\p{L}\p{N}_-]/u.test(text.slice(at + name.length + 1))) return true;
      }
      return false;
    };
    const meant = this.#names.filter(isMeant);
    return { mentions: meant.filter((name) => name !== "all"), mentionAll: meant.includes("all") };
  }

  /** What is written between the @ and the cursor. */
  #begun(): string | undefined {
    const before = this.#text.value.slice(0, this.#text.selectionStart);
    return /(?:^|\s)@(\S{0,64})$/.exec(before)?.[1];
  }

  #take(name: string): void {
    const at = this.#text.selectionStart;
    const begin = at - (this.#begun()?.length ?? 0);
    this.#text.setRangeText(`${name} `, begin, at, "end");
    this.#hide();
    this.#text.focus();
  }

  #hide(): void {
    this.#shown = [];
    this.#draw();
  }

  #draw(): void {
    const isOpen = this.#shown.length > 0;
    this.#list.hidden = !isOpen;
    this.#list.replaceChildren(
      ...this.#shown.map((name, index) => {
        const isChosen = index === this.#chosen;
        const id = `mention-${index}`;
        const option = make("li", { id, role: "option", "data-testid": "mention-option", "aria-selected": String(isChosen) }, `@${name}`);
        // The field would lose the cursor at a press, before the click comes.
        option.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          this.#take(name);
        });
        return option;
      }),
    );
    if (isOpen) this.#text.setAttribute("aria-activedescendant", `mention-${this.#chosen}`);
    else this.#text.removeAttribute("aria-activedescendant");
  }
}
