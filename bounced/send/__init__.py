"""Where mail goes out: sender settings, composing, SMTP.  Hands over and tells what was answered; decides nothing.

For other programs: `submit(connection, config, Letter(...), company=..., user=...)`.
"""

from bounced.send.compose import Attachment, Letter
from bounced.send.submit import Submitted, submit

__all__ = ["Attachment", "Letter", "Submitted", "submit"]
