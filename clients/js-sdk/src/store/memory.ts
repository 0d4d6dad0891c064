import { targetKey, type Conversation, type Message, type Target } from "../message.js";
import { storedCountMax, type Store, type StoredState } from "./store.js";

/** Keeps everything until the process or the page ends. */
export function memoryStore(): Store {
  return new MemoryStore();
}

class MemoryStore implements Store {
  readonly #messages = new Map<number, Message>();
  readonly #pending = new Map<string, Message>();
  readonly #readUpTo = new Map<string, number>();
  #position = 0;

  async open(): Promise<StoredState> {
    return { inboxSeq: this.#position, pending: [...this.#pending.values()] };
  }

  async save(messages: Message[], from: number, to: number): Promise<void> {
    for (const message of messages) {
      this.#messages.set(message.inboxSeq, message);
      this.#pending.delete(message.id);
    }
    if (this.#position >= from) this.#position = Math.max(this.#position, to);
    for (const inboxSeq of this.#messages.keys()) {
      if (inboxSeq > to - storedCountMax) break;
      this.#messages.delete(inboxSeq);
    }
  }

  async savePending(message: Message): Promise<void> {
    this.#pending.set(message.id, message);
  }

  async removePending(id: string): Promise<void> {
    this.#pending.delete(id);
  }

  async conversations(): Promise<Conversation[]> {
    const conversations = new Map<string, Conversation>();
    for (const message of this.#sorted()) {
      const key = targetKey(message.peer);
      const before = conversations.get(key)?.unread ?? 0;
      const isUnread = !message.own && message.inboxSeq > (this.#readUpTo.get(key) ?? 0);
      conversations.set(key, { peer: message.peer, last: message, unread: before + (isUnread ? 1 : 0) });
    }
    return [...conversations.values()].sort((left, right) => right.last.inboxSeq - left.last.inboxSeq);
  }

  async history(peer: Target, before: number, limit: number): Promise<Message[]> {
    const key = targetKey(peer);
    const matching = this.#sorted().filter((message) => message.inboxSeq < before && targetKey(message.peer) === key);
    return matching.slice(Math.max(0, matching.length - limit));
  }

  async markRead(peer: Target, inboxSeq: number): Promise<void> {
    const key = targetKey(peer);
    this.#readUpTo.set(key, Math.max(this.#readUpTo.get(key) ?? 0, inboxSeq));
  }

  async clear(): Promise<void> {
    this.#messages.clear();
    this.#readUpTo.clear();
    this.#position = 0;
  }

  close(): void {}

  #sorted(): Message[] {
    return [...this.#messages.values()].sort((left, right) => left.inboxSeq - right.inboxSeq);
  }
}
