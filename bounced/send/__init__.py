"""Where mail goes out: sender settings, composing, SMTP.  Hands over and tells what was answered; decides nothing."""
