import { AnserClient, indexedDbStore, memoryStore, type State } from "anser-client";
import { Banner } from "./banner.js";
import { Chat } from "./chat.js";
import { byId } from "./element.js";
import { LoginForm } from "./login.js";
import { Notices } from "./notices.js";
import { endSession, loadSession, saveRefusal, saveSession, takeRefusal, type Session } from "./session.js";

type Closed = Extract<State, { name: "closed" }>;

const parameters = new URLSearchParams(location.search);
const room = parameters.get("room") || "live://lobby";
const login = new LoginForm((session) => void start(session, true));
const session = loadSession();
const refusal = takeRefusal();
if (session) {
  void start(session, false);
} else {
  login.show(refusal?.user ?? parameters.get("user") ?? "");
  if (refusal) login.refused(refusal);
}

/** `isFresh` is a log-in by hand: the form stays until the server has said something. */
async function start(session: Session, isFresh: boolean): Promise<void> {
  login.busy(true);
  const client = new AnserClient({
    url: new URL("/sub", location.href.replace(/^http/, "ws")).href,
    user: session.user,
    store: typeof indexedDB === "undefined" ? memoryStore() : indexedDbStore(),
    ...(session.token ? { getToken: () => session.token } : {}),
  });
  const notices = new Notices();
  const chat = new Chat(client, room, notices);
  const banner = new Banner(() => {
    if (client.state.name === "closed") connect(client);
    else client.reconnectNow();
  });
  client.on("push", (push) => notices.show(push));
  client.on("error", (error) => console.warn(`anser: ${error.code}: ${error.message}`));
  client.on("state", (state) => {
    banner.show(state);
    const isFirstAnswer = byId("chat").hidden;
    if (state.name === "connecting" || (state.name === "closed" && state.code === "closed_by_client")) return;
    if (state.name === "closed" && (wantsToken(state) || isFirstAnswer)) void leave(client, state);
    else if (isFirstAnswer) enter(session);
  });
  byId("logout").addEventListener("click", () => void leave(client));
  await chat.show();
  // A session that goes on shows what it has, with or without a connection.
  if (!isFresh) enter(session);
  client.joinRoom(room).catch((error: unknown) => console.warn("anser: the room cannot be joined", error));
  connect(client);
}

function connect(client: AnserClient): void {
  // The banner tells of a refusal.
  client.connect().catch(() => {});
}

function enter(session: Session): void {
  saveSession(session);
  login.hide();
  byId("chat").hidden = false;
}

/** Goes back to the log-in form. The page is loaded again, so that nothing of this session stays in it. */
async function leave(client: AnserClient, refused?: Closed): Promise<void> {
  endSession();
  if (refused) saveRefusal({ user: client.user, message: refused.message, wantsToken: wantsToken(refused) });
  await client.close();
  history.replaceState(null, "", location.pathname + location.search);
  location.reload();
}

/** Error numbers 401xx and the close code for a refused token. */
function wantsToken(closed: Closed): boolean {
  return Math.floor(closed.number / 100) === 401 || closed.number === 4501;
}
