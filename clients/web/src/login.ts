import { byId } from "./element.js";
import type { Refusal, Session } from "./session.js";

const idBytesMax = 64;

/** The form that asks for a name and, where the server wants one, a token. */
export class LoginForm {
  readonly #page = byId("login");
  readonly #form = byId<HTMLFormElement>("login-form");
  readonly #name = byId<HTMLInputElement>("login-name");
  readonly #token = byId<HTMLInputElement>("login-token");
  readonly #tokenField = byId("login-token-field");
  readonly #command = byId("login-token-command");
  readonly #error = byId("login-error");
  readonly #submit = byId<HTMLButtonElement>("login-submit");

  constructor(submitted: (session: Session) => void) {
    this.#name.addEventListener("input", () => this.#showCommand());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const user = this.#name.value.trim();
      const problem = nameProblem(user);
      this.#showError(problem);
      if (!problem) submitted({ user, token: this.#token.value.trim() });
    });
  }

  show(name: string): void {
    this.#page.hidden = false;
    this.busy(false);
    if (name) this.#name.value = name;
    this.#showCommand();
    this.#name.focus();
  }

  hide(): void {
    this.#page.hidden = true;
  }

  /** While the server is asked. */
  busy(isBusy: boolean): void {
    this.#submit.disabled = isBusy;
    this.#submit.textContent = isBusy ? "Connecting…" : "Log in";
  }

  /** Tells why the last try failed, and asks for a token where one may help. */
  refused(refusal: Refusal): void {
    this.#tokenField.hidden = !refusal.wantsToken;
    this.#showError(`The server refused: ${refusal.message}.`);
    if (refusal.wantsToken) this.#token.focus();
  }

  #showError(message: string): void {
    this.#error.textContent = message;
    this.#error.hidden = message === "";
  }

  #showCommand(): void {
    this.#command.textContent = `anser token new --user ${this.#name.value.trim() || "NAME"}`;
  }
}

/** Why this cannot be a user's name, or nothing. */
export function nameProblem(name: string): string {
  if (name === "") return "Please enter a name.";
  if (new TextEncoder().encode(name).length > idBytesMax) return `A name has at most ${idBytesMax} bytes.`;
  return "";
}
