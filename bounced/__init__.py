"""bounced: bounces from event mailboxes become events with a cause."""
