"""Operations on sessions of browsers and on pairing codes."""
