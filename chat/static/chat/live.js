// The hub: joins with a token that is used once, and comes back with the cursor of the last event,
// so that nothing is missed or heard twice.
import * as api from "./api.js";

const EVENTS = [
  "NewCustomerMessage", "MessageSent", "MessageUpdated", "MessageDeleted", "MessagesRead",
  "ConversationCreated", "ConversationUpdated", "ConversationAssigned", "TypingChanged",
  "PresenceChanged",
];
const AGAIN_AFTER = [0, 1000, 2000, 5000, 10_000];

export class Live {
  constructor({ heard, stateChanged, lost }) {
    this.heard = heard;
    this.stateChanged = stateChanged;
    this.lost = lost; // what was missed is too much: read everything anew
    this.cursor = null;
    this.attempts = 0;
    this.isStopped = false;
  }

  async start() {
    const { signalR } = globalThis;
    const hub = new signalR.HubConnectionBuilder()
      .withUrl("/hubs/store-conversations")
      .withAutomaticReconnect(AGAIN_AFTER)
      .withStatefulReconnect()
      .configureLogging(signalR.LogLevel.None)
      .build();
    for (const name of EVENTS) {
      hub.on(name, (event) => {
        if (event.cursor) this.cursor = event.cursor;
        this.heard(event);
      });
    }
    hub.on("TokenExpiring", async () => hub.invoke("Renew", (await api.post("/hub-token")).token));
    hub.onreconnecting(() => this.stateChanged("connecting"));
    hub.onreconnected(() => this.join().catch(() => hub.stop()));
    hub.onclose(() => this.startAgain());
    this.hub = hub;
    this.stateChanged("connecting");
    try {
      await hub.start();
      await this.join();
    } catch {
      if (hub.state === "Disconnected") this.startAgain();
      else await hub.stop();
    }
  }

  async join() {
    const { token } = await api.post("/hub-token");
    const joined =
      this.cursor === null
        ? await this.hub.invoke("JoinStore", token)
        : await this.hub.invoke("JoinStoreFrom", token, this.cursor);
    if (this.cursor === null || joined.resyncRequired) {
      this.cursor = joined.cursor;
      await this.lost();
    }
    this.attempts = 0;
    this.stateChanged("live");
  }

  startAgain() {
    if (this.isStopped) return;
    this.stateChanged("offline");
    const pause = Math.min(30_000, 1000 * 2 ** this.attempts++) * (0.5 + Math.random());
    setTimeout(() => this.isStopped || this.start(), pause);
  }

  async stop() {
    this.isStopped = true;
    await this.hub?.stop();
  }

  // At most once: nobody minds when these are lost.
  say(method, ...values) {
    this.hub?.invoke(method, ...values).catch(() => {});
  }
}
