import type { AnserClient } from "anser-client";
import { byId } from "./element.js";
import type { Notices } from "./notices.js";

/** The dialog in which a group is made, or joined by its id. */
export class NewGroup {
  readonly #dialog = byId<HTMLDialogElement>("new-group");
  readonly #client: AnserClient;
  readonly #notices: Notices;
  readonly #made: (group: string) => void;

  constructor(client: AnserClient, notices: Notices, made: (group: string) => void) {
    this.#client = client;
    this.#notices = notices;
    this.#made = made;
    byId("new-group-open").addEventListener("click", () => this.#dialog.showModal());
    byId("new-group-close").addEventListener("click", () => this.#dialog.close());
    this.#onSubmit("new-group-form", (form) => this.#create(form));
    this.#onSubmit("join-group-form", (form) => this.#join(form));
  }

  #onSubmit(id: string, work: (form: HTMLFormElement) => Promise<string | undefined>): void {
    const form = byId<HTMLFormElement>(id);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const group = await work(form);
      if (group === undefined) return;
      form.reset();
      this.#dialog.close();
      if (group) this.#made(group);
    });
  }

  async #create(form: HTMLFormElement): Promise<string | undefined> {
    const data = new FormData(form);
    let group: string | undefined;
    await this.#notices.attempt("The group was not made", async () => {
      const made = await this.#client.groups.create({
        name: String(data.get("name")).trim(),
        members: namesIn(String(data.get("members"))),
        kind: data.get("super") ? "super" : "group",
        join: String(data.get("join")) as "open" | "approval" | "closed",
      });
      group = made.group;
    });
    return group;
  }

  /** Returns an empty name where the admins have been asked. */
  async #join(form: HTMLFormElement): Promise<string | undefined> {
    const data = new FormData(form);
    const group = String(data.get("group")).trim();
    let joined: string | undefined;
    await this.#notices.attempt("The group was not joined", async () => {
      const isIn = await this.#client.groups.join(group, String(data.get("text")).trim());
      if (!isIn) this.#notices.say("The admins of the group were asked.");
      joined = isIn ? group : "";
    });
    return joined;
  }
}

/** Names that were written with commas, blanks or lines between them. */
export function namesIn(text: string): string[] {
  return [...new Set(text.split(/[\s,;]+/).filter((name) => name !== ""))];
}
