/** The element of the page that has this id. The page and its script belong together, so it is there. */
export function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element as Kind;
}

/** Makes an element with attributes and children. Text children are text, never markup. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Gives `parent` exactly `children`, in order, and moves only what is not in its place. */
export function arrange(parent: HTMLElement, children: HTMLElement[]): void {
  let at = parent.firstElementChild;
  for (const child of children) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  while (at) {
    const next: Element | null = at.nextElementSibling;
    at.remove();
    at = next;
  }
}

/** Shows the first letter of a name on a colour that is always the same for the same name. */
export function paintAvatar(element: HTMLElement, name: string, kind: "person" | "group" | "room" = "person"): void {
  let hue = 0;
  for (const character of name) hue = (hue * 31 + (character.codePointAt(0) ?? 0)) % 360;
  element.textContent = kind === "room" ? "#" : ([...name][0] ?? "?").toUpperCase();
  element.style.setProperty("--hue", String(hue));
  element.classList.toggle("square", kind !== "person");
}

/** Makes a button with words, and calls `clicked`, which may take its time, once at a time. */
export function makeButton(words: string, attributes: Record<string, string>, clicked: () => unknown): HTMLButtonElement {
  const button = make("button", { type: "button", class: "plain", ...attributes }, words);
  button.addEventListener("click", async () => {
    if (button.disabled) return;
    const done = clicked();
    if (!(done instanceof Promise)) return;
    button.disabled = true;
    await done.finally(() => (button.disabled = false));
  });
  return button;
}

/** The same for what cannot be taken back: it asks once more in its own place. */
export function makeGraveButton(words: string, question: string, attributes: Record<string, string>, clicked: () => unknown): HTMLButtonElement {
  let isAsked = false;
  const button = makeButton(words, attributes, () => {
    if (isAsked) return clicked();
    isAsked = true;
    button.textContent = question;
    return undefined;
  });
  button.addEventListener("blur", () => {
    isAsked = false;
    button.textContent = words;
  });
  return button;
}
