"""Lists for campaigns: whom to write to, why, and by which channel; never without consent."""
