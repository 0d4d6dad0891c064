import type { Push } from "anser-client";
import { byId, make } from "./element.js";
import { bytesText } from "./words.js";

const shownMs = 10_000;

/** Shows for a while what the server pushed to this user or to everybody, and what it refused. */
export class Notices {
  readonly #list = byId("notices");

  show(push: Push): void {
    this.say(bytesText(push.body, push.op));
  }

  /** Does something that the server may refuse, and says why it did. Resolves to true when it was done. */
  async attempt(what: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.say(`${what}: ${error instanceof Error ? error.message : String(error)}.`);
      return false;
    }
  }

  say(words: string): void {
    const close = make("button", { class: "plain", "aria-label": "Close", "data-testid": "notice-close" }, "×");
    const text = make("span", { "data-testid": "notice-text" }, words);
    const notice = make("div", { class: "notice", "data-testid": "notice" }, text, close);
    close.addEventListener("click", () => notice.remove());
    this.#list.append(notice);
    setTimeout(() => notice.remove(), shownMs);
  }
}
