"""`nearline top`: what the running parts say of themselves, a few seconds at a time."""
