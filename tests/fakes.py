"""What stands at the network's edge: real servers on loopback that misbehave when told. A webhook
receiver, and a stand-in for the provider Nawa, for the tests and by hand with `make fake-nawa`
(DOCS/03-integrations/nawa.md)."""

import argparse
import hashlib
import hmac
import itertools
import json
import ssl
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

API_KEY = "fake"
SECRET = "nawa_wh_fake_0123456789abcdef"
WAY = ["picked_up", "at_hub", "in_transit", "out_for_delivery", "delivered"]
FAULTS = {
    "slow": "answers after 20 seconds",
    "drip": "sends a byte of its answer every half second",
    "lose": "does the work, then closes the connection without an answer",
    "fail": "answers 500",
    "busy": "answers 429 with Retry-After: 1",
    "refuse": "answers 422",
    "garbage": "answers 200 with what is no JSON",
    "wrong": "answers 200 with JSON of another shape",
    "huge": "answers 200 with two MiB",
    "redirect": "answers 302",
}


class Receiver:
    """A webhook receiver. `mode` says how it answers: ok, fail, hang, redirect, gone, busy, drip,
    huge, crumbs or hints without end, or down for not at all; `received` holds each request's
    headers and body, whatever the answer was."""

    def __init__(self, *, tls=None, port=0):
        self.mode = "ok"
        self.received = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.let_go = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.scheme = "http"
        if tls:
            self.scheme = "https"
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server.server_port}/hooks"

    @property
    def ids(self):
        """The webhook-ids of what was answered well, each as often as it came."""
        return [one["headers"]["webhook-id"] for one in self.received if one["status"] == 200]

    def answer(self, request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, extra = {
            "fail": (500, {}),
            "redirect": (302, {"Location": self.url}),
            "gone": (410, {}),
            "busy": (503, {"Retry-After": "7200"}),
            "down": (None, {}),
        }.get(self.mode, (200, {}))
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.received.append({"headers": headers, "body": body, "status": status})
        if self.mode == "hang":
            self.let_go.wait(20)
        if status is None:
            request.close_connection = True
        with self.lock:
            self.at_once -= 1
        if status is None:
            return
        text = b"x" * 200_000 if self.mode == "huge" else b"noted: " + self.mode.encode()
        try:
            self.babble(request)
            request.send_response(status)
            for name, value in extra.items():
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(text)))
            request.end_headers()
            if self.mode == "drip":
                for byte in text:
                    request.wfile.write(bytes([byte]))
                    self.let_go.wait(0.2)
            request.wfile.write(text)
        except OSError:
            pass  # the sender went away

    def babble(self, request):
        """Until the sender goes away."""
        if self.mode == "crumbs":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while self.mode in ("crumbs", "hints"):
            hint = b"HTTP/1.1 103 Early Hints\r\n\r\n"
            request.wfile.write(hint if self.mode == "hints" else b"1\r\nx\r\n" * 1000)

    def stop(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def self_signed(name="localhost"):
    """A server's TLS context for a name, and the context of a client that trusts just it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "cert.pem"), Path(folder, "key.pem")
        pem = serialization.Encoding.PEM
        files[0].write_bytes(certificate.public_bytes(pem))
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(pem, *plain))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*files)
        client = ssl.create_default_context(cafile=str(files[0]))
    return server, client


def sign(secret, timestamp, body):
    """As the agreement has it, written down once more so that the platform's is checked by it."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def now():
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class FakeNawa:
    """The provider at the end of a real wire: it takes codes, messages and shipments, sends signed
    events, and misbehaves on request, one fault at a time."""

    def __init__(self, port=0, *, platform="", secret=SECRET, pace=0.0, say=lambda text: None):
        self.platform, self.secret, self.pace, self.say = platform, secret, pace, say
        self.codes, self.messages, self.shipments, self.calls = [], [], {}, []
        self.kept = {}  # answers by idempotency key
        self.faults = {}  # name: how many times more
        self.numbers = itertools.count(10_001)
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.nawa = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def misbehave(self, name, times=1):
        assert name in FAULTS, name
        self.faults[name] = times

    def take_fault(self):
        with self.lock:
            for name, left in self.faults.items():
                if left > 0:
                    self.faults[name] -= 1
                    return name
        return ""

    # What it does

    def carry_out(self, path, body, key):
        """(status, answer); a key that was here gets its first answer."""
        with self.lock:
            if key in self.kept:
                return self.kept[key]
            deed = {
                "/v1/otp": self.otp,
                "/v1/messages": self.message,
                "/v1/accounts": self.account,
                "/v1/shipments": self.shipment,
                "/v1/shipments/cancel": self.cancel,
                "/v1/shipments/query": self.query,
            }.get(path)
            if deed is None:
                return 404, {"code": "not_found", "message": "No such path."}
            status, answer = deed(body)
            if status < 300:
                self.kept[key] = status, answer
            return status, answer

    def otp(self, body):
        self.codes.append(body)
        self.say(f"code {body['code']} for {body['phone']} by {body['channel']}")
        return 202, {"id": f"otp-{len(self.codes)}", "status": "queued"}

    def message(self, body):
        self.messages.append(body)
        self.say(f"message for {body['phone']}: {body['text']}")
        return 202, {"id": f"msg-{len(self.messages)}", "status": "queued"}

    def account(self, body):
        if body["password"] == "wrong":
            return 401, {"code": "invalid_credentials", "message": "Unknown account."}
        return 200, {"account": f"{body['company']}:{body['username']}"}

    def shipment(self, body):
        number = next(self.numbers)
        made = {
            "id": f"ship-{number}",
            "tracking_number": f"NW-{number}",
            "status": "created",
            "occurred_at": now(),
            "sent": body,
        }
        self.shipments[made["id"]] = made
        collects = body["cash_on_delivery"]
        self.say(
            f"shipment {made['tracking_number']} of {body['order_number']} for"
            f" {body['recipient']['name']}, to collect {collects['amount']} {collects['currency']}"
        )
        if self.pace:
            threading.Thread(target=self.walk, args=(made,), daemon=True).start()
        return 201, {name: made[name] for name in ("id", "tracking_number", "status")}

    def cancel(self, body):
        made = self.shipments.get(body["id"])
        if made is None or made["status"] != "created":
            return 409, {"code": "not_cancellable", "message": "It is on its way."}
        made["status"] = "cancelled"
        self.say(f"shipment {made['tracking_number']} is cancelled")
        return 200, {"status": "cancelled"}

    def query(self, body):
        found = [self.shipments[one] for one in body["ids"] if one in self.shipments]
        names = ("id", "status", "occurred_at")
        return 200, {"items": [{name: made[name] for name in names} for made in found]}

    # What it tells

    def walk(self, made):
        """The whole way to the door, a step every `pace` seconds; one of them is told twice."""
        for status in WAY:
            if self.stopped.wait(self.pace) or made["status"] == "cancelled":
                return
            self.move(made, status, times=2 if status == "in_transit" else 1)

    def move(self, made, status, times=1):
        made["status"], made["occurred_at"] = status, now()
        data = {
            "reference": made["sent"]["reference"],
            "tracking_number": made["tracking_number"],
            "status": status,
            "occurred_at": made["occurred_at"],
        }
        body = self.event("shipment.status_changed", data)
        for _ in range(times):
            self.say(f"shipment {made['tracking_number']} is {status}: told, {self.tell(body)}")

    def write(self, made, text):
        """The recipient of a parcel writes to the store."""
        recipient = made["sent"]["recipient"]
        data = {
            "reference": made["sent"]["reference"],
            "message_id": f"wa-{next(self.numbers)}",
            "phone": recipient["phone"],
            "name": recipient["name"],
            "channel": "whatsapp",
            "text": text,
        }
        told = self.tell(self.event("message.received", data))
        self.say(f"{recipient['name']} writes {text!r}: told, {told}")
        return told

    def event(self, kind, data, *, event_id=None, created_at=None):
        """The bytes of an event."""
        number = next(self.numbers)
        envelope = {
            "id": event_id or f"evt_{number}_{time.time_ns()}",
            "type": kind,
            "created_at": created_at or now(),
            "data": data,
        }
        return json.dumps(envelope).encode()

    def headers(self, body, *, at=None):
        timestamp = str(int(time.time() if at is None else at))
        return {
            "X-NAWA-Timestamp": timestamp,
            "X-NAWA-Signature": sign(self.secret, timestamp, body),
        }

    def tell(self, body):
        request = urllib.request.Request(  # noqa: S310  # the address we were started with
            f"{self.platform}/api/v1/integrations/nawa/webhooks",
            body,
            self.headers(body) | {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return f"answered {answer.status}"
        except urllib.error.HTTPError as error:
            return f"answered {error.code}"
        except OSError as error:
            return f"nobody answered: {error}"

    def state(self):
        return {
            "codes": self.codes,
            "messages": self.messages,
            "shipments": list(self.shipments.values()),
            "faults": {name: left for name, left in self.faults.items() if left > 0},
            "canMisbehave": FAULTS,
        }


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """The fake says itself what it does."""

    def do_GET(self):  # of the base class
        self.answer(200, self.server.nawa.state())

    def do_POST(self):
        nawa = self.server.nawa
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(content or b"{}")
        if self.path.startswith("/control/"):
            self.control(nawa, body)
            return
        key = self.headers.get("Idempotency-Key", "")
        with nawa.lock:
            nawa.calls.append((self.path, key, body))
        if self.headers.get("Authorization") != f"Bearer {API_KEY}" or not key:
            self.answer(401, {"code": "unauthorized", "message": "The key is wrong."})
            return
        fault = nawa.take_fault()
        if fault in ("fail", "busy", "refuse", "redirect"):
            self.misbehave(nawa, fault, {})
            return
        status, answer = nawa.carry_out(self.path, body, key)
        if fault:
            self.misbehave(nawa, fault, answer)
        else:
            self.answer(status, answer)

    def misbehave(self, nawa, fault, answer):
        if fault == "fail":
            self.answer(500, {"code": "internal", "message": "Something broke."})
        elif fault == "busy":
            self.answer(429, {"code": "busy", "message": "Later."}, {"Retry-After": "1"})
        elif fault == "refuse":
            self.answer(422, {"code": "not_served", "message": "We do not deliver there."})
        elif fault == "redirect":
            self.answer(302, {}, {"Location": nawa.url + "/elsewhere"})
        elif fault == "garbage":
            self.raw(200, b"<html>hello</html>")
        elif fault == "wrong":
            self.answer(200, {"unexpected": [1, 2, 3]})
        elif fault == "huge":
            self.raw(200, json.dumps(answer | {"padding": "x" * 2**21}).encode())
        elif fault == "slow":
            nawa.stopped.wait(20)
            self.answer(200, answer)
        elif fault == "drip":
            self.drip(nawa, json.dumps(answer).encode())
        self.close_connection = True

    def drip(self, nawa, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(OSError):
            for byte in content:
                if nawa.stopped.wait(0.5):
                    return
                self.wfile.write(bytes([byte]))
                self.wfile.flush()

    def control(self, nawa, body):
        if self.path == "/control/faults" and body.get("name") in FAULTS:
            nawa.misbehave(body["name"], int(body.get("times", 1)))
            self.answer(200, nawa.state()["faults"])
            return
        for made in nawa.shipments.values():
            if made["tracking_number"] != body.get("tracking_number"):
                continue
            if self.path == "/control/status":
                nawa.move(made, body["status"])
                self.answer(200, made)
                return
            if self.path == "/control/message":
                self.answer(200, {"told": nawa.write(made, body["text"])})
                return
        self.answer(404, {"code": "not_found", "message": "See GET /."})

    def answer(self, status, body, headers=None):
        self.raw(status, json.dumps(body).encode(), headers)

    def raw(self, status, content, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(content)


def main():
    parser = argparse.ArgumentParser(description="A stand-in for the provider Nawa.")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--platform", default="http://127.0.0.1:8000")
    parser.add_argument("--secret", default=SECRET)
    parser.add_argument("--pace", type=float, default=3.0, help="seconds between two steps")
    options = parser.parse_args()

    def say(text):
        sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S}  {text}\n")
        sys.stdout.flush()

    with FakeNawa(
        options.port,
        platform=options.platform,
        secret=options.secret,
        pace=options.pace,
        say=say,
    ) as nawa:
        say(f"Nawa stands in at {nawa.url} and tells {options.platform}. Ctrl+C ends it.")
        say("Start the platform with:")
        sys.stdout.write(
            f"\n  Nawa__BaseUrl={nawa.url} Nawa__ApiKey={API_KEY} \\\n"
            f"  Nawa__WebhookSecret={options.secret} \\\n"
            "  OTP_PROVIDER=console,file,nawa make run\n\n"
        )
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            nawa.thread.join()


if __name__ == "__main__":
    main()
