import type { Batch, Move, Store } from "./store.js";

export interface WriterListener {
  /** The batch is in the store, or cannot be. */
  saved(batch: Batch): void;
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

  add(more: Partial<Batch>): void {
    const batch: Batch = (this.#batch ??= { messages: [], groups: new Map(), conversations: new Map() });
    batch.messages.push(...(more.messages ?? []));
    if (more.inbox) batch.inbox = joined(batch.inbox, more.inbox);
    for (const [conversation, move] of more.groups ?? []) {
      batch.groups.set(conversation, joined(batch.groups.get(conversation), move));
    }
    for (const [id, conversation] of more.conversations ?? []) batch.conversations.set(id, conversation);
    if (more.version !== undefined) batch.version = more.version;
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
        // After a failure the stored positions stay below what is missing, so the next start fetches it again.
        if (!this.#broken) await this.#store().save(batch);
      } catch (error) {
        this.#broken = true;
        this.#listener.failed(error);
      }
      this.#listener.saved(batch);
    }
    this.#writing = undefined;
  }
}

/** Two moves one after the other. One that begins anew, from 0, stands for itself. */
function joined(first: Move | undefined, second: Move): Move {
  return first && second.from > 0 ? { from: first.from, to: second.to } : second;
}
