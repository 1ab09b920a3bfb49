"""What writers did, for people to read."""
