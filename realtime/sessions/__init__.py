"""What people and phones come in by beside a token of their own: sessions of browsers, codes that pair."""
