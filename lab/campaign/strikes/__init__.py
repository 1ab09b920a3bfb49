"""How each kind of fault strikes and ends: context managers that yield what exactly was struck."""
