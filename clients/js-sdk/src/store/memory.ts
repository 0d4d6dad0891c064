import { targetKey, type Conversation } from "../conversation.js";
import { emptyOf, isRecalled, type Message, type Target } from "../message.js";
import { moved, storedCountMax, trimEveryCount, type Batch, type Store, type StoredState } from "./store.js";

/** Keeps the last `rowCountMax` rows and the rest until the process or the page ends. */
export function memoryStore(rowCountMax = storedCountMax): Store {
  return new MemoryStore(rowCountMax);
}

class MemoryStore implements Store {
  /** By peer, each ascending by seq. */
  readonly #rows = new Map<string, Message[]>();
  readonly #pending = new Map<string, Message>();
  readonly #groups = new Map<string, number>();
  readonly #conversations = new Map<string, Conversation>();
  #inboxSeq: number | undefined;
  #version = 0;
  #count = 0;
  readonly #rowCountMax: number;

  constructor(rowCountMax: number) {
    this.#rowCountMax = rowCountMax;
  }

  async open(): Promise<StoredState> {
    return {
      inboxSeq: this.#inboxSeq,
      groups: new Map(this.#groups),
      conversations: [...this.#conversations.values()],
      version: this.#version,
      pending: [...this.#pending.values()],
    };
  }

  async save(batch: Batch): Promise<void> {
    for (const row of batch.messages) this.#put(row);
    if (batch.inbox) this.#inboxSeq = moved(this.#inboxSeq, batch.inbox);
    for (const [conversation, move] of batch.groups) {
      this.#groups.set(conversation, moved(this.#groups.get(conversation), move) ?? 0);
    }
    for (const [id, conversation] of batch.conversations) this.#conversations.set(id, conversation);
    this.#version = batch.version ?? this.#version;
    if (this.#count > this.#rowCountMax + trimEveryCount) this.#trim();
  }

  async savePending(message: Message): Promise<void> {
    this.#pending.set(message.id, message);
  }

  async removePending(id: string): Promise<void> {
    this.#pending.delete(id);
  }

  async history(peer: Target, before: number, limit: number): Promise<Message[]> {
    const rows = this.#rows.get(targetKey(peer)) ?? [];
    const end = countBelow(rows, before);
    return rows.slice(Math.max(0, end - limit), end);
  }

  async clear(): Promise<void> {
    this.#rows.clear();
    this.#groups.clear();
    this.#conversations.clear();
    this.#inboxSeq = undefined;
    this.#version = 0;
    this.#count = 0;
  }

  close(): void {}

  #put(row: Message): void {
    this.#pending.delete(row.id);
    const key = targetKey(row.peer);
    const rows = this.#rows.get(key) ?? [];
    this.#rows.set(key, rows);
    if (isRecalled(row)) {
      const target = rows.find((kept) => kept.seq === row.target);
      if (target) emptyOf(target);
    }
    const at = countBelow(rows, row.seq);
    const isKnown = rows[at]?.seq === row.seq;
    rows.splice(at, isKnown ? 1 : 0, row);
    if (!isKnown) this.#count += 1;
  }

  #trim(): void {
    const all = [...this.#rows.values()].flat().sort((left, right) => left.timeMs - right.timeMs);
    const dropped = new Set(all.slice(0, all.length - this.#rowCountMax));
    for (const [key, rows] of this.#rows) this.#rows.set(key, rows.filter((row) => !dropped.has(row)));
    this.#count = all.length - dropped.size;
  }
}

/** Looked for from the end, where rows are added. */
function countBelow(rows: Message[], seq: number): number {
  let count = rows.length;
  while (count > 0 && (rows[count - 1] as Message).seq >= seq) count -= 1;
  return count;
}
