"""What people reply by text and call: numbers, answers that were taken, and which alert each is for."""
