// Drives npm @microsoft/signalr: one JSON command a line in, one JSON fact a line out.
import { createInterface } from "node:readline";
import * as signalr from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";

const { url, transport, protocol, stateful, token, events } = JSON.parse(process.argv[2]);
const say = (fact) => process.stdout.write(JSON.stringify(fact) + "\n");

const options = { transport: signalr.HttpTransportType[transport] };
if (token) options.accessTokenFactory = () => token;
let builder = new signalr.HubConnectionBuilder()
  .withUrl(url, options)
  .withAutomaticReconnect([0, 200, 500, 1000, 1000, 1000, 2000, 2000, 2000])
  .configureLogging(signalr.LogLevel.None);
if (protocol === "messagepack") builder = builder.withHubProtocol(new MessagePackHubProtocol());
if (stateful) builder = builder.withStatefulReconnect({ bufferSize: 100000 });

const hub = builder.build();
for (const event of events) hub.on(event, (...values) => say({ event, arguments: values }));
hub.onreconnecting(() => say({ state: "reconnecting" }));
hub.onreconnected(() => say({ state: "reconnected" }));
hub.onclose((error) => say({ state: "closed", error: error?.message ?? null }));

const commands = {
  invoke: ({ id, method, arguments: values }) =>
    hub.invoke(method, ...values).then(
      (result) => say({ id, result: result ?? null }),
      (error) => say({ id, error: error.message }),
    ),
  send: ({ method, arguments: values }) => hub.send(method, ...values),
  stream: ({ id, method, arguments: values, most }) => {
    let count = 0;
    const subscription = hub.stream(method, ...values).subscribe({
      next: (item) => {
        say({ id, item });
        if (++count === most) subscription.dispose();
      },
      complete: () => say({ id, result: null }),
      error: (error) => say({ id, error: error.message }),
    });
  },
  stop: () => hub.stop(),
};

await hub.start().then(
  () => say({ state: "connected" }),
  (error) => say({ state: "failed", error: error.message }),
);
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  Promise.resolve(commands[command.do](command)).catch((error) => say({ fault: error.message }));
}
await hub.stop();
process.exit(0);
