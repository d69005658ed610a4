"""A DNS server on loopback, UDP and TCP on one port, with the records it is told."""

import socketserver
import struct
from threading import Thread

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

from tests.servers.process import free_ports

MAX_UDP = 1_232


class Dns:
    """Answers what was put in; every other name does not exist.  The records may be changed at any time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # names and types, in order
        self.failing: set[str] = set()  # names that are answered with SERVFAIL
        self.silent: set[str] = set()  # names that are not answered
        self._records: dict[tuple[str, str], list[dns.rdata.Rdata]] = {}
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        self._servers = [
            _Udp(("127.0.0.1", self.port), self._handler(_UdpHandler)),
            _Tcp(("127.0.0.1", self.port), self._handler(_TcpHandler)),
        ]
        self._threads = [Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in self._servers]
        for thread in self._threads:
            thread.start()

    def put(self, name: str, kind: str, *values: str) -> None:
        """The records of a name, in the way of a zone file; TXT as it is, of any length and any bytes in Latin-1."""
        kind_number = dns.rdatatype.from_text(kind)
        if kind == "TXT":
            found: list[dns.rdata.Rdata] = [
                TXT(dns.rdataclass.IN, kind_number, _strings(value.encode("latin-1"))) for value in values
            ]
        else:
            found = [dns.rdata.from_text(dns.rdataclass.IN, kind_number, value) for value in values]
        self._records[name.lower(), kind] = found

    def close(self) -> None:
        """Stop answering."""
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join(timeout=10)
            server.server_close()

    def answer(self, wire: bytes) -> dns.message.Message | None:
        """What is answered; None: nothing."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.silent:
            return None
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif found := self._records.get((name, kind)):
            response.answer.append(dns.rrset.from_rdata_list(question.name, 60, found))
        elif name not in {known for known, _ in self._records}:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def _handler(self, base: type) -> type:
        return type(base.__name__, (base,), {"dns": self})


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _UdpHandler(socketserver.BaseRequestHandler):
    dns: Dns

    def handle(self) -> None:
        wire, sock = self.request
        response = self.dns.answer(wire)
        if response is None:
            return
        content = response.to_wire(max_size=65_535)
        if len(content) > MAX_UDP:
            response.flags |= dns.flags.TC
            response.answer.clear()
            content = response.to_wire()
        sock.sendto(content, self.client_address)


class _TcpHandler(socketserver.BaseRequestHandler):
    dns: Dns

    def handle(self) -> None:
        file = self.request.makefile("rb")
        while header := file.read(2):
            response = self.dns.answer(file.read(*struct.unpack("!H", header)))
            if response is None:
                return
            content = response.to_wire(max_size=65_535)
            self.request.sendall(struct.pack("!H", len(content)) + content)


def _strings(value: bytes) -> list[bytes]:
    """Of at most 255 octets each (RFC 1035 §3.3.14)."""
    return [value[start : start + 255] for start in range(0, len(value), 255)] or [b""]
