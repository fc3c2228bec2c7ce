// Drives the official TypeScript clients: `sdk` (handshake era) or `client` (both eras).
// It prints an authorization link; a line with the redirect's parameters comes back.
import { createInterface } from "node:readline";

const { library, url } = JSON.parse(process.argv[2]);
const say = (fact) => process.stdout.write(JSON.stringify(fact) + "\n");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { Client, StreamableHTTPClientTransport } =
  library === "sdk"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      }
    : await import("@modelcontextprotocol/client");

const kept = {};
const provider = {
  get redirectUrl() {
    return "http://localhost:33418/callback";
  },
  get clientMetadata() {
    return {
      client_name: "TypeScript agent",
      redirect_uris: ["http://localhost:33418/callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
      ...(kept.scope ? { scope: kept.scope } : {}),
    };
  },
  state: () => "typescript-state",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => {
    kept.tokens = tokens;
    say({ scope: tokens.scope });
  },
  redirectToAuthorization: (link) => say({ link: link.href }),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  discoveryState: () => kept.discovery,
  saveDiscoveryState: (discovery) => void (kept.discovery = discovery),
};

let transport, client;
async function connect() {
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  const client = new Client({ name: "typescript-agent", version: "1" });
  await client.connect(transport);
  return client;
}

async function comeBack() {
  const { value } = await lines.next();
  const given = JSON.parse(value);
  if (library === "sdk") return transport.finishAuth(given.code);
  return transport.finishAuth(new URLSearchParams(given));
}

// Does the work; whenever a person is asked first, waits for the decision and tries anew.
async function withConsent(work) {
  for (let tried = 0; tried < 4; tried++) {
    try {
      return await work();
    } catch (error) {
      // The handshake-era client refreshes where it should ask for more, and gives up.
      if (/after trying upscoping/.test(error.message)) {
        delete kept.tokens.refresh_token;
        await transport.close();
        client = await connect();
        continue;
      }
      if (!/unauthorized/i.test(`${error.name} ${error.constructor.name} ${error.message}`))
        throw error;
      await comeBack();
    }
  }
  throw new Error("asked for consent again and again");
}

try {
  client = await withConsent(connect);
  const tools = await client.listTools();
  say({ tools: tools.tools.map((tool) => tool.name) });
  const found = await client.callTool({ name: "list_products", arguments: {} });
  say({ products: found.structuredContent.items.length });
  const write = {
    name: "adjust_inventory",
    arguments: {
      sku: found.structuredContent.items[0].sku,
      delta: -1,
      reason: "damage",
      idempotency_key: "typescript-1",
    },
  };
  const changed = await withConsent(() => client.callTool(write));
  say({ onHand: changed.structuredContent.quantity_on_hand });
  kept.tokens = { ...kept.tokens, access_token: "stale" };
  const again = await client.callTool({ name: "list_products", arguments: {} });
  say({ refreshed: again.structuredContent.items.length });
  await client.close();
  say({ refresh: kept.tokens.refresh_token, client: kept.client.client_id });
} catch (error) {
  say({ fault: `${error.name}: ${error.message}`, stack: error.stack });
}
process.exit(0);
