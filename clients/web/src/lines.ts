import { compareMessages, targetKey, type AnserClient, type Conversation, type Message, type Target } from "anser-client";
import { peerId } from "./route.js";

/** What is known about one conversation without opening it. */
export interface Line {
  peer: Target;
  name: string;
  last: Message | undefined;
  unread: number;
  /** As the client has it; none for a room, and before the first message. */
  conversation: Conversation | undefined;
  /** Whether the other one of a single chat is there; undefined: not known. */
  isOnline: boolean | undefined;
  lastSeenMs: number;
  /** When it came into the list, which counts until something is said. */
  sinceMs: number;
}

/** The lines of the conversation list, by whom one talks to. */
export class Lines {
  readonly #client: AnserClient;
  readonly #lines = new Map<string, Line>();

  constructor(client: AnserClient) {
    this.#client = client;
  }

  /** Begins with what the client has. */
  async load(): Promise<void> {
    this.#lines.clear();
    for (const { peer, last } of await this.#client.conversations()) {
      const line = this.of(peer);
      line.last = last;
      line.sinceMs = 0;
    }
  }

  all(): Line[] {
    return [...this.#lines.values()];
  }

  of(peer: Target): Line {
    const key = targetKey(peer);
    let line = this.#lines.get(key);
    if (!line) {
      line = { peer, name: peerId(peer), last: undefined, unread: 0, conversation: undefined, isOnline: undefined, lastSeenMs: 0, sinceMs: Date.now() };
      this.#lines.set(key, line);
      const conversation = this.#client.conversation(peer);
      if (conversation) this.take(conversation);
    }
    return line;
  }

  take(conversation: Conversation): Line {
    const line = this.of(conversation.peer);
    line.conversation = conversation;
    line.name = conversation.name;
    line.unread = conversation.unread;
    if (conversation.last) this.add(conversation.last);
    return line;
  }

  /** Shows a message where none after it is known. */
  add(message: Message): void {
    const line = this.of(message.peer);
    const isAgain = line.last?.id === message.id;
    if (isAgain || !line.last || compareMessages(line.last, message) <= 0) line.last = message;
  }

  /** A message is gone; `rest` are those that are left of its conversation, ascending. */
  drop(message: Message, rest: Message[]): void {
    const line = this.of(message.peer);
    if (line.last?.id === message.id) line.last = rest.at(-1) ?? line.conversation?.last;
  }
}

/** The room first, then what is pinned, then what was said last. */
export function compareLines(left: Line, right: Line): number {
  const rooms = Number("room" in right.peer) - Number("room" in left.peer);
  const pins = Number(right.conversation?.pinned ?? false) - Number(left.conversation?.pinned ?? false);
  return rooms || pins || (right.last?.timeMs ?? right.sinceMs) - (left.last?.timeMs ?? left.sinceMs);
}
