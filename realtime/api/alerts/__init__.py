"""Operations on alerts, SOS presses and safety timers."""
