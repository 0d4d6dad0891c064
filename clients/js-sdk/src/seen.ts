import { seenCountMax } from "./limits.js";
import type { Message } from "./message.js";

/** Remembers places in conversations, so that what comes by two ways is told once. */
export class Seen {
  readonly #keys = new Set<string>();

  /** True the first time a row is asked for. */
  isFirst(row: Message): boolean {
    if (!row.conversation || !row.seq) return true;
    const key = `${row.conversation} ${row.seq}`;
    if (this.#keys.has(key)) return false;
    this.#keys.add(key);
    if (this.#keys.size > seenCountMax) this.#keys.delete(this.#keys.values().next().value as string);
    return true;
  }

  clear(): void {
    this.#keys.clear();
  }
}
