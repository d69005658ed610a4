"""Where mail, parsers and store meet."""
