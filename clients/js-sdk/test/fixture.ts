import { AnserClient, memoryStore, type ClientOptions, type Message, type State } from "../src/index.js";
import { FakeClock } from "./fake_clock.js";
import { FakeServer } from "./fake_server.js";

export interface Fixture {
  clock: FakeClock;
  server: FakeServer;
  client: AnserClient;
  /** What the client told, in order. */
  states: State[];
  messages: Message[];
  /** Status events as `id:status`. */
  statuses: string[];
  errors: string[];
  wake: () => void;
}

export function fixture(options: Partial<ClientOptions> = {}): Fixture {
  const clock = new FakeClock();
  const server = new FakeServer();
  let wake = (): void => {};
  const client = new AnserClient({
    url: "ws://server/sub",
    user: "alice",
    device: "test-1",
    store: memoryStore(),
    clock,
    random: () => 0.5,
    webSocket: server.webSocket,
    wake: (call) => {
      wake = call;
      return () => {};
    },
    ...options,
  });
  const made: Fixture = { clock, server, client, states: [], messages: [], statuses: [], errors: [], wake: () => wake() };
  client.on("state", (state) => made.states.push(state));
  client.on("message", (message) => made.messages.push(message));
  client.on("status", (message) => made.statuses.push(`${message.text}:${message.status}`));
  client.on("error", (error) => made.errors.push(error.code));
  return made;
}

/** Connects and ignores a refusal, for tests that look at states. */
export function start(made: Fixture): void {
  made.client.connect().catch(() => {});
}

export async function startLive(made: Fixture, reply: Record<string, unknown> = {}) {
  start(made);
  return made.server.acceptLive(reply);
}

export function texts(messages: Message[]): string[] {
  return messages.map((message) => message.text ?? "");
}
