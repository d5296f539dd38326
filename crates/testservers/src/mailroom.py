"""What the mail server of tests does with mail: a Maildir for everybody but
those whose address says otherwise."""

from aiosmtpd.handlers import Mailbox


class Mailroom(Mailbox):
    """Keeps mail in the Maildir that its argument names."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 there is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"
