"""The levels themselves: the only modules of the core that touch files and the network."""
