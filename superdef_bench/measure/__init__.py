"""Networks without an attacker: work, time, restored photographs."""
