/** Where the client stands. `closed` is final until `connect` is called again. */
export type State =
  | { name: "idle" }
  | { name: "connecting" }
  | { name: "syncing" }
  | { name: "live" }
  | { name: "waiting"; retryInMs: number; attempt: number; code: string }
  | { name: "closed"; code: string; number: number; message: string };
