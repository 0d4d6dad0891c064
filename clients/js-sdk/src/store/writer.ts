import type { Message } from "../message.js";
import type { Store } from "./store.js";

interface Batch {
  messages: Message[];
  from: number;
  to: number;
}

export interface WriterListener {
  /** Everything up to `to` is in the store. */
  saved(messages: Message[], to: number): void;
  failed(error: unknown): void;
}

/** Writes to the store one batch at a time. What comes while a batch is written goes together into the next. */
export class Writer {
  readonly #store: () => Store;
  readonly #listener: WriterListener;
  #batch: Batch | undefined;
  #writing: Promise<void> | undefined;
  #broken = false;

  constructor(store: () => Store, listener: WriterListener) {
    this.#store = store;
    this.#listener = listener;
  }

  add(messages: Message[], from: number, to: number): void {
    if (this.#batch) {
      this.#batch.messages.push(...messages);
      this.#batch.to = to;
    } else {
      this.#batch = { messages: [...messages], from, to };
    }
    this.#writing ??= this.#write();
  }

  /** Resolves when nothing is left to write. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #write(): Promise<void> {
    // What arrives in the same turn belongs to the same batch.
    await Promise.resolve();
    for (let batch = this.#batch; batch; batch = this.#batch) {
      this.#batch = undefined;
      try {
        // After a failure the stored position stays below what is missing, so the next start fetches it again.
        if (!this.#broken) await this.#store().save(batch.messages, batch.from, batch.to);
      } catch (error) {
        this.#broken = true;
        this.#listener.failed(error);
      }
      this.#listener.saved(batch.messages, batch.to);
    }
    this.#writing = undefined;
  }
}
