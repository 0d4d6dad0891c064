import type { AnserClient, Message } from "anser-client";
import { byId, make } from "./element.js";
import type { Notices } from "./notices.js";

/** Who has read a message. */
export class ReadersDialog {
  readonly #dialog = byId<HTMLDialogElement>("readers");
  readonly #list = byId("readers-list");
  readonly #client: AnserClient;
  readonly #notices: Notices;

  constructor(client: AnserClient, notices: Notices) {
    this.#client = client;
    this.#notices = notices;
    byId("readers-close").addEventListener("click", () => this.#dialog.close());
  }

  async show(message: Message): Promise<void> {
    await this.#notices.attempt("The readers are not known", async () => {
      const { users } = await this.#client.readers(message.conversation, message.seq);
      const names = users.map((user) => make("li", { "data-testid": "reader" }, user));
      this.#list.replaceChildren(...(names.length > 0 ? names : [make("li", { class: "quiet" }, "Nobody yet")]));
      if (!this.#dialog.open) this.#dialog.showModal();
    });
  }
}
