"""Operations on vendors, drivers, contacts, devices and policies."""
