import type { Conversation } from "../conversation.js";
import type { Message, Target } from "../message.js";

/** Whose messages a store keeps. */
export interface StoreOwner {
  url: string;
  user: string;
}

export interface StoredState {
  /**
   * The position in the inbox: every row up to it is in the store, as far as it exists and was not trimmed.
   * Undefined where nothing was ever kept.
   */
  inboxSeq: number | undefined;
  /** The same for each super group, by conversation. */
  groups: Map<string, number>;
  conversations: Conversation[];
  /** The version that the conversations have. */
  version: number;
  /** What was not sent yet, in the order of writing. */
  pending: Message[];
}

/** A position that moves. It stays where it is when it is below `from`, because what lies between is not in the store. */
export interface Move {
  from: number;
  to: number;
}

/** What is kept together or not at all. */
export interface Batch {
  /** Rows to keep; their pending entries are dropped. A row of kind `recalled` empties the one that it names. */
  messages: Message[];
  inbox?: Move;
  /** By conversation. */
  groups: Map<string, Move>;
  conversations: Map<string, Conversation>;
  version?: number;
}

/**
 * Keeps rows, positions, conversations and what waits to be sent.
 * Several clients of one user may share a store: the numbers are the user's and the same for all.
 */
export interface Store {
  open(owner: StoreOwner): Promise<StoredState>;
  save(batch: Batch): Promise<void>;
  savePending(message: Message): Promise<void>;
  removePending(id: string): Promise<void>;
  /** The last `limit` rows with `peer` below the seq `before`, oldest first. */
  history(peer: Target, before: number, limit: number): Promise<Message[]>;
  /** Forgets everything but what waits to be sent. */
  clear(): Promise<void>;
  /** Lets go of what is open. A later call opens it again. */
  close(): void;
}

/** The oldest rows beyond this number are dropped, so that no store grows without end. */
export const storedCountMax = 20_000;
/** How many more there may be for a while, so that not every batch has to look for the oldest. */
export const trimEveryCount = 500;

/** Where a position stands after a move. */
export function moved(held: number | undefined, { from, to }: Move): number | undefined {
  return (held ?? 0) >= from ? Math.max(held ?? 0, to) : held;
}
