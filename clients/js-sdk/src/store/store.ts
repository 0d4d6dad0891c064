import type { Conversation, Message, Target } from "../message.js";

/** Whose messages a store keeps. */
export interface StoreOwner {
  url: string;
  user: string;
}

export interface StoredState {
  /** The position: every message up to it is in the store, as far as it exists and was not trimmed. */
  inboxSeq: number;
  /** What was not sent yet, in the order of writing. */
  pending: Message[];
}

/**
 * Keeps messages, the position in the inbox, what waits to be sent and what was read.
 * Several clients of one user may share a store: the numbers are the user's and the same for all.
 */
export interface Store {
  open(owner: StoreOwner): Promise<StoredState>;
  /**
   * Keeps `messages`, drops their pending entries and moves the position from `from` to `to`, all or nothing.
   * A position below `from` stays where it is, because what lies between is not in the store.
   */
  save(messages: Message[], from: number, to: number): Promise<void>;
  savePending(message: Message): Promise<void>;
  removePending(id: string): Promise<void>;
  /** Every conversation with its last message and its unread count, the newest first. */
  conversations(): Promise<Conversation[]>;
  /** The newest `limit` messages below `before`, oldest first. */
  history(peer: Target, before: number, limit: number): Promise<Message[]>;
  /** Raises the read mark. It never goes back. */
  markRead(peer: Target, inboxSeq: number): Promise<void>;
  clear(): Promise<void>;
  /** Lets go of what is open. A later call opens it again. */
  close(): void;
}

/** The oldest messages beyond this number are dropped, so that no store grows without end. */
export const storedCountMax = 20_000;
