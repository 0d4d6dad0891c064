/** Who is logged in in this tab. It outlives a reload and ends with the tab. */
export interface Session {
  user: string;
  token: string;
}

/** Why the server did not let a session begin or go on. */
export interface Refusal {
  user: string;
  message: string;
  /** A token, or another one, may help. */
  wantsToken: boolean;
}

const sessionKey = "anser-session";
const refusalKey = "anser-refusal";

export function loadSession(): Session | undefined {
  return load<Session>(sessionKey);
}

export function saveSession(session: Session): void {
  save(sessionKey, session);
}

export function endSession(): void {
  try {
    sessionStorage.removeItem(sessionKey);
  } catch {
    // There was nothing to remove.
  }
}

/** Returns what the page was left with, once. */
export function takeRefusal(): Refusal | undefined {
  const refusal = load<Refusal>(refusalKey);
  if (refusal) sessionStorage.removeItem(refusalKey);
  return refusal;
}

export function saveRefusal(refusal: Refusal): void {
  save(refusalKey, refusal);
}

function load<Value>(key: string): Value | undefined {
  try {
    return (JSON.parse(sessionStorage.getItem(key) ?? "null") as Value | null) ?? undefined;
  } catch {
    return undefined;
  }
}

function save(key: string, value: object): void {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Without storage nothing outlives the page.
  }
}
