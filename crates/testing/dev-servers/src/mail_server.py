"""Mail server for tests: stores mail in one Maildir and rejects addresses that
start with `unknown`."""

from aiosmtpd.handlers import Mailbox


class MailHandler(Mailbox):
    """Handler of aiosmtpd that stores mail in the Maildir named by its argument."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 there is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def main(certificate, key, port, form, user, password, mailbox):
    """Serves one user over TLS until the process is killed."""
    import asyncio
    import ssl

    from aiosmtpd.smtp import SMTP, AuthResult

    def authenticate(server, session, envelope, mechanism, data):
        given = (getattr(data, "login", b""), getattr(data, "password", b""))
        is_known = given == (user.encode(), password.encode())
        return AuthResult(success=is_known, handled=False)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    is_implicit = form == "implicit"

    def session():
        return SMTP(
            MailHandler(mailbox),
            tls_context=None if is_implicit else context,
            require_starttls=not is_implicit,
            auth_required=True,
            auth_require_tls=not is_implicit,
            authenticator=authenticate,
        )

    async def serve():
        loop = asyncio.get_running_loop()
        secured = context if is_implicit else None
        server = await loop.create_server(session, "127.0.0.1", int(port), ssl=secured)
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
