"""The simulated shop: customers whose tastes and departures we know, so models can be judged."""
