import type { Clock } from "./clock.js";
import type { SocketConstructor } from "./connection.js";
import type { Store } from "./store/store.js";
import type { Wake } from "./wake.js";

export interface ClientOptions {
  /** Where the server listens for WebSockets, such as `ws://localhost:3102/sub`. */
  url: string;
  /** Who connects. May be left out with a token and `memoryStore`: the token says who. */
  user?: string;
  /** Called for every connection. An `AnserError` that is not retryable ends the client. */
  getToken?: (context: { reason: "connect" | "expired" }) => string | Promise<string>;
  /** The device id. A browser's default is one for each tab, elsewhere a random one. */
  device?: string;
  platform?: string;
  /** `memoryStore()` by default. */
  store?: Store;
  webSocket?: SocketConstructor;
  clock?: Clock;
  random?: () => number;
  wake?: Wake;
}
