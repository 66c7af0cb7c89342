"""A mail server of other people's making, with faults on demand.

Prints `listening on 127.0.0.1:PORT`, ends when its standard input does. What it takes goes to the
mailbox, one JSON object a line, as Python's own reader of mail understands it; a line is with the
operating system before the answer is given. Its negative replies repeat the address, as many do.
"""

import argparse
import asyncio
import email
import email.policy
import json
import os
import ssl
import sys
import threading

from aiosmtpd.smtp import SMTP, AuthResult

parser = argparse.ArgumentParser()
parser.add_argument("--mailbox", required=True)
parser.add_argument("--fault", default="none")
parser.add_argument("--first", type=int, default=1 << 60, help="only so many times")
parser.add_argument("--password", help="whoever does not know it is not let in")
parser.add_argument("--certificate", help="PEM with certificate and key: STARTTLS is offered, and wanted")
parser.add_argument("--wrapper", action="store_true", help="encrypted from the first byte")
arguments = parser.parse_args()

faults_left = arguments.first


def is_faulty(fault):
    global faults_left
    if arguments.fault != fault or faults_left == 0:
        return False
    faults_left -= 1
    return True


def parts(mail):
    for kind in ("plain", "html"):
        part = mail.get_body(preferencelist=(kind,))
        yield kind, part and {"text": part.get_content(), "charset": part.get_content_charset()}


class Mailbox:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if is_faulty("sender-5xx"):
            return f"553 5.7.1 <{address}> not here"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if is_faulty("recipient-4xx"):
            return f"451 4.3.0 <{address}> come again"
        if is_faulty("recipient-5xx"):
            return f"550 5.1.1 <{address}> nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if is_faulty("message-4xx"):
            return f"452 4.3.1 <{envelope.rcpt_tos[0]}> no room"
        if is_faulty("message-5xx"):
            return f"554 5.6.0 <{envelope.rcpt_tos[0]}> not liked"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        line = {
            "envelope_from": envelope.mail_from,
            "envelope_to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "type": mail.get_content_type(),
            "parts": dict(parts(mail)),
            "raw": envelope.content.decode("ascii"),
            "encrypted": session.ssl is not None or arguments.wrapper,
        }
        with open(arguments.mailbox, "a", encoding="utf-8") as mailbox:
            mailbox.write(json.dumps(line) + "\n")
        if is_faulty("drop-after-dot"):
            server.transport.abort()
        return "250 2.0.0 Ok: queued as Q-17"


class Server(SMTP):
    async def smtp_DATA(self, arg):
        if is_faulty("drop-at-data"):
            self.transport.abort()
        elif is_faulty("drop-in-message"):
            await self.push("354 go on")
            self.transport.abort()
        elif is_faulty("silence-at-data"):
            await asyncio.sleep(3600)
        else:
            await super().smtp_DATA(arg)
            # after its reply, and before it reads on: the next mail finds the line closed
            if is_faulty("close-after-mail"):
                self.transport.close()


def authenticator(server, session, envelope, mechanism, data):
    password = getattr(data, "password", b"").decode()
    return AuthResult(success=password == arguments.password, handled=False)


def context():
    if arguments.certificate is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(arguments.certificate)
    return made


def serve_one():
    tls = None if arguments.wrapper else context()
    return Server(
        Mailbox(),
        hostname="mail.example",
        enable_SMTPUTF8=True,
        authenticator=authenticator if arguments.password else None,
        auth_required=arguments.password is not None,
        auth_require_tls=False,
        tls_context=tls,
        require_starttls=tls is not None,
    )


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(serve_one, "127.0.0.1", 0, ssl=context() if arguments.wrapper else None)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    await server.serve_forever()


asyncio.run(main())
