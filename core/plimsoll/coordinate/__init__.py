"""What agents and operator say to each other, and when: state machines without clock and network."""
