import type { AnserClient, Message } from "anser-client";

/** Of so many of one's own messages the readers are counted; the others when somebody looks. */
const countedMax = 5;
const askEveryMs = 500;

/** How many have read what this user said in a group. */
export class ReadCounts {
  readonly #client: AnserClient;
  readonly #changed: () => void;
  readonly #counts = new Map<string, number>();
  #conversation = "";
  #asking: ReturnType<typeof setTimeout> | undefined;

  constructor(client: AnserClient, changed: () => void) {
    this.#client = client;
    this.#changed = changed;
  }

  of(message: Message): number | undefined {
    return this.#counts.get(message.id);
  }

  /** Begins with the group that was opened; an empty name ends the counting. */
  open(conversation: string): void {
    if (conversation === this.#conversation) return;
    clearTimeout(this.#asking);
    this.#asking = undefined;
    this.#conversation = conversation;
    this.#counts.clear();
  }

  /** Somebody has read, or something was said. */
  update(messages: () => Message[]): void {
    if (this.#conversation === "" || this.#asking !== undefined) return;
    this.#asking = setTimeout(() => {
      this.#asking = undefined;
      const own = messages().filter((message) => message.own && message.seq > 0 && !message.kind && !message.recalled);
      void this.#ask(this.#conversation, own.slice(-countedMax));
    }, askEveryMs);
  }

  async #ask(conversation: string, messages: Message[]): Promise<void> {
    const counts = await Promise.all(
      messages.map((message) => this.#client.readers(conversation, message.seq).then(({ count }) => count, () => undefined)),
    );
    if (conversation !== this.#conversation) return;
    for (const [index, message] of messages.entries()) {
      const count = counts[index];
      if (count !== undefined) this.#counts.set(message.id, count);
    }
    this.#changed();
  }
}
