"""Why a message did not arrive: the closed list, the rules that find it, the words that explain it."""
