"""`nearline bench growth`: what more items and more customers cost, in time and in memory."""
