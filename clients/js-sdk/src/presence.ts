import { asBody, asList, asNumber, asString, asStrings, type Body } from "./codec.js";

/** Where a user is. */
export interface Presence {
  user: string;
  /** Absent: it is not known at the moment. */
  online?: boolean;
  devices: string[];
  /** When the last device went away; 0: never seen. */
  lastSeenMs: number;
}

export interface WatchedOptions {
  isAuthenticated: () => boolean;
  request: (name: string, body: object) => Promise<Body>;
}

/** The users whose coming and going is told, over all connections. */
export class Watched {
  readonly #options: WatchedOptions;
  readonly #listener: (presence: Presence) => void;
  readonly #users = new Set<string>();

  constructor(options: WatchedOptions, listener: (presence: Presence) => void) {
    this.#options = options;
    this.#listener = listener;
  }

  async watch(users: string[]): Promise<void> {
    const more = users.filter((user) => !this.#users.has(user));
    for (const user of more) this.#users.add(user);
    if (more.length > 0 && this.#options.isAuthenticated()) await this.#ask(more);
  }

  async unwatch(users: string[]): Promise<void> {
    const fewer = users.filter((user) => this.#users.delete(user));
    if (fewer.length > 0 && this.#options.isAuthenticated()) await this.#options.request("unwatch", { users: fewer });
  }

  /** The server forgets with the connection who was watched. */
  connected(): void {
    // Without an answer nothing is known of them, which is what is shown until the next connection.
    if (this.#users.size > 0) this.#ask([...this.#users]).catch(() => {});
  }

  async #ask(users: string[]): Promise<void> {
    const reply = await this.#options.request("watch", { users });
    for (const presence of decodePresences(reply)) this.#listener(presence);
  }
}

export function decodePresences(reply: Body): Presence[] {
  return asList(reply.users).map((entry) => decodePresence(asBody(entry)));
}

export function decodePresence(body: Body): Presence {
  return {
    user: asString(body.user),
    ...(typeof body.online === "boolean" ? { online: body.online } : {}),
    devices: asStrings(body.devices),
    lastSeenMs: asNumber(body.lastSeenMs),
  };
}
