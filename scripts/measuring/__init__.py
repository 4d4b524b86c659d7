"""What `scripts/bench-clients`, `bench-conditions`, `bench-scale` and `bench-tail` share: brokers in turns, the machine
beneath them, a few requests of the protocol, and tables of medians."""
