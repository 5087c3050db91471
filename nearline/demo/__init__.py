"""`nearline demo`: the main job, told from end to end through the real parts."""
