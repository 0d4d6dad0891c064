import type { State } from "anser-client";
import { byId } from "./element.js";

/** Says that there is no connection and what happens about it. Nothing is shown while all is well. */
export class Banner {
  readonly #banner = byId("banner");
  readonly #text = byId("banner-text");
  readonly #seconds = byId("banner-countdown");
  readonly #action = byId<HTMLButtonElement>("banner-action");
  readonly #state = byId("state");
  #countdown: ReturnType<typeof setInterval> | undefined;
  #isBroken = false;

  constructor(reconnect: () => void) {
    this.#action.addEventListener("click", reconnect);
  }

  show(state: State): void {
    clearInterval(this.#countdown);
    this.#state.textContent = stateWords(state);
    this.#state.dataset.state = state.name;
    if (state.name === "waiting") {
      this.#isBroken = true;
      const atMs = Date.now() + state.retryInMs;
      this.#say("No connection. What you write is sent later.", "Try now");
      this.#tick(atMs);
      this.#countdown = setInterval(() => this.#tick(atMs), 250);
    } else if (state.name === "connecting" && this.#isBroken) {
      this.#say("No connection. What you write is sent later.");
      this.#seconds.textContent = "Trying…";
    } else if (state.name === "closed") {
      this.#isBroken = true;
      this.#say(closedWords(state.code, state.message), /^replaced_by/.test(state.code) ? "Use it here" : "Connect again");
    } else {
      this.#isBroken = false;
      this.#banner.hidden = true;
    }
    this.#banner.classList.toggle("final", state.name === "closed");
  }

  #tick(atMs: number): void {
    // Not read out: a screen reader would speak every second.
    this.#seconds.textContent = `Next try in ${Math.max(1, Math.ceil((atMs - Date.now()) / 1000))} s.`;
  }

  #say(text: string, action = ""): void {
    this.#banner.hidden = false;
    // A live region is read out at every change, so that only changes are written.
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#seconds.textContent = "";
    this.#action.textContent = action;
    this.#action.hidden = action === "";
  }
}

function stateWords(state: State): string {
  switch (state.name) {
    case "live":
      return "Connected";
    case "syncing":
      return "Catching up…";
    case "waiting":
      return "Offline";
    case "closed":
      return "Disconnected";
    default:
      return "Connecting…";
  }
}

function closedWords(code: string, message: string): string {
  if (code === "replaced_by_device") return "This chat was opened in another window, so this one has stopped.";
  if (code === "replaced_by_login") return "You signed in on another device, so this one has stopped.";
  return `The connection was ended: ${message}.`;
}
