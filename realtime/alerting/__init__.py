"""Alerts in a running process: taking presses and answers, publishing changes, views, delivery."""
