import type { Push } from "anser-client";
import { byId, make } from "./element.js";
import { bytesText } from "./words.js";

const shownMs = 10_000;

/** Shows for a while what the server pushed to this user or to everybody. */
export class Notices {
  readonly #list = byId("notices");

  show(push: Push): void {
    const close = make("button", { class: "plain", "aria-label": "Close", "data-testid": "notice-close" }, "×");
    const text = make("span", { "data-testid": "notice-text" }, bytesText(push.body, push.op));
    const notice = make("div", { class: "notice", "data-testid": "notice" }, text, close);
    close.addEventListener("click", () => notice.remove());
    this.#list.append(notice);
    setTimeout(() => notice.remove(), shownMs);
  }
}
