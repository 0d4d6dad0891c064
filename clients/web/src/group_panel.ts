import { AnserError, type AnserClient, type GroupInfo, type GroupRequest, type GroupSettings, type Member } from "anser-client";
import { arrange, byId, make, makeButton, makeGraveButton, paintAvatar } from "./element.js";
import { namesIn } from "./new_group.js";
import type { Notices } from "./notices.js";

const pageCount = 50;

/** The dialog about one group: who is in it, and what this user may do there. */
export class GroupPanel {
  readonly #dialog = byId<HTMLDialogElement>("group-panel");
  readonly #title = byId("group-title");
  readonly #facts = byId("group-facts");
  readonly #requests = byId("group-requests");
  readonly #members = byId("group-members");
  readonly #more = byId("group-more");
  readonly #grave = byId("group-grave");
  readonly #invite = byId<HTMLFormElement>("group-invite-form");
  readonly #settings = byId<HTMLFormElement>("group-settings");
  readonly #client: AnserClient;
  readonly #notices: Notices;
  /** What is drawn, by what it was drawn for: a button that asks once more is not taken away meanwhile. */
  #drawn = new Map<string, HTMLElement>();
  #info: GroupInfo | undefined;
  #next = "";
  #shownCount = pageCount;

  constructor(client: AnserClient, notices: Notices) {
    this.#client = client;
    this.#notices = notices;
    byId("group-close").addEventListener("click", () => this.#dialog.close());
    this.#more.append(makeButton("Show more members", { "data-testid": "members-more" }, () => this.#showMore()));
    this.#invite.addEventListener("submit", (event) => {
      event.preventDefault();
      const users = namesIn(String(new FormData(this.#invite).get("users")));
      this.#invite.reset();
      void this.#change("Nobody was invited", (group) => this.#client.groups.invite(group, users));
    });
    this.#settings.addEventListener("submit", (event) => {
      event.preventDefault();
      const settings = Object.fromEntries(new FormData(this.#settings)) as GroupSettings;
      void this.#change("The group was not changed", (group) => this.#client.groups.update(group, settings));
    });
  }

  async open(group: string): Promise<void> {
    this.#info = undefined;
    this.#shownCount = pageCount;
    const isKnown = await this.#notices.attempt("The group cannot be shown", () => this.#load(group));
    if (isKnown && !this.#dialog.open) this.#dialog.showModal();
  }

  /** Something has changed in a group: what is shown of it is asked for again. */
  changed(group: string): void {
    if (!this.#dialog.open || this.#info?.group !== group) return;
    this.#load(group).catch((error: unknown) => {
      // Who is no longer in it is not told more about it.
      if (error instanceof AnserError && !error.retryable) this.#dialog.close();
    });
  }

  async #load(group: string): Promise<void> {
    const info = await this.#client.groups.info(group);
    const isRuler = info.role === "owner" || info.role === "admin";
    const requests = isRuler && info.join === "approval" ? await this.#client.groups.requests(group) : [];
    const page = await this.#client.groups.memberPage(group, { limit: this.#shownCount });
    this.#info = info;
    this.#title.textContent = info.name || group;
    this.#facts.textContent = `${info.memberCount} members · ${info.kind === "super" ? "for many members" : "group"} · id ${group}`;
    this.#requests.replaceChildren(...requests.map((request) => this.#request(request)));
    const drawn = this.#drawn;
    this.#drawn = new Map();
    arrange(this.#members, page.members.map((member) => this.#kept(drawn, [info.group, info.role, member], () => this.#member(info, member))));
    this.#setNext(page.next);
    this.#invite.hidden = !isRuler && info.join !== "open";
    this.#settings.hidden = !isRuler;
    this.#fillSettings(info);
    const state = [group, info.role, info.kind, info.allMuted];
    arrange(this.#grave, [this.#kept(drawn, state, () => make("div", { class: "dialog-line" }, ...this.#graveButtons(info, isRuler)))]);
  }

  #fillSettings(info: GroupInfo): void {
    // What is being written is not overwritten by what others change meanwhile.
    if (this.#settings.contains(document.activeElement)) return;
    const fields = this.#settings.elements;
    (fields.namedItem("name") as HTMLInputElement).value = info.name;
    (fields.namedItem("join") as HTMLSelectElement).value = info.join;
    (fields.namedItem("history") as HTMLSelectElement).value = info.history;
  }

  async #showMore(): Promise<void> {
    const info = this.#info;
    if (!info) return;
    await this.#notices.attempt("No more members are known", async () => {
      const page = await this.#client.groups.memberPage(info.group, { cursor: this.#next, limit: pageCount });
      this.#shownCount = Math.min(this.#shownCount + pageCount, 1_000);
      this.#members.append(...page.members.map((member) => this.#kept(new Map(), [info.group, info.role, member], () => this.#member(info, member))));
      this.#setNext(page.next);
    });
  }

  #kept(drawn: Map<string, HTMLElement>, what: unknown[], draw: () => HTMLElement): HTMLElement {
    const key = JSON.stringify(what);
    const element = drawn.get(key) ?? draw();
    this.#drawn.set(key, element);
    return element;
  }

  #setNext(next: string): void {
    this.#next = next;
    this.#more.hidden = next === "";
  }

  #request({ group, user, text }: GroupRequest): HTMLElement {
    const answer = (accept: boolean) => () => this.#change("The answer was not taken", () => this.#client.groups.answer(group, user, accept));
    return make(
      "li",
      { class: "member", "data-testid": "request", "data-user": user },
      make("span", { class: "member-name" }, `${user} asks to be let in${text ? `: ${text}` : ""}`),
      makeButton("Accept", { "aria-label": `Accept ${user}`, "data-testid": "accept" }, answer(true)),
      makeButton("Decline", { "aria-label": `Decline ${user}`, "data-testid": "decline" }, answer(false)),
    );
  }

  #member(info: GroupInfo, member: Member): HTMLElement {
    const { user, role } = member;
    const isMuted = member.mutedUntilMs > Date.now();
    const isSelf = user === this.#client.user;
    const avatar = make("span", { class: "avatar small", "aria-hidden": "true" });
    paintAvatar(avatar, user);
    const words = [role === "member" ? "" : role, isMuted ? "muted" : ""].filter((word) => word !== "").join(", ");
    return make(
      "li",
      { class: "member", "data-testid": "member", "data-user": user, "data-role": role },
      avatar,
      make("span", { class: "member-name" }, isSelf ? `${user} (you)` : user),
      make("span", { class: "quiet", "data-testid": "member-role" }, words),
      ...(isSelf ? [] : this.#memberActions(info, member, isMuted)),
    );
  }

  #memberActions(info: GroupInfo, { user, role }: Member, isMuted: boolean): HTMLElement[] {
    const { groups } = this.#client;
    const isOwner = info.role === "owner";
    const mayRule = isOwner || (info.role === "admin" && role === "member");
    if (!mayRule) return [];
    const named = (words: string, testid: string) => ({ "aria-label": `${words} ${user}`, "data-testid": testid });
    const change = (work: (group: string) => Promise<unknown>) => () => this.#change("Nothing was changed", work);
    const mute = makeButton(isMuted ? "Unmute" : "Mute", named(isMuted ? "Unmute" : "Mute", "member-mute"),
      change((group) => (isMuted ? groups.unmute(group, [user]) : groups.mute(group, [user]))));
    const remove = makeGraveButton("Remove", "Really?", named("Remove", "member-remove"), change((group) => groups.remove(group, [user])));
    if (!isOwner) return [mute, remove];
    const other = role === "admin" ? "member" : "admin";
    const changeRole = makeButton(`Make ${other}`, named(`Make ${other}:`, "member-role-change"), change((group) => groups.setRole(group, [user], other)));
    const owner = makeGraveButton("Hand over", "Really?", named("Hand the group over to", "member-owner"), change((group) => groups.setRole(group, [user], "owner")));
    return [changeRole, mute, owner, remove];
  }

  #graveButtons(info: GroupInfo, isRuler: boolean): HTMLElement[] {
    const { groups } = this.#client;
    const buttons: HTMLElement[] = [];
    if (isRuler) {
      const words = info.allMuted ? "Let everybody write" : "Mute everybody";
      buttons.push(makeButton(words, { "data-testid": "group-mute-all" }, () =>
        this.#change("Nothing was changed", (group) => (info.allMuted ? groups.unmute(group) : groups.mute(group)))));
    }
    if (info.role === "owner") {
      if (info.kind === "group") {
        buttons.push(makeGraveButton("Make it a group for many", "Really? It never goes back.", { "data-testid": "group-convert" }, () =>
          this.#change("Nothing was changed", (group) => groups.update(group, { kind: "super" }))));
      }
      buttons.push(makeGraveButton("End the group", "Really end it?", { "data-testid": "group-dismiss" }, () => this.#end((group) => groups.dismiss(group))));
    } else {
      buttons.push(makeGraveButton("Leave the group", "Really leave?", { "data-testid": "group-leave" }, () => this.#end((group) => groups.leave(group))));
    }
    return buttons;
  }

  async #change(failure: string, work: (group: string) => Promise<unknown>): Promise<void> {
    const group = this.#info?.group;
    if (group === undefined) return;
    if (await this.#notices.attempt(failure, () => work(group))) this.changed(group);
  }

  async #end(work: (group: string) => Promise<unknown>): Promise<void> {
    const group = this.#info?.group;
    if (group !== undefined && (await this.#notices.attempt("Nothing was changed", () => work(group)))) this.#dialog.close();
  }
}
