"""Operations on journeys and their points."""
