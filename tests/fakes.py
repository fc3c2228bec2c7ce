"""What stands at the network's edge in tests: real servers on loopback that misbehave when told."""

import datetime
import ssl
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Receiver:
    """A webhook receiver. `mode` says how it answers: ok, fail, hang, redirect, gone, busy, drip,
    huge; `received` holds each request's headers and body, whatever the answer was."""

    def __init__(self, *, tls=None):
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

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
        }.get(self.mode, (200, {}))
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.received.append({"headers": headers, "body": body, "status": status})
        if self.mode == "hang":
            self.let_go.wait(20)
        with self.lock:
            self.at_once -= 1
        text = b"x" * 200_000 if self.mode == "huge" else b"noted: " + self.mode.encode()
        try:
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

    def stop(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def self_signed(name="localhost"):
    """A server's TLS context for a name, and the context of a client that trusts just it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
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
