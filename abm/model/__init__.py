"""What is simulated: tissue, rules, therapies and the body."""
