import { asBody, asList, asNumber, asString, asStrings, type Body } from "./codec.js";

/** What members see and who may come in. What is left out stays, or is as the server has it. */
export interface GroupSettings {
  name?: string;
  /** A url. */
  avatar?: string;
  announcement?: string;
  /** Who may join without being invited. */
  join?: "open" | "approval" | "closed";
  /** What members see from before they joined: nothing, or everything. */
  history?: "joined" | "all";
  /** `super` is for many members; a group is made one by the owner and never goes back. */
  kind?: "group" | "super";
}

export type Role = "owner" | "admin" | "member";

export interface GroupInfo {
  group: string;
  conversation: string;
  name: string;
  kind: "group" | "super";
  owner: string;
  memberCount: number;
  join: "open" | "approval" | "closed";
  history: "joined" | "all";
  allMuted: boolean;
  dismissed: boolean;
  avatar: string;
  announcement: string;
  createdMs: number;
  /** This user's own role; empty: not a member. */
  role: Role | "";
}

export interface Member {
  user: string;
  role: Role;
  joinedMs: number;
  /** 0: not muted. `Number.MAX_SAFE_INTEGER`: until it is taken back. */
  mutedUntilMs: number;
}

/** Somebody asks to be let into a group. */
export interface GroupRequest {
  group: string;
  user: string;
  text: string;
  timeMs: number;
}

export interface GroupsOptions {
  request: (name: string, body: object) => Promise<Body>;
  /** Asks for the conversations, because no row tells who came in or went. */
  refresh: () => Promise<void>;
}

/** What can be done with groups. Every call rejects with an `AnserError` when it is refused or there is no connection. */
export class Groups {
  readonly #options: GroupsOptions;

  constructor(options: GroupsOptions) {
    this.#options = options;
  }

  /** Makes a group of this user, its owner, and `members`, up to 1,000. Without `group` the server chooses the id. */
  async create(settings: GroupSettings & { members?: string[]; group?: string }): Promise<{ group: string; conversation: string }> {
    const reply = await this.#ask("Create", settings);
    await this.#options.refresh();
    return { group: asString(reply.group), conversation: asString(reply.conversation) };
  }

  /** Returns those who were no members before. */
  async invite(group: string, users: string[]): Promise<string[]> {
    return asStrings((await this.#ask("Invite", { group, users })).invited);
  }

  /** True: a member. False: the admins were asked, who read `text`. */
  async join(group: string, text = ""): Promise<boolean> {
    const reply = await this.#ask("Join", { group, text });
    await this.#options.refresh();
    return reply.joined === true;
  }

  async leave(group: string): Promise<void> {
    await this.#ask("Leave", { group });
    await this.#options.refresh();
  }

  /** Puts members out. Returns those who were members. */
  async remove(group: string, users: string[]): Promise<string[]> {
    return asStrings((await this.#ask("Remove", { group, users })).removed);
  }

  /** Ends the group. What was said can still be read. */
  async dismiss(group: string): Promise<void> {
    await this.#ask("Dismiss", { group });
  }

  async update(group: string, settings: GroupSettings): Promise<void> {
    await this.#ask("Update", { group, ...settings });
  }

  /** `owner` hands the group over. */
  async setRole(group: string, users: string[], role: Role): Promise<void> {
    await this.#ask("Role", { group, users, role });
  }

  /** Without `users`: everybody but owner and admins. Without a duration: until it is taken back. */
  async mute(group: string, users: string[] = [], durationMs = 0): Promise<void> {
    await this.#ask("Mute", { group, users, muted: true, durationMs });
  }

  async unmute(group: string, users: string[] = []): Promise<void> {
    await this.#ask("Mute", { group, users, muted: false });
  }

  async info(group: string): Promise<GroupInfo> {
    const reply = await this.#ask("Info", { group });
    return {
      group,
      conversation: asString(reply.conversation),
      name: asString(reply.name),
      kind: asString(reply.kind) as GroupInfo["kind"],
      owner: asString(reply.owner),
      memberCount: asNumber(reply.memberCount),
      join: asString(reply.join) as GroupInfo["join"],
      history: asString(reply.history) as GroupInfo["history"],
      allMuted: reply.allMuted === true,
      dismissed: reply.dismissed === true,
      avatar: asString(reply.avatar),
      announcement: asString(reply.announcement),
      createdMs: asNumber(reply.createdMs),
      role: asString(reply.role) as GroupInfo["role"],
    };
  }

  /** One page of members, up to 1,000; `next` goes in as the cursor of the next page and is empty after the last. */
  async memberPage(group: string, options: { cursor?: string; limit?: number } = {}): Promise<{ members: Member[]; next: string }> {
    const reply = await this.#ask("Members", { group, ...options });
    const members = asList(reply.members).map((entry) => {
      const body = asBody(entry);
      const role = asString(body.role) as Role;
      return { user: asString(body.user), role, joinedMs: asNumber(body.joinedMs), mutedUntilMs: asNumber(body.mutedUntilMs) };
    });
    return { members, next: asString(reply.next) };
  }

  /** All members, asked for page by page as they are looked at. */
  async *members(group: string, limit = 100): AsyncGenerator<Member, void> {
    for (let cursor: string | undefined = ""; cursor !== undefined; ) {
      const page: { members: Member[]; next: string } = await this.memberPage(group, { cursor, limit });
      yield* page.members;
      cursor = page.next || undefined;
    }
  }

  /** Who asks to be let in; for owner and admins. */
  async requests(group: string): Promise<GroupRequest[]> {
    return asList((await this.#ask("Requests", { group })).requests).map((entry) => decodeGroupRequest(asBody(entry)));
  }

  async answer(group: string, user: string, accept: boolean): Promise<void> {
    await this.#ask("Answer", { group, user, accept });
  }

  #ask(name: string, body: object): Promise<Body> {
    return this.#options.request(`group${name}`, body);
  }
}

export function decodeGroupRequest(body: Body): GroupRequest {
  return { group: asString(body.group), user: asString(body.user), text: asString(body.text), timeMs: asNumber(body.timeMs) };
}
