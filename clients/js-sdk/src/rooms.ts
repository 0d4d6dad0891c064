import type { Clock } from "./clock.js";
import { decodeRoomMessage, encodeContent, type Body } from "./codec.js";
import { AnserError } from "./error.js";
import { echoMs } from "./limits.js";
import type { Content, Message, RoomMessage } from "./message.js";

export interface RoomsOptions {
  clock: Clock;
  isAuthenticated: () => boolean;
  request: (name: string, body: object) => Promise<Body>;
}

interface Waiter {
  room: string;
  resolve: () => void;
  reject: (error: AnserError) => void;
}

interface Echo {
  room: string;
  content: string;
  id: string;
  untilMs: number;
}

/** The live rooms that this client is in, over all its connections. */
export class Rooms {
  readonly #options: RoomsOptions;
  readonly #names = new Set<string>();
  #named = new Set<string>();
  #waiters: Waiter[] = [];
  #echoes: Echo[] = [];

  constructor(options: RoomsOptions) {
    this.#options = options;
  }

  /** What an auth request names, so that the connection is in these rooms at once. */
  names(): string[] {
    this.#named = new Set(this.#names);
    return [...this.#named];
  }

  /** Resolves when the server has the membership. */
  async join(room: string): Promise<void> {
    this.#names.add(room);
    if (!this.#options.isAuthenticated()) return this.#nextConnection(room);
    try {
      await this.#options.request("join", { rooms: [room] });
    } catch (error) {
      if (isConnectionLost(error)) return this.#nextConnection(room);
      this.#names.delete(room);
      throw error;
    }
  }

  async leave(room: string): Promise<void> {
    if (!this.#names.delete(room) || !this.#options.isAuthenticated()) return;
    try {
      await this.#options.request("leave", { rooms: [room] });
    } catch (error) {
      // The next connection does not name the room, which leaves it as well.
      if (!isConnectionLost(error)) throw error;
    }
  }

  /** Logged in with the names asked for last. What changed since is made good. */
  connected(): void {
    for (const waiter of this.#takeWaiters()) {
      if (this.#named.has(waiter.room) || !this.#names.has(waiter.room)) waiter.resolve();
      else this.join(waiter.room).then(waiter.resolve, waiter.reject);
    }
    const left = [...this.#named].filter((room) => !this.#names.has(room));
    if (left.length > 0) this.#options.request("leave", { rooms: left }).catch(() => {});
  }

  ended(error: AnserError): void {
    for (const waiter of this.#takeWaiters()) waiter.reject(error);
  }

  /** Remembers what this client says in a room, because the room says it back. */
  sent(message: Message): void {
    if (!("room" in message.to)) return;
    const untilMs = this.#options.clock.now() + echoMs;
    this.#echoes.push({ room: message.to.room, content: contentText(message), id: message.id, untilMs });
  }

  /** Reads a push to a room and finds out whether it is an echo. */
  receive(body: Body, user: string): RoomMessage {
    const nowMs = this.#options.clock.now();
    const message = decodeRoomMessage(body, nowMs);
    if (message.sender !== user) return message;
    this.#echoes = this.#echoes.filter((echo) => echo.untilMs > nowMs);
    const content = contentText(message);
    const index = this.#echoes.findIndex((echo) =>
      typeof body.clientMessageId === "string" && body.clientMessageId !== ""
        ? echo.id === body.clientMessageId
        : echo.room === message.room && echo.content === content,
    );
    const echo = this.#echoes[index];
    if (echo) {
      this.#echoes.splice(index, 1);
      message.echoOf = echo.id;
    }
    return message;
  }

  #nextConnection(room: string): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ room, resolve, reject }));
  }

  #takeWaiters(): Waiter[] {
    const waiters = this.#waiters;
    this.#waiters = [];
    return waiters;
  }
}

function isConnectionLost(error: unknown): boolean {
  return error instanceof AnserError && error.code === "connection_lost";
}

function contentText(content: Content): string {
  return JSON.stringify(encodeContent(content));
}
