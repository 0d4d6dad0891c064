// A person in a browser of their own: what a test does on the page and what it sees there.
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const waitMs = 15_000;

export function launchBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: flags });
}

export class Person {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.problems = [];
    page.setDefaultTimeout(waitMs);
    page.on("pageerror", (error) => this.problems.push(String(error)));
    page.on("console", (message) => {
      if (/Content Security Policy/.test(message.text())) this.problems.push(message.text());
    });
  }

  /** Opens the page in a new browser profile and logs in. */
  static async enter(browser, url, name, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
    const person = new Person(await context.newPage(), name);
    await person.page.goto(`${url}?user=${encodeURIComponent(name)}`);
    await person.logIn();
    return person;
  }

  async logIn() {
    await this.at("login-submit").click();
    await this.live();
  }

  at(testid) {
    return this.page.getByTestId(testid);
  }

  /** Waits until the page says that it is connected. */
  async live() {
    await this.page.locator("#state[data-state=live]").waitFor();
  }

  async open(name) {
    const line = this.line(`user:${name}`);
    if ((await line.count()) > 0) return line.click();
    await this.at("new-chat-name").fill(name);
    await this.at("new-chat-submit").click();
  }

  /** Opens a group that is in the list, or will be. */
  openGroup(group) {
    return this.line(`group:${group}`).click();
  }

  openRoom() {
    return this.line("room:live://lobby").click();
  }

  async say(...texts) {
    for (const text of texts) {
      await this.at("composer-text").fill(text);
      await this.at("composer-text").press("Enter");
    }
  }

  line(key) {
    return this.page.locator(`[data-testid=conversation][data-peer="${key}"]`);
  }

  /** The unread count that the list shows for a person, 0 where it shows none. */
  unread(name) {
    return this.unreadOf(`user:${name}`);
  }

  /** The same for any line of the list, such as `group:g`. */
  async unreadOf(key) {
    const mark = this.line(key).getByTestId("unread");
    return (await mark.isVisible()) ? Number(await mark.textContent()) : 0;
  }

  /** The message that says `text`. */
  message(text) {
    return this.at("message").filter({ has: this.page.getByText(text, { exact: true }) });
  }

  /** What the marks of the own messages say, such as Sent, Delivered, Read. */
  ticks() {
    return this.at("message-status").evaluateAll((all) => all.map((one) => one.getAttribute("aria-label")));
  }

  events() {
    return this.at("group-event").allTextContents();
  }

  /** Scrolls to where older messages are asked for. */
  scrollUp() {
    return this.page.locator("#messages-scroll").evaluate((scroll) => (scroll.scrollTop = 0));
  }

  texts() {
    return this.at("message-text").allTextContents();
  }

  statuses() {
    return this.page.locator("[data-testid=message][data-own=true]").evaluateAll((all) => all.map((one) => one.dataset.status));
  }
}

/** Waits until `look` gives what is expected; what it gave last stands in the failure. */
export async function eventually(look, expected, what, withinMs = waitMs) {
  const wanted = JSON.stringify(expected);
  const untilMs = Date.now() + withinMs;
  for (;;) {
    const seen = JSON.stringify(await look());
    if (seen === wanted) return;
    if (Date.now() > untilMs) throw new Error(`${what}: expected ${wanted}, saw ${seen}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
