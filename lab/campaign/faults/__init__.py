"""How each fault begins and ends: context managers that yield what exactly it hits."""
