"""Where mail comes from: IMAP mailboxes, and files for replay.  Bytes out; no parsing, no database."""
